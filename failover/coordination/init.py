"""First start of a group: the parents of all znodes, then ``state``.

Invariant: what exists is never overwritten. Doing it twice, or after a crash half way, ends in the
same place; a ``state`` that says anything else than the first epoch of this policy is left alone
and said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from failover.access_lists import made_first
from failover.coordination.history import record
from failover.coordination.store import FORBIDDEN, Store, StoreForbidden, StoreUnavailable
from failover.model import Epoch, Lsn, TimelineId
from failover.policy import Policy
from failover.state import (
    ClusterState,
    GroupState,
    HistoryEntry,
    StandbyScope,
    StateError,
    decode_state,
    encode_state,
)
from failover.znode import Committed, Conflict, Create, GroupPaths, OutcomeUnknown


@dataclass(frozen=True, slots=True)
class Initialised:
    """``state`` is there, in its first epoch. ``created``: by this call."""

    state: GroupState
    created: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """A state with another content exists. Nothing was changed."""

    reason: str


def first_state(policy: Policy, *, now_unix_s: float) -> GroupState:
    """The state of a new group: epoch 1 at the policy's initial site, the other site following.
    Whether ``automation: auto`` may be that already is the caller's to say.

    There is nothing to lose yet, so any host of the initial site may take the first permit:
    ``min_lsn`` 0/0, ``promoted``.
    """
    cluster = ClusterState(
        min_lsn=Lsn(0), timeline=TimelineId(1), promoted=True, standby=StandbyScope.FOLLOWING
    )
    return GroupState(
        group=policy.group,
        epoch=Epoch(1),
        active_site=policy.initial_site,
        clusters={wanted.name: cluster for wanted in policy.clusters},
        protection=policy.protection,
        in_sync=False,
        automation=policy.automation,
        epoch_started_unix_s=now_unix_s,
    )


def initialise(
    store: Store,
    policy: Policy,
    *,
    now_unix_s: float,
    by: str,
    details: Mapping[str, str] = MappingProxyType({}),
    armed: bool = True,
) -> Initialised | Refused:
    """Create what is missing. StoreUnavailable where the ensemble does not answer. ``details``:
    what else goes on record. ``armed``: guards hold their servers to it.

    StateError where a ``state`` is there that cannot be understood.
    """
    paths = GroupPaths(policy.group)
    wanted = replace(first_state(policy, now_unix_s=now_unix_s), armed=armed)
    store.sync()
    if (found := store.read(paths.state)) is not None:
        return _compare(wanted, decode_state(found.data, path=paths.state), paths.state)
    _create_parents(
        store, made_first(policy) if policy.access.position.shown else paths.all_parents
    )
    entry = HistoryEntry(
        at_unix_s=now_unix_s,
        epoch=wanted.epoch,
        event="initialised",
        summary=f"group {policy.group} starts with {wanted.active_site} active"
        + ("" if armed else ", looked at and not armed"),
        by=by,
        details={"automation": wanted.automation, "protection": wanted.protection, **details},
    )
    outcome = record(store, paths, entry, Create(paths.state, encode_state(wanted)))
    if isinstance(outcome, Committed):
        return Initialised(wanted, created=True)
    return _read_back(store, paths, wanted, outcome.reason)


def _create_parents(store: Store, parents: tuple[str, ...]) -> None:
    for path in parents:
        if store.read(path) is not None:
            continue
        outcome = store.commit((Create(path, b""),))
        if isinstance(outcome, OutcomeUnknown):
            raise StoreUnavailable(f"creating {path}: {outcome.reason}")
        if isinstance(outcome, Conflict) and outcome.reason == FORBIDDEN:
            raise StoreForbidden(f"{path} {FORBIDDEN}")
        if isinstance(outcome, Conflict) and store.read(path) is None:
            raise StateError(f"{path}: ZooKeeper does not let it be created: {outcome.reason}")


def _read_back(
    store: Store, paths: GroupPaths, wanted: GroupState, reason: str
) -> Initialised | Refused:
    """Somebody else created it in the same instant, or the connection was lost in between."""
    store.sync()
    found = store.read(paths.state)
    if found is None:
        raise StoreUnavailable(f"creating {paths.state}: {reason}; run the command again")
    return _compare(wanted, decode_state(found.data, path=paths.state), paths.state)


def _compare(wanted: GroupState, found: GroupState, path: str) -> Initialised | Refused:
    same_start = replace(
        wanted, epoch_started_unix_s=found.epoch_started_unix_s, automation=found.automation
    )
    if found == same_start:
        return Initialised(found, created=False)
    different = [
        f"{name}: there {getattr(found, name)}, wanted {getattr(same_start, name)}"
        for name in ("group", "epoch", "active_site", "protection", "armed")
        if getattr(found, name) != getattr(same_start, name)
    ]
    if set(found.clusters) != set(wanted.clusters):
        different.append(
            f"clusters: there {', '.join(sorted(found.clusters))}, "
            f"wanted {', '.join(sorted(wanted.clusters))}"
        )
    detail = "; ".join(different) or "it is in use already"
    return Refused(f"{path} exists and is not a first start of this configuration ({detail})")
