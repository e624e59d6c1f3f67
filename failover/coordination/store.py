"""What the rest of the program may ask of ZooKeeper, whichever implementation answers.

``kazoo_store`` talks to the ensemble; the simulation has one in memory. Every call is bounded in
time. A read may be stale: nothing is decided on a read alone, every write is conditional.
"""

from __future__ import annotations

from typing import Protocol

from failover.znode import Outcome, Transaction, Znode

FORBIDDEN = "may not be touched so by the key that was shown"  # the reason of a Conflict


class StoreUnavailable(Exception):
    """No answer within the limit. The message names the servers tried."""


class StoreForbidden(StoreUnavailable):
    """ZooKeeper answers, and does not let this process do that. The message names the path."""


class Store(Protocol):
    @property
    def session_id(self) -> int | None:
        """The present session, None while there is none. Changes after an expiry."""

    def read(self, path: str) -> Znode | None:
        """The znode, or None where there is none. StoreUnavailable without an answer."""

    def children(self, path: str) -> tuple[str, ...]:
        """Names of the children, sorted; empty where the znode does not exist."""

    def sync(self) -> None:
        """Make the next reads at least as new as now. StoreUnavailable without an answer."""

    def commit(self, transaction: Transaction) -> Outcome:
        """All or nothing. Never raises for a refusal or a lost connection: see ``Outcome``."""
