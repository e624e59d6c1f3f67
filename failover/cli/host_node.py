"""What `failover status` shows of one database host, as plain values. Pure; part of a ``Snapshot``.

Invariant: None means unknown. Judges nothing: what is out of the ordinary is noted, and no more.
"""

from __future__ import annotations

from dataclasses import dataclass

from failover.cli.units import size
from failover.endpoints import endpoint
from failover.health.cluster_view import ClusterView, SideView
from failover.health.observation import NoAnswer
from failover.health.sightings import HostView
from failover.model import Lsn
from failover.replication.loss import end_of_received
from failover.state import StandbyScope


@dataclass(frozen=True, slots=True)
class HostNode:
    """One database host. ``lag_*``: against the primary; None where unknown or meaningless."""

    name: str
    address: str
    reached: bool | None
    role: str  # primary, standby leader, standby, stopped, unreachable, unknown
    timeline: int | None
    lsn: str | None
    replayed_lsn: str | None
    lag_bytes: int | None
    lag_s: float | None
    guard: str  # writable, granted, armed, not armed, worker down, no answer
    grant_left_s: float | None
    notes: tuple[str, ...]


def host_node(cluster: ClusterView, side: SideView, host: HostView) -> HostNode:
    """One host of ``side``, as it is seen now."""
    postgres = host.postgres
    role = _role(side, host)
    position = None
    if postgres is not None:
        in_recovery = postgres.in_recovery
        position = end_of_received(postgres) if in_recovery else postgres.current_lsn
    behind = _lag(cluster, host, position) if role.startswith("standby") else (None, None)
    guard = host.guard
    return HostNode(
        name=host.host.name,
        address=endpoint(host.host.address, host.host.postgres_port),
        reached=host.reached,
        role=role,
        timeline=postgres.timeline if postgres else None,
        lsn=str(position) if position else None,
        replayed_lsn=str(postgres.replayed_lsn) if postgres and postgres.replayed_lsn else None,
        lag_bytes=behind[0],
        lag_s=behind[1],
        guard=_guard(host),
        grant_left_s=rounded(guard.deadline_in_s) if guard and guard.granted else None,
        notes=tuple(_notes(cluster, host)),
    )


def _role(side: SideView, host: HostView) -> str:
    postgres = host.postgres
    if postgres is not None:
        if not postgres.in_recovery:
            return "primary"
        leader = side.standby_leader
        return "standby leader" if leader and leader.host == host.host else "standby"
    if host.working_primary is False:
        return "stopped"
    if host.reached is False:
        return "unreachable"
    return "unknown"


def _guard(host: HostView) -> str:
    guard = host.guard
    if guard is None:
        return "no answer"
    if guard.writable:
        return "writable"
    if guard.granted:
        return "granted"
    if not guard.armed:
        return "not armed"
    return "armed" if guard.worker_alive else "worker down"


def _lag(
    cluster: ClusterView, host: HostView, position: Lsn | None
) -> tuple[int | None, float | None]:
    """(bytes, seconds) behind the primary, by what has been received. Seconds are at most that."""
    reference = _reference(cluster)
    if reference is None or position is None or not _same_branch(cluster, host):
        return None, None
    behind_bytes = max(0, reference - position)
    if behind_bytes == 0:
        return 0, 0.0
    passed = (sample.age_s for sample in cluster.samples if sample.lsn <= position)
    return behind_bytes, rounded(next(passed, None))


def _reference(cluster: ClusterView) -> Lsn | None:
    """The furthest end of WAL that is known of the primary."""
    primary = cluster.primary.postgres if cluster.primary else None
    known = [sample.lsn for sample in cluster.samples[:1]]
    if primary is not None and primary.current_lsn is not None:
        known.append(primary.current_lsn)
    return max(known, default=None)


def _same_branch(cluster: ClusterView, host: HostView) -> bool:
    primary = cluster.primary.postgres if cluster.primary else None
    own = host.postgres
    return primary is None or (own is not None and own.timeline == primary.timeline)


def _notes(cluster: ClusterView, host: HostView) -> list[str]:
    """What is out of the ordinary on this host, one line each."""
    notes = []
    patroni, postgres = host.patroni, host.postgres
    if patroni is not None:
        if patroni.state not in ("running", "streaming"):
            notes.append(f"Patroni: {patroni.state}")
        if patroni.pending_restart:
            notes.append("Patroni: a restart is pending")
        if patroni.nofailover:
            notes.append("Patroni: nofailover")
    if host.reached:
        for part, name in (("postgres", "PostgreSQL"), ("patroni", "Patroni"), ("guard", "guard")):
            notes += _refusal(host, part, name)
    if postgres is not None and postgres.in_recovery and postgres.receiver_streaming is False:
        notes.append("PostgreSQL: no WAL receiver")
    return notes + _salvage(cluster, host)


def _salvage(cluster: ClusterView, host: HostView) -> list[str]:
    """How far the salvage is, while the site stands in quarantine for it."""
    if cluster.recorded is None or cluster.recorded.standby is not StandbyScope.QUARANTINE:
        return []
    return [
        f"salvage of epoch {record.epoch}: {record.phase.value}, {size(record.bytes)}"
        + (f"; {record.detail}" if record.detail else "")
        for record in cluster.salvage
        if record.host == host.host.name
    ]


def _refusal(host: HostView, part: str, name: str) -> list[str]:
    """Why nobody has an answer from one part, in the freshest words; empty where somebody has."""
    answers = [getattr(sighting.seen, part) for sighting in host.sightings]
    if any(not isinstance(answer, NoAnswer) for answer in answers):
        return []
    return [f"{name}: {answer.kind.value} ({answer.detail})" for answer in answers[:1]]


def rounded(value: float | None) -> float | None:
    """Seconds for a human: to a tenth."""
    return None if value is None else round(value, 1)
