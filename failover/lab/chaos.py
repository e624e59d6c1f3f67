"""Every fault that `failover bench chaos` tries: what it breaks, and whether writes may notice.

A fault strikes the group as it is found (``Roles``) and lasts until everything is healed. Those
that are ``harmless`` are the single faults of invariant I8: the active site stays, and customers
of it are served all the while (in a synchronous mode: but for the stated stall).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from failover.lab.errors import LabError
from failover.lab.faults import Faults
from failover.lab.hosts import LabHost, Role
from failover.lab.lab import Lab
from failover.lab.processes import Process
from failover.lab.stages import patroni
from failover.model import ProtectionMode, SiteKind, SiteName

PAUSE_S_MAX = 1.0  # of writes under a harmless fault (I8)
STALL_S_MAX = 6.0  # where commits wait for who was lost: decision 0014


@dataclass(frozen=True, slots=True)
class Roles:
    """Who is what when a fault comes."""

    active: SiteName
    standby: SiteName
    witness: SiteName
    primary: LabHost
    replica: LabHost  # another database host of the active site
    standby_leader: LabHost
    zookeeper: LabHost  # any one of its servers
    controller: LabHost  # any one
    customers: LabHost  # of the active site
    proxy: LabHost  # theirs
    postgres_port: int
    zookeeper_port: int
    sites: tuple[SiteName, ...]
    faults: Faults
    operate: Callable[[str], None]  # a command of an operator's; nobody waits for it

    @classmethod
    def now(cls, lab: Lab, active: SiteName, chance: random.Random) -> Roles:
        """LabError where the group is not whole enough to tell."""
        primary = lab.writable_host()
        standby = lab.policy.other_data_site(active).name
        leaders = [h for h in lab.hosts(Role.DATABASE, standby) if _role(lab, h) == _LEADER]
        if primary is None or primary.site != active or not leaders:
            raise LabError("no primary in the active site, or no standby leader in the other")
        others = [h for h in lab.hosts(Role.DATABASE, active) if h.name != primary.name]
        return cls(
            active=active,
            standby=standby,
            witness=next(s.name for s in lab.policy.sites if s.kind is SiteKind.WITNESS),
            primary=primary,
            replica=chance.choice(others),
            standby_leader=leaders[0],
            zookeeper=chance.choice(lab.hosts(Role.ZOOKEEPER)),
            controller=chance.choice(lab.hosts(Role.CONTROLLER)),
            customers=lab.hosts(Role.CLIENT, active)[0],
            proxy=lab.hosts(Role.PROXY, active)[0],
            postgres_port=lab.policy.host(primary.name).postgres_port,
            zookeeper_port=lab.policy.zookeeper_servers[0].client_port,
            sites=tuple(site.name for site in lab.policy.sites),
            faults=lab.faults,
            operate=lambda command: _operate(lab, command),
        )


_LEADER = "standby_leader"


def _operate(lab: Lab, command: str) -> None:
    """At the witness's controller; what it says is in /run/chaos.log there."""
    witness = next(site for site in lab.policy.sites if site.kind is SiteKind.WITNESS)
    script = f"setsid {command} >>/run/chaos.log 2>&1 </dev/null &"
    lab.shell(witness.controller.name, script)


def _role(lab: Lab, host: LabHost) -> str:
    found = patroni(lab.policy.host(host.name))
    return str(found.get("role")) if isinstance(found, dict) else ""


@dataclass(frozen=True, slots=True)
class ChaosFault:
    """``stalls``: in a synchronous mode commits may wait until who is lost is off the record."""

    strike: Callable[[Roles], None]
    harmless: bool = False
    stalls: bool = False

    def pause_s_max(self, mode: ProtectionMode) -> float | None:
        """How long writes may pause; None: as long as it takes."""
        if not self.harmless:
            return None
        return STALL_S_MAX if self.stalls and mode.synchronous else PAUSE_S_MAX


def _for_good(process: Process, on: Callable[[Roles], LabHost]) -> Callable[[Roles], None]:
    return lambda roles: roles.faults.kill(on(roles).name, process, for_good=True)


def _stop(process: Process, on: Callable[[Roles], LabHost]) -> Callable[[Roles], None]:
    return lambda roles: roles.faults.stop(on(roles).name, process)


def _once(process: Process, on: Callable[[Roles], LabHost]) -> Callable[[Roles], None]:
    return lambda roles: roles.faults.kill(on(roles).name, process)


def _no_zookeeper(roles: Roles) -> None:
    for site in roles.sites:
        roles.faults.cut(roles.primary.name, site, ports=(roles.zookeeper_port,))


def _no_replication(roles: Roles) -> None:
    roles.faults.cut(roles.active, roles.standby, ports=(roles.postgres_port,))


def _switchover(roles: Roles) -> None:
    roles.operate(f"failover switchover --to {roles.standby} --reason chaos --yes")


def _primary(roles: Roles) -> LabHost:
    return roles.primary


def _zookeeper(roles: Roles) -> LabHost:
    return roles.zookeeper


def _controller(roles: Roles) -> LabHost:
    return roles.controller


FAULTS: dict[str, ChaosFault] = {
    # sites and links
    "active site unplugged": ChaosFault(lambda r: r.faults.unplug(r.active)),
    "active site without power": ChaosFault(lambda r: r.faults.kill_host(r.active)),
    "active site frozen": ChaosFault(lambda r: r.faults.freeze(r.active)),
    "active site cut from the witness": ChaosFault(lambda r: r.faults.cut(r.active, r.witness)),
    "standby site unplugged": ChaosFault(
        lambda r: r.faults.unplug(r.standby), harmless=True, stalls=True
    ),
    "standby site without power": ChaosFault(
        lambda r: r.faults.kill_host(r.standby), harmless=True, stalls=True
    ),
    "witness unplugged": ChaosFault(lambda r: r.faults.unplug(r.witness), harmless=True),
    "link between the data sites cut": ChaosFault(
        lambda r: r.faults.cut(r.active, r.standby), harmless=True, stalls=True
    ),
    "only the way to the standby site cut": ChaosFault(
        lambda r: r.faults.cut(r.active, r.standby, one_way=True), harmless=True, stalls=True
    ),
    "only the way from the standby site cut": ChaosFault(
        lambda r: r.faults.cut(r.standby, r.active, one_way=True), harmless=True, stalls=True
    ),
    "only replication between the sites cut": ChaosFault(
        _no_replication, harmless=True, stalls=True
    ),
    "only ZooKeeper cut from the primary's host": ChaosFault(_no_zookeeper),
    "customers cut from their HAProxy": ChaosFault(
        lambda r: r.faults.cut(r.customers.name, r.proxy.name)
    ),
    # hosts
    "primary's host without power": ChaosFault(lambda r: r.faults.kill_host(r.primary.name)),
    "primary's host frozen": ChaosFault(lambda r: r.faults.freeze(r.primary.name)),
    "primary's host unplugged": ChaosFault(lambda r: r.faults.unplug(r.primary.name)),
    "local replica without power": ChaosFault(
        lambda r: r.faults.kill_host(r.replica.name), harmless=True, stalls=True
    ),
    "standby leader without power": ChaosFault(
        lambda r: r.faults.kill_host(r.standby_leader.name), harmless=True, stalls=True
    ),
    "primary's disk full": ChaosFault(lambda r: r.faults.fill_disk(r.primary.name)),
    "standby leader's disk full": ChaosFault(
        lambda r: r.faults.fill_disk(r.standby_leader.name), harmless=True, stalls=True
    ),
    # processes of the primary's host
    "postmaster killed": ChaosFault(_once(Process.POSTMASTER, _primary)),
    "postmaster stopped": ChaosFault(_stop(Process.POSTMASTER, _primary)),
    "WAL fsyncs of the primary stalled": ChaosFault(lambda r: r.faults.stall_fsync(r.primary.name)),
    "a backend stopped": ChaosFault(_stop(Process.BACKEND, _primary)),
    "Patroni killed for good": ChaosFault(_for_good(Process.PATRONI, _primary)),
    "Patroni stopped": ChaosFault(_stop(Process.PATRONI, _primary)),
    "guard killed": ChaosFault(_once(Process.GUARD, _primary)),
    "guard stopped": ChaosFault(_stop(Process.GUARD, _primary)),
    "guard's worker killed": ChaosFault(_once(Process.GUARD_WORKER, _primary), harmless=True),
    "guard's worker stopped": ChaosFault(_stop(Process.GUARD_WORKER, _primary), harmless=True),
    "guard's minder stopped": ChaosFault(_stop(Process.GUARD_MINDER, _primary)),
    # the ensemble, the controllers, operators
    "a ZooKeeper server killed": ChaosFault(
        _for_good(Process.ZOOKEEPER, _zookeeper), harmless=True
    ),
    "a ZooKeeper server stopped": ChaosFault(_stop(Process.ZOOKEEPER, _zookeeper), harmless=True),
    "a controller killed for good": ChaosFault(
        _for_good(Process.CONTROLLER, _controller), harmless=True
    ),
    "a controller stopped": ChaosFault(_stop(Process.CONTROLLER, _controller), harmless=True),
    "a switchover is asked for": ChaosFault(_switchover),
}
