"""Notes when the stopped-proofs of a plan were first seen: they are gone again with its commit.

A thread that reads, for the seconds that a planned move takes. Never part of a decision.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from failover.coordination.store import Store, StoreUnavailable
from failover.model import ClusterName
from failover.state import StateError, StoppedProof, decode_record
from failover.znode import GroupPaths

INTERVAL_S = 0.005  # a commit follows its proof within a few hundredths of a second
END_LIMIT_S = 5.0


class StoppedWatch:
    """``all_unix_s``: when the last of the clusters' proofs was seen; None: not all were."""

    def __init__(
        self, store: Store, paths: GroupPaths, clusters: Sequence[ClusterName], plan_id: str
    ) -> None:
        self._store = store
        self._paths = paths
        self._clusters = tuple(clusters)
        self._plan_id = plan_id
        self._seen_unix_s: dict[ClusterName, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stopped-watch", daemon=True)

    @property
    def all_unix_s(self) -> float | None:
        seen = self._seen_unix_s
        return max(seen.values()) if len(seen) == len(self._clusters) else None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=END_LIMIT_S)

    def look(self) -> None:
        """One look at the proofs that have not been seen yet. StoreUnavailable."""
        for cluster in self._clusters:
            if cluster not in self._seen_unix_s and self._proved(cluster):
                self._seen_unix_s[cluster] = time.time()

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL_S) and self.all_unix_s is None:
            with suppress(StoreUnavailable):
                self.look()

    def _proved(self, cluster: ClusterName) -> bool:
        path = self._paths.stopped(cluster)
        found = self._store.read(path)
        if found is None:
            return False
        with suppress(StateError):
            return decode_record(StoppedProof, found.data, path=path).plan_id == self._plan_id
        return False


@contextmanager
def watching_stopped(
    store: Store, paths: GroupPaths, clusters: Sequence[ClusterName], plan_id: str
) -> Iterator[StoppedWatch]:
    """Looks while the block runs."""
    watch = StoppedWatch(store, paths, clusters, plan_id)
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()
