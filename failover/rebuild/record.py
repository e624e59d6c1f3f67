"""What stands in ``state`` about a quorum that was rebuilt without a site. Pure."""

from __future__ import annotations

from dataclasses import replace

from failover.last_writer import encode_last_writer, read_last_writer
from failover.model import TIMELINE_MAX, Epoch, SiteName, TimelineId
from failover.state import GroupState
from failover.znode import Set, Znode

# The lost sites may have moved on by themselves, in epochs that this record has not heard of: what
# is named by an epoch (a fence, a salvage, a claim) must never be taken for theirs.
EPOCHS_AHEAD = 1000
# The same of timelines: local failovers of the lost site took numbers unheard of here. Few,
# because each one left out is a file at the next promotion.
TIMELINES_AHEAD = 16


def rebuilt(
    state: GroupState, lost: SiteName, *, now_unix_s: float, again: bool = False
) -> GroupState:
    """Of the lost site nothing is proved from now on. ``again``: the same command, after an
    interruption: what it has done already is left."""
    if again and state.unproven_site == lost:
        return state
    # It names the judgement under which a first one was permitted (``last_writer``). Nobody judges
    # anew here: what he acknowledged since then is as much in need of him as before.
    settled = all(cluster.promoted for cluster in state.clusters.values())
    return replace(
        state,
        epoch=Epoch(state.epoch + EPOCHS_AHEAD),
        epoch_started_unix_s=now_unix_s if settled else state.epoch_started_unix_s,
        unproven_site=lost,
        # Who had left the record may have left it unheard of here.
        clusters={name: replace(found, have=(), runs={}) for name, found in state.clusters.items()},
        in_sync=False,
    )


def timelines_ahead(found: Znode) -> tuple[Set, ...]:
    """No number that the lost site may have taken is promised to anybody again."""
    writer = read_last_writer(found)
    if writer is None or writer.timeline > TIMELINE_MAX - TIMELINES_AHEAD:
        return ()  # nothing is promised after such a number
    number = TimelineId(writer.timeline + TIMELINES_AHEAD)
    ahead = replace(writer, timeline=number, promised=False)
    return (Set(found.path, encode_last_writer(ahead), found.version),)


def proven(state: GroupState) -> GroupState:
    """Every server is back with this record."""
    return replace(state, unproven_site=None)
