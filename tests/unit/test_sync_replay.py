"""Invariant S (decision 0014) under anything that may happen between any two steps.

That the play can go wrong at all is shown by mistakes that are planted: each is found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from controller_world import CLUSTER, SURABAYA
from memory_store import MemoryStore
from prometheus_client import CollectorRegistry, generate_latest
from sync_world import SyncGroup

from failover.config import load
from failover.coordination import sync_memory
from failover.coordination.sync_memory import Look, Proof, Run, SyncKey
from failover.guard import permits
from failover.health import protection
from failover.health.cluster_view import ClusterView
from failover.health.protection import Change, ChangeKind
from failover.metrics.controller import ControllerMetrics, Instruments
from failover.model import HostName, ProtectionMode
from failover.znode import Conflict, Delete

STORMS, QUIET_S = 4, 7
MODES = [ProtectionMode.MAX_AVAILABILITY, ProtectionMode.MAX_PROTECTION]
SEEDS_OF_A_MISTAKE = (61, 129, *range(60))  # the first ones found one each


@pytest.mark.parametrize("mode", MODES)
def test_whoever_is_on_record_has_everything(mode: ProtectionMode) -> None:
    _replay(mode, (0, 1, 27))  # 27: an answer from before the promotion, as fresh as one after it


@pytest.mark.full
@pytest.mark.parametrize("mode", MODES)
def test_whoever_is_on_record_has_everything_many_times(mode: ProtectionMode) -> None:
    _replay(mode, tuple(range(2, 150)))


def test_in_sync_is_a_metric() -> None:
    group = SyncGroup(load(Path("tests/open.yaml")), Random(1), MODES[0])
    registry = CollectorRegistry()
    metrics = ControllerMetrics(group.policy, SURABAYA, Instruments(registry))
    group.quiet(QUIET_S)
    metrics.tick_done(group.run(0.5)[-1], 0.01)
    shown = generate_latest(registry).decode()
    assert 'failover_in_sync{group="marketplace",reader="surabaya"} 1.0' in shown


def _replay(mode: ProtectionMode, seeds: tuple[int, ...]) -> None:
    """In quiet it comes into sync, again and again: otherwise nothing would have been tested."""
    events: list[str] = []
    synced = 0
    for seed in seeds:
        group = _storms(mode, seed)
        synced += group.state.in_sync
        events += group.history()
    assert synced > len(seeds) / 2
    assert events.count("degraded") > len(seeds)
    assert events.count("in_sync") > 2 * len(seeds)


def _storms(mode: ProtectionMode, seed: int, *, late_p: float = 0.0) -> SyncGroup:
    random = Random(seed)
    group = SyncGroup(load(Path("tests/open.yaml")), random, mode)
    group.late_p, group.lateness = late_p, Random(seed)
    for _ in range(STORMS):
        group.storm(random.randint(8, 24))
        group.quiet(QUIET_S)
    return group


# --------------------------------------------------------------------------- planted mistakes

real_advance, real_drop = sync_memory.advance, protection._drop
real_follow_run = sync_memory.follow_run


def _setting_is_proof(proof: Proof, look: Look, key: SyncKey) -> Proof:
    """Believes what the primary shows of its setting and its walsenders."""
    after = real_advance(proof, look, key)
    return replace(after, done=after.held is not None)


def _checkpointer_ignored(proof: Proof, look: Look, key: SyncKey) -> Proof:
    """Takes the mark without asking whether commits wait already."""
    primary = look.primary
    busy = None if primary is None else replace(primary, checkpointer_idle=True)
    servers = {
        h: None if s is None else replace(s, checkpointer_idle=True)
        for h, s in look.servers.items()
    }
    return real_advance(proof, replace(look, primary=busy, servers=servers), key)


def _list_before_record(
    state: object, cluster: ClusterView, have: tuple[HostName, ...]
) -> Change | None:
    """Lets commits go on first, and puts it on record later."""
    change = real_drop(state, cluster, have)  # type: ignore[arg-type]
    if change is not None and set(change.listed) != set(protection.listed(cluster) or ()):
        return replace(change, kind=ChangeKind.DROP, have=have)
    return change


def _its_name_is_proof(run: Run | None, look: Look, host: HostName) -> Run | None:
    """Believes that what comes back by the name of a host is what it was."""
    after = real_follow_run(run, look, host)
    return replace(after, level=True) if after is not None else None


MISTAKES: dict[str, tuple[object, str, Callable[..., object]]] = {
    "the setting is taken for the proof": (sync_memory, "advance", _setting_is_proof),
    "the checkpointer is not asked": (sync_memory, "advance", _checkpointer_ignored),
    "a host is known by its name": (sync_memory, "follow_run", _its_name_is_proof),
    "the list leaves before the record": (protection, "_drop", _list_before_record),
    "a position on another branch counts": (protection, "_on_another_branch", lambda *_: False),
    "every host gets a permit": (permits, "_not_in_sync", lambda *_: None),
}


RARE = "a host is known by its name"  # a long play until it shows


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n == RARE else n for n in MISTAKES],
)
def test_a_planted_mistake_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, what, mistake = MISTAKES[name]
    monkeypatch.setattr(where, what, mistake)
    monkeypatch.setattr("failover.planning.decision.lint", lambda *_: ())  # it would find some
    with pytest.raises(AssertionError, match=r"lacks"):
        _storms_of(SEEDS_OF_A_MISTAKE)


def _storms_of(seeds: tuple[int, ...]) -> None:
    for seed in seeds:
        _storms(ProtectionMode.MAX_AVAILABILITY, seed)


# --------------------------------------------------------------------------- late


@pytest.mark.parametrize(
    "seeds", [(1,), pytest.param(tuple(range(2, 60)), marks=pytest.mark.full)], ids=["one", "many"]
)
def test_steps_that_controllers_send_late(seeds: tuple[int, ...]) -> None:
    """Every third one stands still with its step in hand, and sends it when the world has moved."""
    for seed in seeds:
        _storms(MODES[0], seed, late_p=0.3)


def test_a_drop_that_is_sent_after_a_local_failover_is_refused() -> None:
    """The controller stands still with it in hand. It was judged of the old primary: sent now, it
    takes the new one out of its own list, whether or not mks-db1, further on the old branch, is
    still on record; and PostgreSQL would count what that one says before it is turned away."""
    group = SyncGroup(load(Path("tests/open.yaml")), Random(2), MODES[0])
    group.quiet(QUIET_S)
    assert group.state.in_sync
    old, new, remote = (group.servers[HostName(n)] for n in ("jkt-db1", "jkt-db2", "mks-db1"))
    group.late_p = 1.0
    new.silent = True
    group._forget(new.host.name)
    while not group.late:
        group.write()
        remote.log[:] = old.log
        old.has[remote.host.name] = len(remote.log)
        group.half_a_second(())
    group.late_p = 0.0
    store, drop = group.late[-1]
    old.shut_down()
    group.sessions[old.host.name].commit((Delete(group.paths.writer(CLUSTER)),))
    new.silent = False
    assert group.ask_permit(new.host.name, promotion=True)
    new.timeline += 1
    assert isinstance(MemoryStore.commit(store, drop), Conflict)
