"""The step that tells Patroni whom to promote: gates and transaction. Pure.

It makes nobody primary: the permit of the guard decides as ever. It is written only while nobody
holds the claim or Patroni's key, both proved in the transaction, since a running leader that finds
another name there steps down for it.
"""

from __future__ import annotations

import json

from failover.health.candidate import Outrun, outrun
from failover.health.view import View
from failover.model import HostName, Invariant
from failover.planning.gates import claim_gone, no_working_primary, state_readable, unpaused
from failover.planning.plan import Gate, Hold, Plan, StepName, held, passing
from failover.planning.step_gates import automation_acts
from failover.planning.steps import step
from failover.planning.transactions import config_version, history, known, scope_paths
from failover.znode import Check, Create, Delete, GroupPaths, Op, ScopePaths, Set, Transaction

Found = tuple[Outrun, ...]


def name_candidates(view: View) -> Plan | Hold:
    """Of every cluster that needs it, in one step."""
    found = outrun(view)
    gates = tuple(dict.fromkeys(gate for each in found for gate in _gates(view, each)))
    if not (found and passing(gates)):
        return held(StepName.NAME_CANDIDATE, gates)
    clusters = tuple(each.cluster for each in found)
    action = _transaction(view, found)
    return step(StepName.NAME_CANDIDATE, _sentence(view, found), view, clusters, gates, action)


def _sentence(view: View, found: Found) -> str:
    told = [f"to promote {host.host.name}" for each in found if (host := each.candidate)]
    told += [f"not to wait for {', '.join(o.ahead)}" for o in found if o.candidate is None]
    return f"Patroni in {view.active_site} is told {', '.join(told)}"


# --------------------------------------------------------------------------- gates


def _gates(view: View, found: Outrun) -> tuple[Gate, ...]:
    cluster, recorded = found.cluster, known(found.cluster.recorded)
    side = cluster.active
    return (
        state_readable(view),
        *((automation_acts(view),) if recorded.promoted else ()),
        claim_gone(view, cluster),
        no_working_primary(cluster),
        unpaused("active_scope_not_paused", cluster, side.paused, side.site),
        _last_writer_known(found),
    )


def _last_writer_known(found: Outrun) -> Gate:
    """Who may have a permit follows from its record, which the transaction checks."""
    writer = found.cluster.last_writer
    text = (
        "no record of who wrote last"
        if writer is None
        else f"{writer.host or 'unknown'} wrote last"
    )
    invariant = Invariant.NOTHING_LOST_SILENTLY
    passes = None if writer is None else True
    return Gate("last_writer_known", passes, text, invariant, found.cluster.name)


# --------------------------------------------------------------------------- the transaction


def _transaction(view: View, found: Found) -> Transaction:
    paths, state = GroupPaths(view.policy.group), known(view.state)
    details: dict[str, str] = {}
    for each in found:
        name, names = each.cluster.name, ", ".join(each.ahead)
        if each.candidate is None:
            details[f"{name}.withdrawn"] = names
        else:
            details[f"{name}.candidate"] = each.candidate.host.name
            details[f"{name}.refused_ahead"] = names
    return (
        Check(paths.state, known(view.state_version)),
        *(op for each in found for op in _name(view, paths, each)),
        *history(view, paths, state.epoch, "candidate_named", _sentence(view, found), details),
    )


def _name(view: View, paths: GroupPaths, found: Outrun) -> tuple[Op, ...]:
    """Created and deleted: nobody holds the claim, nobody Patroni's key."""
    cluster = found.cluster
    claim, scope = paths.writer(cluster.name), scope_paths(view, cluster, cluster.active)
    host = found.candidate.host.name if found.candidate is not None else None
    return (
        Check(paths.last_writer(cluster.name), known(cluster.last_writer).version),
        Check(scope.config, config_version(cluster.active)),  # not paused since
        Create(claim, b""),
        Delete(claim),
        Create(scope.leader, b""),
        Delete(scope.leader, version=0),
        name_in(scope, host, known(cluster.active.scope).failover_version),
    )


def name_in(scope: ScopePaths, host: HostName | None, version: int | None) -> Create | Set:
    """Patroni's own form of a manual failover; ``host`` None: of none.

    ``version``: of what stands there; None: nothing.
    """
    data = json.dumps({"member": host} if host is not None else {}).encode()
    return Create(scope.failover, data) if version is None else Set(scope.failover, data, version)
