"""Reads of the history and of the salvages what ``planning.site_past`` judges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from failover.coordination.recent_history import newest_first
from failover.model import Epoch
from failover.planning.site_past import SitePast, last_loss
from failover.state import SalvagePhase, SalvageProgress, StateError, decode_record

if TYPE_CHECKING:
    from failover.coordination.store import Store
    from failover.policy import DatabaseHost
    from failover.state import GroupState
    from failover.znode import GroupPaths

ENTRIES_MAX = 100_000  # as far back as the group goes; a few moves are found in the first hundred


def read_past(store: Store, paths: GroupPaths, state: GroupState, host: DatabaseHost) -> SitePast:
    """Of the host and its site. StoreUnavailable."""
    stored = newest_first(store, paths, ENTRIES_MAX)
    entries = (one.entry for one in stored if one.entry is not None)
    past = last_loss(entries, state.epoch, state.active_site == host.site)
    if past.lost_in is None:
        return past
    epochs = [record.epoch for record in _salvages(store, paths, host, past.lost_in, state.epoch)]
    return replace(past, salvaged_in=max(epochs, default=None))


def _salvages(
    store: Store, paths: GroupPaths, host: DatabaseHost, first: Epoch, last: Epoch
) -> Iterator[SalvageProgress]:
    """The finished ones; a record that cannot be understood is none."""
    for epoch in range(first, last + 1):
        path = paths.salvaged(Epoch(epoch), host.cluster, host.name)
        if (found := store.read(path)) is None:
            continue
        try:
            record = decode_record(SalvageProgress, found.data, path=path)
        except StateError:
            continue
        if record.phase is SalvagePhase.DONE:
            yield record
