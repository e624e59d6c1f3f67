"""Whether a rehearsal has passed, with every reason why it has not. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from failover.rehearsal.report import ClusterMove, Move, Report

PAUSE_S_MAX = 1.0  # of writes, per move and cluster: what customers are promised
STREAMS_AGAIN_S_MAX = 15.0  # from the promotion until the old site is a standby that streams

LIMITS = {"pause_s": PAUSE_S_MAX, "streams_again_s": STREAMS_AGAIN_S_MAX}


def shortcomings(report: Report) -> tuple[str, ...]:
    """Why it has not passed; empty: it has. What is not known does not pass."""
    found = [report.stopped] if report.stopped else []
    for move in report.moves:
        found += [f"{move.from_site} to {move.to_site}: {text}" for text in _of(move)]
    if report.active_site != report.home_site:
        found.append(f"{report.active_site or 'no known site'} is active, not {report.home_site}")
    return tuple(dict.fromkeys(found))


def _of(move: Move) -> Iterator[str]:
    if move.outcome != "done":
        yield f"the move is {move.outcome}"
        return
    if move.epoch_after != move.epoch_before + 1:
        yield f"epoch {move.epoch_after} after {move.epoch_before}"
    for cluster in move.clusters:
        yield from _of_cluster(cluster)
    streams_s = move.took_s("streams_again")
    if streams_s is None:
        yield "the old site was not seen to stream again"
    elif streams_s > STREAMS_AGAIN_S_MAX:
        limit = f"at most {STREAMS_AGAIN_S_MAX:g} s are allowed"
        yield f"the old site streamed again after {streams_s:.1f} s, {limit}"


def _of_cluster(cluster: ClusterMove) -> Iterator[str]:
    name = cluster.cluster
    if cluster.both_sites_writable:
        yield f"{name}: a guard of the old site said writable after one of the new site had"
    if cluster.pause_s is None:
        yield f"{name}: the pause of writes could not be measured"
    elif cluster.pause_s > PAUSE_S_MAX:
        yield f"{name}: writes paused for {cluster.pause_s:.2f} s, {PAUSE_S_MAX:g} s are allowed"
    before, after = cluster.timeline_before, cluster.timeline_after
    if before is None or after is None or after <= before:
        yield f"{name}: timeline {after or 'unknown'} after {before or 'unknown'}"
