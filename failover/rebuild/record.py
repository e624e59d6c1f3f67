"""What stands in ``state`` about a quorum that was rebuilt without a site. Pure."""

from __future__ import annotations

from dataclasses import replace

from failover.model import Epoch, SiteName
from failover.state import GroupState

# The lost sites may have moved on by themselves, in epochs that this record has not heard of: what
# is named by an epoch (a fence, a salvage, a claim) must never be taken for theirs.
EPOCHS_AHEAD = 1000


def rebuilt(state: GroupState, lost: SiteName, *, now_unix_s: float) -> GroupState:
    """Of the lost site nothing is proved from now on. The same again changes nothing."""
    if state.unproven_site == lost:
        return state
    return replace(
        state,
        epoch=Epoch(state.epoch + EPOCHS_AHEAD),
        epoch_started_unix_s=now_unix_s,
        unproven_site=lost,
    )


def proven(state: GroupState) -> GroupState:
    """Every server is back with this record."""
    return replace(state, unproven_site=None)
