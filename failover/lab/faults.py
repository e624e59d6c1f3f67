"""Faults, each with its undo: what can happen to a site, a host, a link or a process.

Every fault that lasts is on record under .lab/, so that another process, or one after a crash,
can undo it: ``heal`` undoes all of them. Targets are names: a site, a host, ``HOST:PROCESS``, or
``A>B`` (one direction) and ``A-B`` (both) where A and B are sites or hosts. A fault is never a
polite one: packets vanish, processes get SIGKILL or SIGSTOP.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path

from failover.lab import disks
from failover.lab.barrier_switch import BarrierSwitch
from failover.lab.containers import Containers, in_parallel
from failover.lab.errors import LabError, LabMistake
from failover.lab.hosts import LabHost, Role
from failover.lab.network import Cut, LabNetwork, unplugged
from failover.lab.processes import Process, Processes
from failover.policy import Network, Policy

STALL_TRIGGER = "/run/failover-lab/stall-fsync"


class Kind(StrEnum):
    UNPLUG = "unplug"
    CUT = "cut"
    THROTTLE = "throttle"
    KILL_HOST = "kill-host"
    FREEZE = "freeze"
    KILL = "kill"
    KILL_FOR_GOOD = "kill-for-good"
    STOP = "stop"
    STALL_FSYNC = "stall-fsync"
    FILL_DISK = "fill-disk"
    NO_BARRIER = "no-barrier"


@dataclass(frozen=True, slots=True)
class Fault:
    """One that lasts."""

    kind: Kind
    target: str
    ports: tuple[int, ...] = ()
    pids: tuple[int, ...] = ()  # stopped ones
    bytes_s: int = 0  # what passes a throttle

    def __str__(self) -> str:
        ports = f" port {', '.join(map(str, self.ports))}" if self.ports else ""
        rate = f" to {self.bytes_s} bytes/s" if self.bytes_s else ""
        return f"{self.kind} {self.target}{ports}{rate}"


@dataclass(slots=True)
class _Record:
    """The faults that last, in a file."""

    path: Path
    faults: list[Fault] = field(default_factory=list)

    def read(self) -> None:
        self.faults = []
        if self.path.exists() and (text := self.path.read_text(encoding="utf-8")):
            self.faults = [_decoded(one) for one in json.loads(text)]

    def write(self) -> None:
        rows = [asdict(one) for one in self.faults]
        self.path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


class Faults:
    """``lab.faults``. Every method returns once the fault is there."""

    def __init__(
        self,
        policy: Policy,
        hosts: tuple[LabHost, ...],
        containers: Containers,
        network: LabNetwork,
        directory: Path,
    ) -> None:
        self._policy = policy
        self._hosts = {host.name: host for host in hosts}
        self._containers = containers
        self._network = network
        self._processes = Processes(containers)
        self.barrier_switch = BarrierSwitch(containers, policy)
        self._record = _Record(directory / "faults.json")
        self._undo: dict[Kind, Callable[[Fault], None]] = {
            Kind.UNPLUG: lambda _: None,  # the record without it is applied at once
            Kind.CUT: lambda _: None,
            Kind.THROTTLE: lambda _: None,
            Kind.KILL_HOST: self._boot,
            Kind.FREEZE: self._thaw,
            Kind.KILL_FOR_GOOD: self._revive,
            Kind.STOP: self._continue,
            Kind.STALL_FSYNC: self._flow_again,
            Kind.FILL_DISK: self._empty_again,
            Kind.NO_BARRIER: self._hold_back_again,
        }

    @property
    def active(self) -> tuple[Fault, ...]:
        """The faults that last, oldest first."""
        with self._locked():
            return tuple(self._record.faults)

    # ------------------------------------------------------------------ faults

    def unplug(self, target: str) -> None:
        """A black hole around a site or a host."""
        self._cut_off(Fault(Kind.UNPLUG, target))

    def cut(self, a: str, b: str, *, one_way: bool = False, ports: tuple[int, ...] = ()) -> None:
        """Packets from ``a`` to ``b`` vanish, and unless ``one_way`` those from b to a.

        With ports, only TCP packets *to* these ports of the other end.
        """
        self._cut_off(Fault(Kind.CUT, f"{a}{'>' if one_way else '-'}{b}", tuple(ports)))

    def throttle(self, a: str, b: str, bytes_s: int) -> None:
        """What PostgreSQL at ``a`` sends to ``b`` gets through at this rate: WAL lags behind."""
        self._cut_off(Fault(Kind.THROTTLE, f"{a}>{b}", bytes_s=bytes_s))

    def kill_host(self, target: str) -> None:
        """A host, or every host of a site but its customers', loses power."""
        self._add(Fault(Kind.KILL_HOST, target))
        in_parallel(lambda host: self._containers.kill(host.name), self._hosts_of(target), 16)

    def freeze(self, target: str) -> None:
        """Every process of a host, or of every host of a site but its customers', stands still."""
        self._add(Fault(Kind.FREEZE, target))
        in_parallel(lambda host: self._containers.freeze(host.name), self._hosts_of(target), 16)

    def kill(self, host: str, process: Process | str, *, for_good: bool = False) -> None:
        """SIGKILL for a process; ``for_good``: its unit does not start again until healed."""
        where, what = self._process(f"{host}:{process}")
        if for_good:
            self._processes.pids(where, what)  # first of all: is there anything to kill
            self.doom(host, process)
        self._processes.signal(where, what, "KILL")

    def doom(self, host: str, process: Process | str) -> None:
        """It runs on; once it has ended, its unit does not start again until healed."""
        where, what = self._process(f"{host}:{process}")
        self._add(Fault(Kind.KILL_FOR_GOOD, f"{host}:{process}"))
        self._processes.keep_dead(where, what)

    def stop(self, host: str, process: Process | str) -> None:
        """SIGSTOP for a process."""
        where, what = self._process(f"{host}:{process}")
        pids = self._processes.signal(where, what, "STOP")
        self._add(Fault(Kind.STOP, f"{host}:{process}", pids=pids))

    def stall_fsync(self, host: str) -> None:
        """From now on a WAL fsync on this host does not return."""
        where = self._host(host)
        found = self._containers.exec(
            where.name,
            ["sh", "-c", "systemctl show -P Environment patroni.service | grep -q stall_fsync"],
        )
        if found.code != 0:
            raise LabError(
                f"{host}: PostgreSQL runs there without the shim that stalls fsync",
                todo="start the lab with `failover lab up --stall-shim`",
            )
        self._add(Fault(Kind.STALL_FSYNC, host))
        self._containers.exec(where.name, ["touch", STALL_TRIGGER])

    def fill_disk(self, host: str) -> None:
        """Nothing can be written any more where PostgreSQL and the guard of a host keep what is
        theirs; what is there can be written over."""
        where = self._host(host)
        if self._containers.exec(where.name, ["mountpoint", "-q", "/var/lib/postgresql"]).code != 0:
            raise LabError(
                f"{host} has no disk of its own that could be filled",
                todo="start the lab with `failover lab up --own-disks`",
            )
        self._add(Fault(Kind.FILL_DISK, host))
        ended = self._containers.exec(where.name, ["sh", "-c", disks.FILL])
        if ended.code != 0:
            raise LabError(f"{host}: its disk is not full", log=ended.out)

    def no_barrier(self, host: str) -> None:
        """The acknowledgement barrier of a database host goes; its guard may make no other."""
        where = self._host(host)
        if where.role is not Role.DATABASE:
            raise LabMistake(f"{host} is a {where.role} host: it has no such barrier")
        self._add(Fault(Kind.NO_BARRIER, host))
        self.barrier_switch.take_away(where)

    # ------------------------------------------------------------------ undone

    def undo(self, kind: Kind | str, target: str) -> None:
        """Undo one fault. LabError when it is not there."""
        for fault in self.active:
            if (fault.kind, fault.target) == (kind, target):
                self._heal((fault,))
                return
        raise LabMistake(f"there is no fault {kind} {target}; there are: {self._names()}")

    def heal(self) -> tuple[Fault, ...]:
        """Undo every fault; those that there were. Links first, then hosts, then processes."""
        faults = self.active
        self._heal(faults)
        return faults

    def forget(self) -> None:
        """There are no faults any more: the hosts are gone."""
        self._record.path.unlink(missing_ok=True)

    def _heal(self, faults: tuple[Fault, ...]) -> None:
        with self._locked():
            for one in faults:
                if one in self._record.faults:
                    self._record.faults.remove(one)
            self._record.write()
            self._network.apply(self._cuts())
        order = list(Kind)
        for one in sorted(faults, key=lambda fault: order.index(fault.kind)):
            self._undo[one.kind](one)

    def _boot(self, fault: Fault) -> None:
        in_parallel(lambda host: self._containers.again(host.name), self._hosts_of(fault.target))

    def _thaw(self, fault: Fault) -> None:
        in_parallel(lambda host: self._containers.thaw(host.name), self._hosts_of(fault.target))

    def _revive(self, fault: Fault) -> None:
        self._processes.let_live(*self._process(fault.target))

    def _continue(self, fault: Fault) -> None:
        host, _ = self._process(fault.target)
        self._processes.signal_pids(host, fault.pids, "CONT")

    def _flow_again(self, fault: Fault) -> None:
        self._containers.exec(fault.target, ["rm", "-f", STALL_TRIGGER])

    def _empty_again(self, fault: Fault) -> None:
        self._containers.exec(fault.target, ["sh", "-c", disks.EMPTY])

    def _hold_back_again(self, fault: Fault) -> None:
        self.barrier_switch.give_back(self._host(fault.target))

    # ------------------------------------------------------------------ record and cuts

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """The record as it is now, and nobody else changes it meanwhile."""
        self._record.path.parent.mkdir(parents=True, exist_ok=True)
        with self._record.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._record.read()
            yield

    def _add(self, fault: Fault) -> None:
        with self._locked():
            if fault not in self._record.faults:
                self._record.faults.append(fault)
            self._record.write()

    def _cut_off(self, fault: Fault) -> None:
        cuts = self._cuts_of(fault)  # names that nobody knows are refused before anything happens
        with self._locked():
            self._network.apply((*self._cuts(), *cuts))
            self._record.faults.append(fault)
            self._record.write()

    def _cuts(self) -> tuple[Cut, ...]:
        return tuple(cut for fault in self._record.faults for cut in self._cuts_of(fault))

    def _cuts_of(self, fault: Fault) -> tuple[Cut, ...]:
        if fault.kind is Kind.UNPLUG:
            return unplugged(self._networks(fault.target))
        if fault.kind not in (Kind.CUT, Kind.THROTTLE):
            return ()
        a, one_way, b = _ends(fault.target, (*self._hosts, *(s.name for s in self._policy.sites)))
        ends = [(self._networks(a), self._networks(b))]
        if not one_way:
            ends.append((ends[0][1], ends[0][0]))
        if fault.kind is Kind.THROTTLE:
            postgres = {host.postgres_port for c in self._policy.clusters for host in c.hosts}
            return tuple(
                Cut(*ends[0], from_port=port, above_bytes_s=fault.bytes_s)
                for port in sorted(postgres)
            )
        ports: tuple[int | None, ...] = fault.ports or (None,)
        return tuple(Cut(source, target, port=port) for source, target in ends for port in ports)

    # ------------------------------------------------------------------ names

    def _networks(self, target: str) -> tuple[Network, ...]:
        for site in self._policy.sites:
            if site.name == target:
                return site.networks
        return (ip_network(f"{self._host(target).address}/32"),)

    def _hosts_of(self, target: str) -> tuple[LabHost, ...]:
        """A site's, without its customers: they are no part of it, and those who stand still
        themselves cannot tell when they were answered."""
        of_site = tuple(
            host
            for host in self._hosts.values()
            if host.site == target and host.role is not Role.CLIENT
        )
        return of_site or (self._host(target),)

    def _host(self, name: str) -> LabHost:
        for host in self._hosts.values():
            if host.name == name:
                return host
        sites = ", ".join(site.name for site in self._policy.sites)
        raise LabMistake(
            f"unknown site or host {name!r}",
            todo=f"sites: {sites}; hosts: {', '.join(self._hosts)}",
        )

    def _process(self, target: str) -> tuple[LabHost, Process]:
        name, _, process = target.partition(":")
        host = self._host(name)
        if process not in list(Process):
            raise LabMistake(
                f"unknown process {process!r}",
                todo=f"write HOST:PROCESS with one of: {', '.join(Process)}",
            )
        return host, Process(process)

    def _names(self) -> str:
        return "; ".join(map(str, self.active)) or "none"


def _ends(target: str, known: tuple[str, ...]) -> tuple[str, bool, str]:
    """``A>B`` or ``A-B``, where names themselves may have hyphens: A, whether one way, B."""
    for name in known:
        for sign in ">-":
            rest = target.removeprefix(f"{name}{sign}")
            if rest != target and rest in known:
                return name, sign == ">", rest
    raise LabMistake(
        f"{target!r} does not name two ends",
        todo=f"write A>B or A-B with two of: {', '.join(known)}",
    )


def _decoded(row: dict[str, object]) -> Fault:
    kind, target = Kind(str(row["kind"])), str(row["target"])
    ports, pids = row["ports"], row["pids"]
    assert isinstance(ports, list)
    assert isinstance(pids, list)
    return Fault(kind, target, tuple(ports), tuple(pids), int(str(row.get("bytes_s", 0))))
