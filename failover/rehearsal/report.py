"""The report of a rehearsal: who, when, why, every step of both moves, and what it is judged by.

Pure. Invariant: it names no secret and no customer's data.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from failover.health.view import View
from failover.rehearsal.pause import Pause
from failover.rehearsal.record import OnRecord
from failover.replication.loss import LossEstimate, cluster_loss

ON_RECORD, OBSERVED = "on record", "observed"


@dataclass(frozen=True, slots=True)
class ClusterSeen:
    """One cluster at one moment: its primary, and what the other site has not received."""

    cluster: str
    primary: str | None
    timeline: int | None
    lag_bytes: int | None
    lag_s: float | None


@dataclass(frozen=True, slots=True)
class ClusterMove:
    """One cluster in one move. The lag is that of the beginning."""

    cluster: str
    primary_before: str | None
    primary_after: str | None
    timeline_before: int | None
    timeline_after: int | None
    lag_bytes: int | None
    lag_s: float | None
    pause_s: float | None
    both_sites_writable: bool


@dataclass(frozen=True, slots=True)
class Step:
    """``took_s``: since the last step before it whose moment is known."""

    step: str
    at_unix_s: float | None
    took_s: float | None
    source: str  # on record, observed


@dataclass(frozen=True, slots=True)
class Move:
    """One planned move. ``outcome``: done, gone_back, refused, unknown."""

    from_site: str
    to_site: str
    request: str
    outcome: str
    epoch_before: int
    epoch_after: int | None
    clusters: tuple[ClusterMove, ...]
    steps: tuple[Step, ...]
    evidence: dict[str, str]
    reasons: tuple[str, ...]

    def took_s(self, step: str) -> float | None:
        return next((one.took_s for one in self.steps if one.step == step), None)


@dataclass(frozen=True, slots=True)
class Report:
    """``stopped``: why the rehearsal did not go on; empty where both moves were made.

    ``active_site``, ``epoch``: as it ended; None where nobody could tell. ``todo``: what is to be
    done now. ``measured_at``: the host that measured.
    """

    id: str
    group: str
    by: str
    reason: str
    version: str
    home_site: str
    other_site: str
    began_unix_s: float
    ended_unix_s: float
    moves: tuple[Move, ...]
    stopped: str
    active_site: str | None
    epoch: int | None
    todo: str
    measured_at: str
    interval_s: float


# --------------------------------------------------------------------------- parts


def clusters_seen(view: View) -> tuple[ClusterSeen, ...]:
    """Every cluster of the group as it is now."""
    found = []
    for cluster in view.clusters:
        primary, loss = cluster.primary, cluster_loss(view, cluster)
        known = loss if isinstance(loss, LossEstimate) else None
        behind_s = known.behind_s if known is not None else float("inf")
        found.append(
            ClusterSeen(
                cluster=cluster.name,
                primary=primary.host.name if primary is not None else None,
                timeline=primary.postgres.timeline if primary and primary.postgres else None,
                lag_bytes=known.behind_bytes if known is not None else None,
                lag_s=round(behind_s, 1) if behind_s != float("inf") else None,
            )
        )
    return tuple(found)


def cluster_moves(
    before: tuple[ClusterSeen, ...], after: tuple[ClusterSeen, ...], pauses: dict[str, Pause]
) -> tuple[ClusterMove, ...]:
    """Before and after, side by side. ``after`` is empty where nobody could look."""
    there = {seen.cluster: seen for seen in after}
    return tuple(_moved(seen, there.get(seen.cluster), pauses.get(seen.cluster)) for seen in before)


def _moved(before: ClusterSeen, after: ClusterSeen | None, pause: Pause | None) -> ClusterMove:
    return ClusterMove(
        cluster=before.cluster,
        primary_before=before.primary,
        primary_after=after.primary if after is not None else None,
        timeline_before=before.timeline,
        timeline_after=after.timeline if after is not None else None,
        lag_bytes=before.lag_bytes,
        lag_s=before.lag_s,
        pause_s=pause.length_s if pause is not None else None,
        both_sites_writable=pause is not None and pause.both_sites,
    )


def steps(
    record: OnRecord,
    *,
    stopped_unix_s: float | None,
    streams_unix_s: float | None,
    healthy_unix_s: float | None,
) -> tuple[Step, ...]:
    """The steps of a move in order, each with the time since the one before it."""
    moments = (
        ("plan_frozen", record.frozen_unix_s, ON_RECORD),
        ("stopped_proof", stopped_unix_s, OBSERVED),
        ("commit", record.committed_unix_s, ON_RECORD),
        ("promoted", record.promoted_unix_s, ON_RECORD),
        ("streams_again", streams_unix_s, OBSERVED),
        ("healthy", healthy_unix_s, OBSERVED),
    )
    known = [(name, at) for name, at, _ in moments if at is not None]
    took = {name: round(at - last, 3) for (_, last), (name, at) in pairwise(known)}
    return tuple(Step(name, at, took.get(name), source) for name, at, source in moments)


# --------------------------------------------------------------------------- moments


def utc(unix_s: float) -> str:
    """A moment in UTC, to the millisecond."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds")


def file_stem(report: Report) -> str:
    """The name of the report's files, without what makes it one of several."""
    began = datetime.fromtimestamp(report.began_unix_s, UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"rehearsal-{report.group}-{began}"
