"""Presence and election over a store in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from memory_store import MemoryStore, World

from failover.config import load
from failover.coordination.leadership import EXPERIENCED_AFTER_ROUNDS, Election
from failover.coordination.presence import Presence
from failover.model import SiteName
from failover.policy import Policy
from failover.znode import Create, GroupPaths

JAKARTA, MAKASSAR, SURABAYA = (SiteName(n) for n in ("jakarta", "makassar", "surabaya"))
SESSION_S = 4.0


@dataclass
class Candidate:
    site: SiteName
    store: MemoryStore
    presence: Presence
    election: Election
    rounds: int = field(default=0)

    def turn(self, now_s: float, active: SiteName | None = JAKARTA) -> bool:
        """One round: a sign of life, a look around. True: it leads."""
        self.rounds += 1
        self.presence.publish(self.store, str(self.rounds).encode(), now_s)
        self.election.turn(self.store, now_s, active)
        return self.leads(now_s)

    def leads(self, now_s: float) -> bool:
        return self.election.leads(self.store, now_s)


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load(Path("tests/open.yaml"))


@pytest.fixture
def world(policy: Policy) -> World:
    world = World()
    paths = GroupPaths(policy.group)
    store = world.session()
    for path in paths.all_parents:
        store.commit((Create(path, b""),))
    return world


def candidate(policy: Policy, world: World, site: SiteName) -> Candidate:
    presence = Presence(GroupPaths(policy.group).observer(site))
    return Candidate(site, world.session(), presence, Election(policy, site, presence, SESSION_S))


def leaders(candidates: list[Candidate], now_s: float) -> list[SiteName]:
    return [c.site for c in candidates if c.leads(now_s)]


def test_the_first_outside_the_active_site_leads(policy: Policy, world: World) -> None:
    all_three = [candidate(policy, world, s) for s in (JAKARTA, MAKASSAR, SURABAYA)]
    for step in range(4):
        for each in all_three:
            each.turn(step * 0.5)
    assert leaders(all_three, 2.0) == [MAKASSAR]
    assert {c.election.leader for c in all_three} == {MAKASSAR}


def test_alone_in_the_active_site_it_leads_and_resigns_when_another_comes(
    policy: Policy, world: World
) -> None:
    jakarta = candidate(policy, world, JAKARTA)
    assert jakarta.turn(0.0)
    assert jakarta.turn(0.5)
    surabaya = candidate(policy, world, SURABAYA)
    assert not surabaya.turn(0.6)
    assert not jakarta.turn(1.0)  # resigned
    assert surabaya.turn(1.1)
    assert not jakarta.turn(1.5)


def test_a_leader_outside_stays_when_a_better_one_comes(policy: Policy, world: World) -> None:
    surabaya = candidate(policy, world, SURABAYA)
    surabaya.turn(0.0)
    assert surabaya.turn(0.5)
    makassar = candidate(policy, world, MAKASSAR)
    for step in range(4):
        makassar.turn(1.0 + step)
        assert surabaya.turn(1.1 + step)
    assert not makassar.leads(4.0)


def test_a_newcomer_stands_back_behind_one_that_has_watched(policy: Policy, world: World) -> None:
    """Restarted in a disaster it has no samples of the primary's WAL, and could only hold."""
    makassar, surabaya = (candidate(policy, world, s) for s in (MAKASSAR, SURABAYA))
    for step in range(EXPERIENCED_AFTER_ROUNDS + 2):
        makassar.turn(step * 0.5)
        surabaya.turn(step * 0.5)
    assert makassar.leads(step * 0.5)
    makassar.store.expire()
    successor = candidate(policy, world, MAKASSAR)
    now_s = step * 0.5 + 0.1
    successor.turn(now_s)
    surabaya.turn(now_s + 0.1)
    successor.turn(now_s + 0.5)
    assert leaders([successor, surabaya], now_s + 0.6) == [SURABAYA]


def test_after_a_takeover_the_new_active_site_gives_the_leadership_away(
    policy: Policy, world: World
) -> None:
    makassar, surabaya = (candidate(policy, world, s) for s in (MAKASSAR, SURABAYA))
    for now_s in (0.0, 0.5):
        makassar.turn(now_s)
        surabaya.turn(now_s)
    assert makassar.leads(0.5)
    makassar.turn(1.0, active=MAKASSAR)
    assert surabaya.turn(1.1, active=MAKASSAR)
    assert leaders([makassar, surabaya], 1.2) == [SURABAYA]


def test_a_leader_expires_by_itself_before_its_session_can(policy: Policy, world: World) -> None:
    makassar = candidate(policy, world, MAKASSAR)
    makassar.turn(0.0)
    assert makassar.turn(0.5)
    assert makassar.leads(0.5 + SESSION_S - 1.01)
    assert not makassar.leads(0.5 + SESSION_S - 0.99)


def test_reads_do_not_prolong_a_leadership(policy: Policy, world: World) -> None:
    """An isolated follower goes on answering reads; only commits count."""
    makassar = candidate(policy, world, MAKASSAR)
    makassar.turn(0.0)
    makassar.turn(0.5)
    for step in range(8):
        makassar.election.turn(makassar.store, 1.0 + step * 0.5, JAKARTA)
    assert not makassar.leads(4.5)


def test_without_a_connection_nobody_leads(policy: Policy, world: World) -> None:
    makassar = candidate(policy, world, MAKASSAR)
    makassar.turn(0.0)
    assert makassar.turn(0.5)
    makassar.store.silent = True
    assert not makassar.leads(0.6)
    assert not makassar.turn(0.7)


def test_an_expired_session_ends_the_leadership(policy: Policy, world: World) -> None:
    makassar = candidate(policy, world, MAKASSAR)
    makassar.turn(0.0)
    assert makassar.turn(0.5)
    makassar.store.expire()
    assert not makassar.leads(0.6)
    makassar.turn(1.0)
    assert makassar.turn(1.5)


def test_a_dead_leader_is_followed_when_its_session_ends(policy: Policy, world: World) -> None:
    makassar, surabaya = (candidate(policy, world, s) for s in (MAKASSAR, SURABAYA))
    for now_s in (0.0, 0.5):
        makassar.turn(now_s)
        surabaya.turn(now_s)
    makassar.store.expire()
    surabaya.turn(1.0)
    assert surabaya.turn(1.5)


def test_a_leader_that_hangs_with_a_living_session_is_replaced(
    policy: Policy, world: World
) -> None:
    makassar, surabaya = (candidate(policy, world, s) for s in (MAKASSAR, SURABAYA))
    for now_s in (0.0, 0.5):
        makassar.turn(now_s)
        surabaya.turn(now_s)
    taken_over_s = next(now / 2 for now in range(2, 20) if surabaya.turn(now / 2))
    assert taken_over_s == pytest.approx(4.5)
    assert not makassar.leads(taken_over_s)  # it had expired by itself before
    assert not makassar.turn(6.0)  # and finds out when it thaws
    assert leaders([makassar, surabaya], 6.0) == [SURABAYA]


def test_a_lost_answer_is_read_back(policy: Policy, world: World) -> None:
    makassar = candidate(policy, world, MAKASSAR)
    makassar.store.lose_answers = True
    assert not makassar.turn(0.0)
    makassar.store.lose_answers = False
    makassar.turn(0.5)
    assert makassar.turn(1.0)


def test_a_second_controller_of_the_same_site_stays_silent(policy: Policy, world: World) -> None:
    first, second = (candidate(policy, world, MAKASSAR) for _ in range(2))
    for step in range(10):
        first.turn(step * 0.5)
        second.turn(step * 0.5 + 0.1)
    assert second.presence.taken_by_another
    assert leaders([first, second], 5.0) == [MAKASSAR]


def test_a_restarted_controller_replaces_its_predecessor(policy: Policy, world: World) -> None:
    first, second = (candidate(policy, world, MAKASSAR) for _ in range(2))
    first.turn(0.0)
    for step in range(6):
        second.turn(0.5 + step * 0.5)
        assert not second.presence.taken_by_another
    assert second.presence.proven_sent_s is not None
