"""When a grant holds and when it ends (failover/guard/logic.py)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failover.guard.logic import (
    AskInPlace,
    EndGrant,
    Grant,
    Guard,
    InPlace,
    Kill,
    KillReason,
    Limits,
    Note,
    Nothing,
    Renewals,
    ServerSeen,
    StartMode,
    Stop,
    decide,
    just_granted,
    renewed,
    writable,
)
from failover.model import Epoch
from failover.timing import lease_timing

LIMITS = Limits.of(lease_timing(6.0))


@pytest.mark.parametrize("lease_s", [6.0, 8.0, 20.0])
def test_the_hook_outlasts_every_claim(lease_s: float) -> None:
    """One renewed as it asks ends after its session and a tick more; given up before that, the
    replica is barred for Patroni's ttl."""
    timing = lease_timing(lease_s)
    ends_s = (timing.session_ms + 2 * timing.zookeeper_tick_ms) / 1000
    assert timing.hook_limit_s >= ends_s + timing.answer_limit_s


SESSION, OTHER = 0x1000, 0x2000
RUNNING = ServerSeen(alive=True, in_production=True, note=Note(StartMode.WRITABLE, 99.0))
STANDBY = ServerSeen(alive=True, in_production=False, note=Note(StartMode.STANDBY, 50.0))
DOWN = ServerSeen(alive=False, in_production=False, note=None)


def leased(**changes: object) -> Guard:
    """Armed, epoch 1, renewals sent at 100.0 and 100.5: the deadline is 104.5."""
    guard = Guard(LIMITS, armed=True, epoch=Epoch(1), renewals=Renewals(SESSION, 100.5, 100.0))
    return replace(guard, **changes)  # type: ignore[arg-type]


def granted(*, promotion: bool = False, now_s: float = 100.6) -> Guard:
    guard = leased().permitted(SESSION, Epoch(1), now_s, promotion=promotion)
    assert guard is not None
    return guard


class TestJustGranted:
    """``pg_ctl promote`` right after ``pre_promote`` is answered from memory, or asked for anew."""

    def test_while_the_promotion_is_fresh_and_its_lease_holds(self) -> None:
        guard = granted(promotion=True)
        assert just_granted(guard, 100.7)
        assert not just_granted(guard, 102.7)  # too long ago
        assert not just_granted(granted(), 100.7)  # a start, not a promotion
        assert not just_granted(leased(), 100.7)  # no grant

    @pytest.mark.parametrize(
        "change",
        [
            {"epoch": Epoch(2)},
            {"claim_lost": True},
            {"killing": KillReason.CLAIM_LOST},
            {"renewals": Renewals(SESSION, 96.5, 96.0)},  # the deadline has passed
            {"renewals": Renewals(OTHER, 100.5, 100.0)},
            {"renewals": None},
        ],
    )
    def test_not_when_anything_has_changed(self, change: dict[str, object]) -> None:
        guard = replace(granted(promotion=True), **change)  # type: ignore[arg-type]
        assert not just_granted(guard, 100.7)


class TestRenewals:
    def test_the_last_but_one_counts(self) -> None:
        lease = renewed(renewed(None, SESSION, 10.0, LIMITS), SESSION, 10.5, LIMITS)
        assert lease.deadline_s(LIMITS) == 10.0 + LIMITS.deadline_s
        assert renewed(lease, SESSION, 11.0, LIMITS).deadline_s(LIMITS) == 10.5 + LIMITS.deadline_s

    def test_one_renewal_is_no_lease(self) -> None:
        assert renewed(None, SESSION, 10.0, LIMITS).deadline_s(LIMITS) is None

    def test_closer_than_a_tick_does_not_count(self) -> None:
        lease = renewed(renewed(None, SESSION, 10.0, LIMITS), SESSION, 10.4, LIMITS)
        assert lease.deadline_s(LIMITS) is None

    def test_a_new_session_begins_anew(self) -> None:
        lease = renewed(Renewals(SESSION, 10.5, 10.0), OTHER, 11.0, LIMITS)
        assert lease == Renewals(OTHER, 11.0)

    @given(st.lists(st.floats(0.0, 3.0), min_size=2, max_size=40))
    def test_the_deadline_never_exceeds_that_of_the_last_but_one(self, gaps: list[float]) -> None:
        sent_s, before_last_s, lease = 0.0, 0.0, None
        for gap_s in gaps:
            before_last_s, sent_s = sent_s, sent_s + gap_s
            lease = renewed(lease, SESSION, sent_s, LIMITS)
        assert lease is not None
        if (deadline_s := lease.deadline_s(LIMITS)) is not None:
            assert deadline_s <= before_last_s + LIMITS.deadline_s


class TestPermit:
    def test_needs_a_lease_in_the_same_session(self) -> None:
        assert leased().permitted(OTHER, Epoch(1), 101.0, promotion=False) is None
        assert leased().permitted(SESSION, Epoch(1), 104.5, promotion=False) is None
        assert (
            replace(leased(), renewals=Renewals(SESSION, 100.5)).permitted(
                SESSION, Epoch(1), 101.0, promotion=False
            )
            is None
        )

    def test_not_while_killing(self) -> None:
        guard = leased(killing=KillReason.LEADER_KEY_LOST)
        assert guard.permitted(SESSION, Epoch(1), 101.0, promotion=False) is None

    def test_supersedes_an_older_note(self) -> None:
        """A standby that was told to promote: its note is older than the permit."""
        guard, decision = decide(granted(promotion=True), STANDBY, 101.0)
        assert decision == Nothing()
        assert guard.grant is not None


def told_to_stop(guard: Guard, *, wanted: bool = True) -> Guard:
    """``state`` was read, with a plan that has the guards here stop their servers, or without."""
    return guard.state_seen(exists=True, epoch=Epoch(1), stop_wanted=wanted)


class TestStop:
    """A plan has this guard stop its server: a fast stop first, then SIGKILL."""

    END_S = 101.0 + LIMITS.fast_stop_s

    def stopping(self) -> Guard:
        guard, decision = decide(told_to_stop(granted()), RUNNING, 101.0)
        assert decision == Stop()
        return guard

    def test_once_a_fast_stop_then_a_kill(self) -> None:
        guard = self.stopping()
        for renewal_s in (101.0, 101.5, 102.0, 102.5, 103.0, 103.5):
            guard, decision = decide(guard.renewed(SESSION, renewal_s), RUNNING, renewal_s + 0.1)
            assert decision == Nothing()
        guard, decision = decide(guard, RUNNING, self.END_S)
        assert decision == Kill(KillReason.PLAN)
        assert decide(guard, RUNNING, self.END_S + 0.1)[1] == Kill(KillReason.PLAN)

    @pytest.mark.parametrize(
        "server",
        [
            DOWN,
            # Patroni was quicker, and has started it again as a standby.
            ServerSeen(alive=True, in_production=False, note=Note(StartMode.STANDBY, 101.2)),
        ],
        ids=["down", "a standby again"],
    )
    def test_what_has_ended_is_not_killed(self, server: ServerSeen) -> None:
        guard, decision = decide(self.stopping(), server, 101.4)
        assert decision == EndGrant()
        assert decide(guard, server, self.END_S)[1] == Nothing()

    @pytest.mark.parametrize("server", [RUNNING, STANDBY], ids=["primary", "promotion under way"])
    def test_whatever_has_a_grant(self, server: ServerSeen) -> None:
        assert decide(told_to_stop(granted(promotion=True)), server, 101.0)[1] == Stop()

    @pytest.mark.parametrize("server", [STANDBY, DOWN], ids=["replica", "down"])
    def test_nothing_that_has_none(self, server: ServerSeen) -> None:
        assert decide(told_to_stop(leased()), server, 101.0)[1] == Nothing()

    def test_a_plan_that_is_gone_kills_nobody(self) -> None:
        guard = told_to_stop(self.stopping(), wanted=False).renewed(SESSION, 103.0)
        guard = guard.renewed(SESSION, 103.5).renewed(SESSION, 104.0)
        guard, decision = decide(guard, RUNNING, self.END_S)
        assert decision == Nothing()
        assert decide(told_to_stop(guard), RUNNING, self.END_S)[1] == Stop()  # a new plan: anew

    def test_a_kill_under_way_goes_on_without_it(self) -> None:
        guard = self.stopping().renewed(SESSION, 102.0).renewed(SESSION, 103.0)
        guard, decision = decide(guard, RUNNING, self.END_S)
        guard = told_to_stop(guard, wanted=False)
        assert decide(guard, RUNNING, self.END_S + 0.1)[1] == decision == Kill(KillReason.PLAN)

    def test_the_deadline_does_not_wait_for_it(self) -> None:
        assert decide(self.stopping(), RUNNING, 104.5)[1] == Kill(KillReason.DEADLINE)

    def test_a_successor_asks_again(self) -> None:
        """A new minder knows the grant, not the stop; the worker tells it of the plan again."""
        guard = replace(self.stopping(), stop_wanted=False, stopping_since_s=None)
        assert decide(guard, RUNNING, 101.2)[1] == Nothing()
        assert decide(told_to_stop(guard), RUNNING, 101.3)[1] == Stop()

    def test_no_clients_meanwhile(self) -> None:
        assert not writable(told_to_stop(granted()), RUNNING, 101.0).yes


class TestGrant:
    def test_holds_before_the_deadline_and_kills_at_it(self) -> None:
        assert decide(granted(), RUNNING, 104.4)[1] == Nothing()
        guard, decision = decide(granted(), RUNNING, 104.5)
        assert decision == Kill(KillReason.DEADLINE)
        assert decide(guard, RUNNING, 104.6)[1] == Kill(KillReason.DEADLINE)

    def test_kills_a_server_in_recovery_too(self) -> None:
        assert decide(granted(promotion=True), STANDBY, 104.5)[1] == Kill(KillReason.DEADLINE)

    def test_a_renewal_of_another_session_does_not_prolong(self) -> None:
        guard = granted().renewed(OTHER, 101.0).renewed(OTHER, 101.5).renewed(OTHER, 102.0)
        assert decide(guard, RUNNING, 104.5)[1] == Kill(KillReason.DEADLINE)

    def test_a_late_renewal_does_not_stop_a_kill_under_way(self) -> None:
        guard, _ = decide(granted(), RUNNING, 104.5)
        guard = guard.renewed(SESSION, 104.4).renewed(SESSION, 105.0)
        assert decide(guard, RUNNING, 105.1)[1] == Kill(KillReason.DEADLINE)

    def test_another_session_means_the_claim_is_gone(self) -> None:
        guard = granted().session_opened(OTHER)
        assert decide(guard, RUNNING, 101.0)[1] == Kill(KillReason.SESSION_LOST)

    def test_the_same_session_taken_up_again_changes_nothing(self) -> None:
        assert decide(granted().session_opened(SESSION), RUNNING, 101.0)[1] == Nothing()

    def test_a_missing_claim_kills(self) -> None:
        guard = granted().claim_seen(own=False)
        assert decide(guard, RUNNING, 101.0)[1] == Kill(KillReason.CLAIM_LOST)

    def test_ends_only_when_nothing_lives(self) -> None:
        killing, _ = decide(granted(), RUNNING, 104.5)
        guard, decision = decide(killing, DOWN, 104.6)
        assert decision == EndGrant()
        assert guard.grant is None
        assert guard.killing is None

    @pytest.mark.parametrize("mode", list(StartMode))
    def test_ends_when_the_lock_was_taken_anew(self, mode: StartMode) -> None:
        """A demotion that comes up again as a standby within the second."""
        again = ServerSeen(alive=True, in_production=False, note=Note(mode, 100.7))
        assert decide(granted(), again, 101.0)[1] == EndGrant()

    def test_survives_the_minder(self) -> None:
        """Taken up from the two files: grant and renewals."""
        guard = Guard(
            LIMITS,
            armed=True,
            grant=Grant(SESSION, Epoch(1), 100.6, False),
            renewals=Renewals(SESSION, 100.5, 100.0),
        )
        assert decide(guard, RUNNING, 104.4)[1] == Nothing()
        assert decide(guard, RUNNING, 104.5)[1] == Kill(KillReason.DEADLINE)

    def test_without_the_lease_file_the_deadline_has_passed(self) -> None:
        guard = Guard(LIMITS, armed=True, grant=Grant(SESSION, Epoch(1), 100.6, False))
        assert decide(guard, RUNNING, 100.7)[1] == Kill(KillReason.DEADLINE)


class TestLeaderKey:
    def seen(self, guard: Guard, name: str | None, now_s: float, **how: bool) -> Guard:
        paused, synced = how.get("paused", False), how.get("synced", True)
        return guard.leader_seen(name, "jkt-db1", paused=paused, synced=synced, now_s=now_s)

    def test_naming_another_member_kills_after_a_sync(self) -> None:
        guard = self.seen(granted(), "jkt-db2", 101.0, synced=False)
        assert decide(guard, RUNNING, 101.0)[1] == Nothing()
        guard = self.seen(guard, "jkt-db2", 101.5)
        assert decide(guard, RUNNING, 101.5)[1] == Kill(KillReason.LEADER_KEY_LOST)

    def test_absent_for_two_seconds_kills(self) -> None:
        guard = self.seen(granted(), "jkt-db1", 100.7)
        for now_s in (101.0, 102.0, 102.9):
            guard = self.seen(guard, None, now_s)
            assert decide(guard, RUNNING, now_s)[1] == Nothing()
        guard = self.seen(guard, None, 103.0)
        assert decide(guard, RUNNING, 103.0)[1] == Kill(KillReason.LEADER_KEY_LOST)

    def test_absent_for_an_instant_is_nothing(self) -> None:
        guard = self.seen(self.seen(granted(), "jkt-db1", 100.7), None, 101.0)
        guard = self.seen(self.seen(guard, "jkt-db1", 101.5), None, 103.4)
        assert decide(guard, RUNNING, 103.4)[1] == Nothing()

    def test_silence_is_not_absence(self) -> None:
        """ZooKeeper unreachable: the deadline decides, not a key that nobody can read."""
        guard = self.seen(self.seen(granted(), "jkt-db1", 100.7), None, 101.0)
        assert decide(guard, RUNNING, 104.0)[1] == Nothing()

    def test_a_paused_scope_is_left_alone(self) -> None:
        guard = self.seen(granted(promotion=True), None, 101.0, paused=True)
        guard = self.seen(guard, "jkt-db2", 104.0, paused=True)
        assert decide(guard, RUNNING, 104.0)[1] == Nothing()

    def test_a_new_clusters_first_start_comes_before_the_key(self) -> None:
        guard = self.seen(self.seen(granted(), None, 100.7), None, 104.0)
        assert decide(guard, RUNNING, 104.0)[1] == Nothing()

    def test_a_promotion_has_the_key_already(self) -> None:
        guard = self.seen(self.seen(granted(promotion=True), None, 100.7), None, 102.7)
        assert decide(guard, STANDBY, 102.7)[1] == Kill(KillReason.LEADER_KEY_LOST)


class TestWithoutGrant:
    def test_a_running_primary_at_the_start_is_asked_for_in_place(self) -> None:
        guard, decision = decide(leased(), RUNNING, 101.0)
        assert decision == AskInPlace()
        assert decide(guard, RUNNING, 101.5)[1] == Nothing()
        refused = guard.in_place_refused()
        assert decide(refused, RUNNING, 101.6)[1] == Kill(KillReason.NO_GRANT)
        assert decide(guard, RUNNING, 101.0 + LIMITS.in_place_s)[1] == Kill(KillReason.NO_GRANT)

    def test_one_that_appears_later_is_killed(self) -> None:
        guard, _ = decide(leased(), DOWN, 101.0)
        assert decide(guard, RUNNING, 102.0)[1] == Kill(KillReason.NO_GRANT)

    def test_an_unarmed_guard_only_watches(self) -> None:
        guard = Guard(LIMITS)
        assert decide(guard, RUNNING, 101.0)[1] == Nothing()
        armed = decide(guard, RUNNING, 101.0)[0].state_seen(exists=True, epoch=Epoch(1))
        assert decide(armed, RUNNING, 101.1)[1] == AskInPlace()

    def test_while_the_group_is_being_armed_a_primary_is_asked_for_again_and_not_killed(
        self,
    ) -> None:
        """Nobody else is made active meanwhile; it served before, and an election passes."""
        arming = leased().state_seen(exists=True, epoch=Epoch(1), arming=True)
        guard, decision = decide(arming, RUNNING, 101.0)
        assert decision == AskInPlace()
        guard = guard.in_place_refused()
        guard, decision = decide(guard, RUNNING, 101.5)
        assert decision == Nothing()
        guard, _ = decide(guard, RUNNING, 101.0 + LIMITS.in_place_s)
        guard, decision = decide(guard, RUNNING, 104.1)
        assert decision == AskInPlace()
        whole = guard.state_seen(exists=True, epoch=Epoch(1)).in_place_refused()
        assert decide(whole, RUNNING, 104.2)[1] == Kill(KillReason.NO_GRANT)

    def test_a_grant_that_came_too_late_is_asked_for_again_while_it_is_being_armed(self) -> None:
        """And what is taken back is armed until that is committed, and kills nobody meanwhile."""
        arming = leased().state_seen(exists=True, epoch=Epoch(1), arming=True)
        guard, _ = decide(arming, RUNNING, 101.0)
        dropped = replace(guard, in_place=InPlace.OVER).in_place_refused()
        assert decide(dropped, RUNNING, 101.5)[1] == Nothing()
        back = dropped.state_seen(exists=False, epoch=Epoch(1))
        assert decide(back, RUNNING, 999.0)[1] == Nothing()

    def test_who_had_a_grant_is_killed_without_one_also_while_it_is_being_armed(self) -> None:
        guard = granted().state_seen(exists=True, epoch=Epoch(1), arming=True)
        guard, _ = decide(guard, DOWN, 101.0)
        assert guard.grant is None
        assert decide(guard, RUNNING, 102.0)[1] == Kill(KillReason.NO_GRANT)

    def test_a_lost_state_disarms_nobody(self) -> None:
        assert leased().state_seen(exists=False, epoch=None).armed

    def test_standby_and_single_user_mode_live(self) -> None:
        assert decide(leased(), STANDBY, 101.0)[1] == Nothing()
        single = ServerSeen(True, True, Note(StartMode.SINGLE, 100.0))
        assert decide(leased(), single, 101.0)[1] == Nothing()


class TestWritable:
    def test_yes(self) -> None:
        assert writable(granted(), RUNNING, 101.0).yes

    @pytest.mark.parametrize(
        ("guard", "server", "now_s", "word"),
        [
            (leased(), RUNNING, 101.0, "no grant"),
            (granted(), STANDBY, 101.0, "recovery"),
            (granted(), DOWN, 101.0, "down"),
            (granted(), RUNNING, 104.5, "deadline"),
            (granted().claim_seen(own=False), RUNNING, 101.0, "claim"),
            (granted().state_seen(exists=True, epoch=Epoch(2)), RUNNING, 101.0, "epoch 1 is over"),
            (replace(granted(), killing=KillReason.DEADLINE), RUNNING, 101.0, "killed"),
        ],
    )
    def test_no(self, guard: Guard, server: ServerSeen, now_s: float, word: str) -> None:
        says = writable(guard, server, now_s)
        assert not says.yes
        assert word in says.reason

    @pytest.mark.parametrize(
        ("guard", "server", "closes"),
        [
            (granted(), STANDBY, True),
            (granted(), DOWN, True),
            (granted(), RUNNING, False),
            (leased(), STANDBY, False),
            (replace(granted(), killing=KillReason.DEADLINE), STANDBY, False),
        ],
    )
    def test_closes_under_its_lease_alone(
        self, guard: Guard, server: ServerSeen, closes: bool
    ) -> None:
        """Else a no is to cut the sessions that a server left behind."""
        assert writable(guard, server, 101.0).closes is closes
        assert not writable(guard, server, 104.5).closes
