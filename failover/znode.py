"""Where everything lives in ZooKeeper, and what may be done to it, as plain values.

A transaction is a tuple of operations: all of them happen or none does. ``coordination`` commits
it on the real ensemble, the simulation on one in memory. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from failover.model import ClusterName, Epoch, GroupName, HostName, ScopeName, SiteName

# --------------------------------------------------------------------------- operations


@dataclass(frozen=True, slots=True)
class Check:
    """The znode exists with this version."""

    path: str
    version: int


@dataclass(frozen=True, slots=True)
class Create:
    """The znode does not exist; afterwards it does."""

    path: str
    data: bytes
    ephemeral: bool = False
    sequence: bool = False


@dataclass(frozen=True, slots=True)
class Delete:
    """The znode exists with this version (any, where -1); afterwards it does not."""

    path: str
    version: int = -1


@dataclass(frozen=True, slots=True)
class Set:
    """The znode exists with this version; afterwards it has this data.

    Any version, where -1: only for a session's own token, whose name is the condition.
    """

    path: str
    data: bytes
    version: int


Op = Check | Create | Delete | Set
Transaction = tuple[Op, ...]


@dataclass(frozen=True, slots=True)
class Znode:
    """What was read of one znode."""

    path: str
    data: bytes
    version: int
    ephemeral_owner: int = 0  # a session id; 0: persistent
    children_count: int = 0


@dataclass(frozen=True, slots=True)
class Committed:
    """Everything happened. ``created`` has the final path of each Create, in order."""

    created: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Conflict:
    """Nothing happened: operation number ``index`` was refused. Read again, judge again."""

    index: int
    op: Op
    reason: str


@dataclass(frozen=True, slots=True)
class OutcomeUnknown:
    """The connection was lost in between: it happened or it did not. Read back and decide."""

    reason: str


Outcome = Committed | Conflict | OutcomeUnknown


# --------------------------------------------------------------------------- paths


@dataclass(frozen=True)  # without slots: each path is made once, and asked for all the time
class GroupPaths:
    """The znodes of one failover group."""

    group: GroupName

    @cached_property
    def root(self) -> str:
        return f"/failover/{self.group}"

    @cached_property
    def state(self) -> str:
        return f"{self.root}/state"

    @cached_property
    def writers(self) -> str:
        return f"{self.root}/writers"

    def writer(self, cluster: ClusterName) -> str:
        return f"{self.writers}/{cluster}"

    @cached_property
    def sessions(self) -> str:
        return f"{self.root}/sessions"

    def session(self, session_id: int) -> str:
        return f"{self.sessions}/{session_id:016x}"

    @cached_property
    def stopped_all(self) -> str:
        return f"{self.root}/stopped"

    def stopped(self, cluster: ClusterName) -> str:
        return f"{self.stopped_all}/{cluster}"

    def last_writer(self, cluster: ClusterName) -> str:
        """Persistent: which host got the claim last, and the newest timeline promised to anybody;
        written in the permit's transaction."""
        return f"{self.stopped_all}/{cluster}.last_writer"

    @cached_property
    def history(self) -> str:
        return f"{self.root}/history"

    @cached_property
    def history_entry(self) -> str:
        """The path to create an entry at, with ``sequence=True``."""
        return f"{self.history}/e-"

    @cached_property
    def history_head(self) -> str:
        """Which entry is the newest; written in the transaction that creates the entry."""
        return f"{self.root}/history_head"

    @cached_property
    def residency(self) -> str:
        """The ledger of open findings; written in the transaction of its history entry."""
        return f"{self.root}/residency"

    @cached_property
    def approved(self) -> str:
        """Which exceptions of failover.yaml an approver stands for; there only with roles."""
        return f"{self.root}/approved"

    @cached_property
    def notifications(self) -> str:
        return f"{self.root}/notifications"

    def notified(self, target: str) -> str:
        """Up to which entry of the history this target has been told. Made with the first one."""
        return f"{self.notifications}/{target}"

    @cached_property
    def observers(self) -> str:
        return f"{self.root}/observers"

    def observer(self, site: SiteName) -> str:
        return f"{self.observers}/{site}"

    @cached_property
    def leadership(self) -> str:
        return f"{self.root}/leadership"

    @cached_property
    def requests(self) -> str:
        return f"{self.root}/requests"

    @cached_property
    def request(self) -> str:
        """The one request of an operator that stands, or the last one with its outcome."""
        return f"{self.requests}/operator"

    @cached_property
    def approvers_request(self) -> str:
        """The same for an approver; there only where ZooKeeper tells roles apart (0019)."""
        return f"{self.requests}/approver"

    def request_of(self, *, approver: bool) -> str:
        """The place of requests of that role."""
        return self.approvers_request if approver else self.request

    def setting(self, *, approver: bool) -> str:
        """The place where that role asks for a change of a setting."""
        return f"{self.request_of(approver=approver)}.setting"

    @cached_property
    def salvage(self) -> str:
        return f"{self.root}/salvage"

    def salvaged(self, epoch: Epoch, cluster: ClusterName, host: HostName) -> str:
        """Progress of one host's salvage after the takeover that made ``epoch``."""
        return f"{self.salvage}/{epoch}.{cluster}.{host}"

    def salvaged_locally(
        self, epoch: Epoch, cluster: ClusterName, host: HostName, name: str
    ) -> str:
        """One host's salvage before a rewind that no takeover was the reason for."""
        return f"{self.salvaged(epoch, cluster, host)}.{name}"

    @cached_property
    def all_parents(self) -> tuple[str, ...]:
        """What ``failover init`` creates before ``state``, in order."""
        return (
            "/failover",
            self.root,
            self.writers,
            self.sessions,
            self.stopped_all,
            self.history,
            self.observers,
            self.leadership,
            self.requests,
            self.salvage,
        )


@dataclass(frozen=True)  # without slots, as GroupPaths
class ScopePaths:
    """The znodes of one Patroni scope that we read or write."""

    namespace: str
    scope: ScopeName

    @cached_property
    def root(self) -> str:
        return f"{self.namespace.rstrip('/')}/{self.scope}"

    @cached_property
    def leader(self) -> str:
        return f"{self.root}/leader"

    @cached_property
    def leader_child(self) -> str:
        """Under the fence: it keeps Patroni from deleting the fenced key as stale."""
        return f"{self.root}/leader/fence"

    @cached_property
    def config(self) -> str:
        return f"{self.root}/config"

    @cached_property
    def status(self) -> str:
        return f"{self.root}/status"

    @cached_property
    def failover(self) -> str:
        return f"{self.root}/failover"

    @cached_property
    def sync(self) -> str:
        return f"{self.root}/sync"

    @cached_property
    def history(self) -> str:
        return f"{self.root}/history"

    @cached_property
    def members(self) -> str:
        return f"{self.root}/members"
