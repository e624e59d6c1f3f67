"""When a pair may be armed, and when it is (failover/adoption/arming.py)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from checks_world import on_host, world
from cli_world import SILENT
from memory_store import MemoryStore
from memory_store import World as MemoryWorld

from failover.adoption import arming
from failover.checks.table import NAMES
from failover.cli import adopt_arm
from failover.cli.look import Seen
from failover.cli.output import UserError
from failover.health.inputs import ScopeSeen
from failover.health.observation import GuardSeen
from failover.health.view import View, build_view
from failover.model import Automation, Epoch, GroupName, HostName, ProtectionMode, SiteName
from failover.planning.decision import decide
from failover.planning.gates import takeover_gates
from failover.planning.plan import Plan, StepName
from failover.planning.plan_checks import lint
from failover.policy import Policy
from failover.state import GroupState, StandbyScope, decode_state, encode_state
from failover.znode import Create, GroupPaths, ScopePaths, Set
from tests.scenarios.language import build

MAKASSAR = SiteName("makassar")
PATHS = GroupPaths(GroupName("marketplace"))


def seen(*changes: str) -> View:
    world = build(list(changes))
    for host in world.hosts.values():
        if isinstance(host.guard, GuardSeen) and world.state is not None:
            host.guard = replace(host.guard, epoch=world.state.epoch)
    return build_view(world.policy, world.inputs())


def test_every_check_that_it_waits_for_is_there() -> None:
    assert set(arming.CHECKS) <= set(NAMES)


def test_a_healthy_pair_may_be_armed() -> None:
    no_slot = "marketplace: no slot failover_makassar in the scope of jakarta"
    assert arming.against_arming(seen()) == (no_slot,)  # this world's scopes say nothing of slots
    assert arming.active_site(seen()) == "jakarta"
    assert arming.not_yet(seen()) == ()


def test_what_speaks_against_it() -> None:
    sites = ("jakarta", "makassar", "surabaya")
    blind = seen(*(f"observer {site} has published nothing" for site in sites))
    assert arming.against_arming(blind) == ("no controller lives: nobody sees the hosts",)
    silent = arming.against_arming(seen("the guard on mks-db2 is silent"))
    assert "mks-db2: its guard gives no answer" in silent
    two = arming.against_arming(seen("PostgreSQL on mks-db1 is a working primary"))
    assert "marketplace: a server out of recovery in makassar" in two


def test_a_group_whose_primary_has_no_claim_is_not_armed_yet() -> None:
    assert "marketplace: its primary holds no claim" in arming.not_yet(seen("no claim for 5 s"))


def test_a_claim_without_a_grant_is_no_armed_group() -> None:
    """The permit was committed, and its answer came too late: that server has no deadline."""
    world = build([])
    host = world.hosts[HostName("jkt-db1")]
    assert isinstance(host.guard, GuardSeen)
    host.guard = replace(host.guard, granted=False)
    late = build_view(world.policy, world.inputs())
    assert "jkt-db1: its guard holds no grant" in arming.not_yet(late)
    two = arming.not_yet(seen("PostgreSQL on mks-db1 is a working primary"))
    assert "marketplace: more than one server works as primary" in two


def test_disarmed_it_is_when_claims_and_guards_are_gone() -> None:
    assert "marketplace: its claim is held" in arming.still_armed(seen())


def test_a_new_arrangement_forgets_what_was_before() -> None:
    state = seen().state
    assert state is not None
    after = arming.armed(arming.disarmed(state), MAKASSAR, 5.0)
    assert (after.armed, after.epoch, after.active_site) == (True, state.epoch + 1, MAKASSAR)
    assert after.arming
    assert after.automation is Automation.OBSERVE
    (cluster,) = after.clusters.values()
    assert (cluster.promoted, cluster.standby) == (True, StandbyScope.FOLLOWING)
    assert replace(arming.disarmed(state), armed=True, automation=state.automation) == state


# --------------------------------------------------------------------------- not every guard yet


def on_record(*changes: str) -> GroupState:
    state = seen(*changes).state
    assert state is not None
    return state


def test_a_guard_that_knows_another_epoch_has_not_read_that_it_is_armed() -> None:
    view = seen()
    state = on_record()
    later = replace(view, state=replace(state, epoch=Epoch(state.epoch + 1)))
    assert "jkt-db2: its guard is not armed" in arming.not_yet(later)
    assert "marketplace: its primary holds no claim" in arming.not_yet(later)


def test_what_was_not_given_back_is_not_armed_again() -> None:
    against = arming.against_arming(seen("the group is not armed"))
    assert "marketplace: its claim is held" in against
    assert "jkt-db1: its guard is armed" in against


def test_only_the_arming_that_was_begun_comes_to_its_end() -> None:
    begun = on_record("the group is being armed")
    other = Epoch(begun.epoch + 1)
    assert arming.confirmed(begun, begun.epoch).may_move
    assert arming.confirmed(begun, other) == begun
    assert not arming.taken_back(begun, begun.epoch).armed
    assert arming.taken_back(begun, other) == begun
    whole = arming.confirmed(begun, begun.epoch)
    assert arming.taken_back(whole, begun.epoch) == whole
    gone = arming.disarmed(begun)
    assert arming.confirmed(gone, begun.epoch) == gone


def test_that_it_is_under_way_is_written_and_read() -> None:
    begun = on_record("the group is being armed")
    assert decode_state(encode_state(begun)) == begun
    assert b"arming" not in encode_state(on_record())


LOST = (  # whoever wrote there, nobody sees it
    "jakarta unplugged for 60 s",
    "no claim for 60 s",
    "an operator asks for a takeover to makassar, 1 s ago, accepts the loss, has fenced jakarta",
)
NOT_YET = pytest.mark.parametrize("how", ["the group is not armed", "the group is being armed"])


@NOT_YET
@pytest.mark.parametrize(
    "asked", [LOST, ("an operator asks for a switchover to makassar, 1 s ago",)]
)
def test_an_operators_move_is_refused_with_a_sentence(how: str, asked: tuple[str, ...]) -> None:
    view = seen(*asked, how)
    decided = decide(view)
    assert decided.verdict.code == "unarmed_move_requested"
    assert isinstance(decided.next_step, Plan)
    assert decided.next_step.step is StepName.REFUSE_REQUEST
    assert "group_armed: " in decided.next_step.sentence
    assert "`failover adopt arm`" in decided.next_step.sentence
    assert lint(decided.next_step, view) == ()


@NOT_YET
@pytest.mark.parametrize(
    ("asked", "step"),
    [
        (LOST, StepName.TAKEOVER),
        (LOST[:2], StepName.TAKEOVER),
        (("an operator asks for a switchover to makassar, 1 s ago",), StepName.BEGIN_SWITCHOVER),
    ],
)
def test_a_plan_that_moves_it_is_never_committed(
    how: str, asked: tuple[str, ...], step: StepName
) -> None:
    """What the gates should have refused: a plan as it would be of an armed group."""
    whole = decide(seen(*asked)).next_step
    assert isinstance(whole, Plan), whole
    assert whole.step is step
    assert "only_armed" in {problem.check for problem in lint(whole, seen(*asked, how))}
    assert lint(whole, seen(*asked)) == ()


@NOT_YET
def test_automation_holds(how: str) -> None:
    view = seen(*LOST[:2], how)
    assert decide(view).verdict.code == "not_armed"
    assert [g.passes for g in takeover_gates(view) if g.name == "group_armed"] == [False]


# --------------------------------------------------------------------------- the command


def stored(state: GroupState) -> MemoryStore:
    store = MemoryStore(MemoryWorld(), session_id=1)
    for path in ("/failover", PATHS.root, PATHS.history):
        store.commit((Create(path, b""),))
    store.commit((Create(PATHS.state, encode_state(state)),))
    return store


def read(store: MemoryStore) -> GroupState:
    found = store.read(PATHS.state)
    assert found is not None
    return decode_state(found.data)


def test_a_plan_that_was_begun_since_the_look_is_not_left_for_ever() -> None:
    planned = on_record("a switchover to makassar is frozen with 5 s left")
    with pytest.raises(UserError, match="a plan is under way"):
        adopt_arm._disarmed(planned)


def test_another_arming_is_not_taken_back() -> None:
    begun = on_record("the group is being armed")
    for epoch, armed in ((Epoch(begun.epoch + 1), True), (begun.epoch, False)):
        store = stored(begun)
        with pytest.raises(UserError, match="taken back"):
            adopt_arm._take_back(store, seen().policy, ("its guard is not armed",), epoch)
        assert read(store).armed is armed


def looked_at() -> tuple[MemoryStore, Seen]:
    """A store, and what was seen in it: Patroni's configurations too."""
    world, store = build(["the group is not armed"]), stored(arming.disarmed(on_record()))
    inputs = world.inputs()
    scopes = []
    for scope in inputs.scopes:
        assert scope.config is not None
        path = config_of(world.policy, scope)
        above = path.split("/")
        for end in range(2, len(above)):
            store.commit((Create("/".join(above[:end]), b""),))
        store.commit((Create(path, scope.config.text.encode()),))
        now = store.read(path)
        assert now is not None
        scopes.append(replace(scope, config=replace(scope.config, version=now.version)))
    return store, Seen.of(world.policy, replace(inputs, scopes=tuple(scopes)), 1.0)


def config_of(policy: Policy, scope: ScopeSeen) -> str:
    name = policy.cluster(scope.cluster).scope(scope.site)
    return ScopePaths(policy.patroni_namespace, name).config


def test_arming_is_begun_on_record_and_says_in_which_epoch() -> None:
    store, found = looked_at()
    policy = found.view.policy
    assert adopt_arm._begin(policy, store, found, "because") == ("jakarta", 2)
    assert (read(store).armed, read(store).arming) == (True, True)
    with pytest.raises(UserError, match="somebody else"):
        adopt_arm._begin(policy, store, found, "because")


def test_a_pair_that_was_moved_since_the_look_is_not_armed() -> None:
    """By Patroni's own tools, while the checks ran: its primary would be killed over there."""
    store, found = looked_at()
    policy = found.view.policy
    moved = config_of(policy, found.inputs.scopes[0])
    now = store.read(moved)
    assert now is not None
    store.commit((Set(moved, now.data, now.version),))
    with pytest.raises(UserError, match="was changed since it was looked at"):
        adopt_arm._begin(policy, store, found, "because")
    assert not read(store).armed


def test_a_synchronous_group_is_not_armed_because_nobody_would_get_a_permit() -> None:
    mode = ProtectionMode.MAX_AVAILABILITY
    view = seen("the group is not armed")
    assert view.state is not None
    sync = replace(view, state=replace(view.state, protection=mode))
    assert arming.SYNCHRONOUS in arming.against_arming(sync)
    assert arming.SYNCHRONOUS not in arming.against_arming(view)
    store, found = looked_at()
    now = store.read(PATHS.state)
    assert now is not None
    after = encode_state(replace(decode_state(now.data), protection=mode))
    store.commit((Set(PATHS.state, after, now.version),))
    with pytest.raises(UserError, match="protection is synchronous"):
        adopt_arm._begin(found.view.policy, store, found, "because")
    assert not read(store).armed


def test_what_nobody_would_bring_to_its_end_is_not_disarmed() -> None:
    state = on_record()
    assert adopt_arm._disarmed(state) == arming.disarmed(state)
    ((name, cluster),) = state.clusters.items()
    for left, why in (
        (replace(cluster, standby=StandbyScope.QUARANTINE), "stands in quarantine"),
        (replace(cluster, promoted=False), "is not on record"),
    ):
        with pytest.raises(UserError, match=why):
            adopt_arm._disarmed(replace(state, clusters={name: left}))
    with pytest.raises(UserError, match="protection is max-availability"):
        adopt_arm._disarmed(replace(state, protection=ProtectionMode.MAX_AVAILABILITY))


def test_what_the_checks_cannot_see_speaks_against_arming(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unread = on_host("mks-db2", lambda h: replace(h, postgres=SILENT))(world())
    monkeypatch.setattr(adopt_arm, "everything", lambda *_: unread)
    monkeypatch.setattr(arming, "against_arming", lambda _: ())
    store, found = looked_at()
    with pytest.raises(UserError, match="not armed: 1 reasons"):
        adopt_arm._refuse(found.view.policy, store, found.view, Path())
    assert "postgresql-version: unknown: mks-db2" in capsys.readouterr().err
