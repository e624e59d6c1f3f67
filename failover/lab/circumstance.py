"""What goes before the loss of a site in a run of `failover bench takeover --after …`.

Each leaves somebody else with everything that was acknowledged, or is about to: the loss that
comes then must cost nothing in a synchronous mode. Whatever lasts is a fault of the lab and is
healed with the black hole.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum

from failover.clock import boottime_s
from failover.coordination.connect import open_store
from failover.lab.errors import LabError
from failover.lab.hosts import LabHost, Role
from failover.lab.lab import Lab
from failover.lab.stages import patroni
from failover.lab.trouble import Trouble
from failover.lab.workload.control import Workload
from failover.model import SiteName
from failover.state import GroupState, decode_state
from failover.znode import GroupPaths

SETTLED_LIMIT_S = 60.0


class Circumstance(StrEnum):
    LOCAL_FAILOVER = "local-failover"
    REPLICA_HELD_BACK = "replica-held-back"
    STANDBY_LEADER_CHANGES = "standby-leader-changes"


class _Before(Trouble):
    def __init__(self, lab: Lab, primary: LabHost, workload: Workload) -> None:
        super().__init__(lab, primary, workload)
        self._cluster = lab.policy.host(primary.name).cluster

    def _wait(self, what: str, holds: Callable[[GroupState], bool]) -> None:
        give_up_s = boottime_s() + SETTLED_LIMIT_S
        with open_store(self._lab.policy) as store:
            while True:
                store.sync()
                found = store.read(GroupPaths(self._lab.policy.group).state)
                if found is not None and holds(decode_state(found.data)):
                    return
                if boottime_s() > give_up_s:
                    raise LabError(f"not within {SETTLED_LIMIT_S:g} s: {what}")
                time.sleep(0.1)

    def _settled(self, state: GroupState) -> bool:
        """As safe as the mode can be."""
        return state.in_sync or not state.protection.synchronous

    def _other_hosts(self, site: SiteName) -> list[LabHost]:
        hosts = self._lab.hosts(Role.DATABASE, site)
        return [host for host in hosts if host.name != self._primary.name]


class LocalFailover(_Before):
    """The primary's host dies, a local replica is promoted, and then the site is lost."""

    def prepare(self) -> None:
        self._lab.faults.kill_host(self._primary.name)
        self._wait("another host of the site is the primary and in sync", self._moved)

    def _moved(self, state: GroupState) -> bool:
        """Neither the old primary nor the new one is on record: it is the new one's record."""
        writable = self._lab.writable_host()
        have = state.clusters[self._cluster].have
        moved = writable is not None and writable.name not in (self._primary.name, *have)
        return moved and self._primary.name not in have and self._settled(state)


class ReplicaHeldBack(_Before):
    """No local replica receives anything: the other site alone has everything."""

    def prepare(self) -> None:
        held_back = self._other_hosts(self._primary.site)
        for host in held_back:
            self._lab.faults.cut(self._primary.name, host.name, one_way=True)
        names = {host.name for host in held_back}

        def off_the_record(state: GroupState) -> bool:
            return names.isdisjoint(state.clusters[self._cluster].have) and self._settled(state)

        self._wait("the local replicas are off the record", off_the_record)


class StandbyLeaderChanges(_Before):
    """The standby leader's host dies, and the site is lost as soon as another one is on record.

    (Before that the group is degraded on record, or that host alone may have the last commits and
    nobody takes over: neither is a loss that was promised not to be.)
    """

    def strike(self) -> None:
        other = self._lab.policy.other_data_site(self._primary.site).name
        leader = next(
            (h.name for h in self._lab.hosts(Role.DATABASE, other) if self._leads(h)), None
        )
        if leader is None:
            raise LabError(f"no standby leader in {other}", todo="`failover status`")
        self._lab.faults.kill_host(leader)

        def another(state: GroupState) -> bool:
            return leader not in state.clusters[self._cluster].have and self._settled(state)

        self._wait("another host of the other site is on record", another)

    def _leads(self, host: LabHost) -> bool:
        found = patroni(self._lab.policy.host(host.name))
        return isinstance(found, dict) and found.get("role") == "standby_leader"


CIRCUMSTANCES: dict[Circumstance, Callable[[Lab, LabHost, Workload], Trouble]] = {
    Circumstance.LOCAL_FAILOVER: LocalFailover,
    Circumstance.REPLICA_HELD_BACK: ReplicaHeldBack,
    Circumstance.STANDBY_LEADER_CHANGES: StandbyLeaderChanges,
}
