"""The lab: jakarta, makassar and the witness on one machine, from the files under deploy/.

``up`` brings the hosts up in the order in which an operator would, each step waiting for what the
next one needs, with a limit and the journal of whoever is late. ``attach`` finds a lab that is up.
There is one at a time on a machine; leftovers of a crashed one are removed by ``up`` and ``down``.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from failover.config import load
from failover.lab import certificates, image, netem, secrets, stages
from failover.lab.containers import PACKAGE, Containers, ExecResult, in_parallel
from failover.lab.disks import Disks
from failover.lab.errors import LabError, LabMistake
from failover.lab.faults import Faults
from failover.lab.files import files_of, kernel_settings
from failover.lab.from_here import DIRECTORY, RECORD, seen_from_here
from failover.lab.hosts import LabHost, Role, hosts_of
from failover.lab.monitoring import host as monitoring
from failover.lab.network import LabNetwork
from failover.lab.stages import Stage
from failover.lab.workload.control import MOUNTED_AT
from failover.model import ClusterName, HostName, SiteName
from failover.policy import Policy

ROOT = PACKAGE.parent
CONFIG = ROOT / "deploy" / "failover.yaml"

# Who holds this name has the lab: there is one on a machine, whichever directory started it. It is
# given back by the kernel when its holder dies.
RESERVATION = "\0failover-lab"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Running:
    """What is on record of a lab that is up."""

    config: str  # the failover.yaml it was started from
    stage: Stage
    netem: bool
    stall_shim: bool
    monitoring: bool = False  # the operations host is there
    own_disks: bool = False


@dataclass(frozen=True, slots=True)
class HostStatus:
    host: LabHost
    container: str  # running, paused, exited, absent
    units: dict[str, str]  # of each unit: active, failed, activating, inactive


class Lab:
    """One lab. Nothing happens until ``up``; ``attach`` for one that is up already."""

    def __init__(self, config: Path = CONFIG, directory: Path = DIRECTORY) -> None:
        self.config = config
        self.directory = directory
        self.policy: Policy = seen_from_here(load(config), directory)
        self.all_hosts: tuple[LabHost, ...] = hosts_of(self.policy)
        self._reserved = False
        client = image.engine()
        self.containers = Containers(client)
        self.network = LabNetwork(client, image.tag())
        self._disks = Disks(directory)
        self.faults = Faults(self.policy, self.all_hosts, self.containers, self.network, directory)

    @classmethod
    def attach(cls, directory: Path = DIRECTORY) -> Lab:
        """The lab that is up. LabError when there is none."""
        running = _running(directory)
        if running is None:
            raise LabMistake("no lab is up", todo="`failover lab up`")
        lab = cls(Path(running.config), directory)
        if running.monitoring:
            lab.all_hosts += (monitoring.operations_host(lab.policy),)
        if not lab.containers.states():
            raise LabError("the lab is gone (its containers are)", todo="`failover lab up`")
        return lab

    # ------------------------------------------------------------------ up and down

    def up(
        self,
        *,
        until: Stage = Stage.CLIENTS,
        stall_shim: bool = False,
        own_disks: bool = False,
        say: Say = lambda _: None,
    ) -> None:
        """Start everything up to and with a stage, from nothing. LabError says who is late.

        ``stall_shim``: load the shim that can stall WAL fsyncs into PostgreSQL. ``own_disks``: for
        database hosts, so that they can be filled.
        """
        if not self._reserved:
            with self.reserved("lab up"):
                self.up(until=until, stall_shim=stall_shim, own_disks=own_disks, say=say)
            return
        name = image.ensure(say)
        self._remove(say)
        self.all_hosts = hosts_of(self.policy)
        say(f"starting {len(self.all_hosts)} hosts")
        secrets.generate(self.directory / "secrets")
        secrets.generate_keys(self.policy, self.directory / "secrets")
        certificates.generate(load(self.config), self.directory / "pki")
        self.containers.compile_package(name)
        self.network.create()
        in_parallel(lambda host: self._start(host, name, stall_shim, own_disks), self.all_hosts)
        delayed = netem.apply(self.policy, self.containers, self.all_hosts)
        self._remember(
            Running(
                str(self.config.resolve()), Stage.HOSTS, delayed, stall_shim, own_disks=own_disks
            )
        )
        self.go_on(until=until, say=say)

    def go_on(self, *, until: Stage = Stage.CLIENTS, say: Say = lambda _: None) -> None:
        """From the stage that was reached to another, without starting anything twice."""
        running = self._known()
        wanted = list(Stage)
        for stage in wanted[wanted.index(running.stage) + 1 : wanted.index(until) + 1]:
            stages.reach(self, stage, say)
            running = replace(running, stage=stage)
            self._remember(running)

    def add_monitoring(self, say: Say = lambda _: None) -> LabHost:
        """Prometheus and Alertmanager beside what is up; the host that is there already, if so.

        LabError says what is late.
        """
        running = self._known()
        if running.monitoring:
            return monitoring.operations_host(self.policy)
        host = monitoring.start(
            *(self.containers, self.policy, self.config, say),
            lambda host: certificates.certificate_files(
                load(self.config), host, self.directory / "pki"
            ),
        )
        self.all_hosts += (host,)
        self._remember(replace(running, monitoring=True))
        return host

    def down(self, say: Say = lambda _: None) -> None:
        """Remove everything of a lab, of a crashed one too."""
        if not self._reserved:
            with self.reserved("lab down"):
                self.down(say)
            return
        self._remove(say)

    def _remove(self, say: Say) -> None:
        (self.directory / RECORD).unlink(missing_ok=True)
        gone = self.containers.remove_all()
        if gone:
            say(f"removed {gone} hosts")
        self._disks.remove()
        self.network.remove()
        self.faults.forget()
        for made in ("secrets", "pki"):
            shutil.rmtree(self.directory / made, ignore_errors=True)

    def _start(self, host: LabHost, name: str, stall_shim: bool, own_disks: bool) -> None:
        records = self.directory / "records"  # customers write theirs; nothing else is theirs
        records.mkdir(exist_ok=True)
        mounts = {records: str(MOUNTED_AT / records.name)} if host.role is Role.CLIENT else {}
        if own_disks and host.role is Role.DATABASE:
            mounts |= self._disks.make(host.name)
        self.containers.start(host, name, mounts, kernel_settings(host, self.config))
        shim = stall_shim and host.role is Role.DATABASE
        files = files_of(host, self.config, self.directory, shim)
        proofs = certificates.certificate_files(load(self.config), host, self.directory / "pki")
        self.containers.put(host.name, (*files, *proofs))
        owned = "/etc/failover/secrets"
        if (tls := load(self.config).tls).any:
            owned += f" {tls.directory}"
        self.shell(host.name, f"chown -R {host.secrets_owner}: {owned} && systemctl daemon-reload")

    @contextmanager
    def reserved(self, what: str) -> Iterator[None]:
        """Nobody else measures, breaks or starts a lab meanwhile. LabError says who does.

        For whoever would be misled by somebody else's faults: tests, bench, demo.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        words = self.directory / "in-use"
        with socket.socket(socket.AF_UNIX) as name:
            try:
                name.bind(RESERVATION)
            except OSError:
                who = words.read_text(encoding="utf-8").strip() if words.exists() else "elsewhere"
                raise LabError(
                    f"the lab is in use: {who}", todo="wait until that has ended"
                ) from None
            words.write_text(f"{what} (process {os.getpid()})\n", encoding="utf-8")
            self._reserved = True
            try:
                yield
            finally:
                self._reserved = False
                words.unlink(missing_ok=True)

    # ------------------------------------------------------------------ asked

    @property
    def stage(self) -> Stage:
        return self._known().stage

    @property
    def netem(self) -> bool:
        """Whether the delay of the WAN is applied."""
        return self._known().netem

    @property
    def closed(self) -> bool:
        """TLS is required on every wire, and ZooKeeper asks for keys."""
        tls = self.policy.tls
        wires = (tls.postgresql, tls.zookeeper, tls.patroni, tls.http)
        return self.policy.access.position.closed and all(wire.required for wire in wires)

    @property
    def stall_shim(self) -> bool:
        """Whether WAL fsyncs can be stalled."""
        return self._known().stall_shim

    @property
    def own_disks(self) -> bool:
        """Whether database hosts have disks that can be filled."""
        return self._known().own_disks

    def hosts(self, role: Role | None = None, site: SiteName | None = None) -> tuple[LabHost, ...]:
        """The hosts with a role, at a site, in starting order."""
        return tuple(
            host
            for host in self.all_hosts
            if role in (None, host.role) and site in (None, host.site)
        )

    def host(self, name: str) -> LabHost:
        """The host of that name. LabError with the known ones."""
        for host in self.all_hosts:
            if host.name == name:
                return host
        known = ", ".join(host.name for host in self.all_hosts)
        raise LabMistake(f"unknown host {name!r}", todo=f"hosts: {known}")

    def exec(self, host: HostName | str, command: Sequence[str], *, user: str = "") -> ExecResult:
        """Run a command in a host: its exit code and what it wrote."""
        return self.containers.exec(self.host(host).name, command, user=user)

    def shell(self, host: HostName | str, script: str, *, user: str = "") -> str:
        """Run a shell script in a host; what it wrote. LabError when it fails."""
        ended = self.exec(host, ["sh", "-c", script], user=user)
        if ended.code != 0:
            raise LabError(f"{host}: exit {ended.code} of {script!r}", log=ended.out)
        return ended.out

    def journal(
        self,
        host: HostName | str,
        unit: str | None = None,
        lines: int = 50,
        since_unix_s: float | None = None,
    ) -> str:
        """The last lines of a host's journal (it is as old as the host's last boot)."""
        return self.containers.journal(self.host(host).name, unit, lines, since_unix_s)

    def writable_host(self, cluster: ClusterName | None = None) -> LabHost | None:
        """The host of a cluster (the first one's) whose guard says that it takes writes."""
        wanted = self.policy.cluster(cluster) if cluster else self.policy.clusters[0]
        for host in wanted.hosts:
            if stages.ask_guard(host, "/writable")[0] == 200:
                return self.host(host.name)
        return None

    def status(self) -> tuple[HostStatus, ...]:
        """Every host, its container and its units."""
        states = self.containers.states()
        return tuple(
            in_parallel(lambda host: self._status(host, states.get(host.name)), self.all_hosts)
        )

    def _status(self, host: LabHost, container: str | None) -> HostStatus:
        units: dict[str, str] = {}
        if container == "running" and host.units:
            found = self.exec(host.name, ["systemctl", "is-active", *host.units]).out.split()
            units = dict(zip(host.units, found, strict=False))
        return HostStatus(host, container or "absent", units)

    # ------------------------------------------------------------------ on record

    def _known(self) -> Running:
        running = _running(self.directory)
        if running is None:
            raise LabMistake("no lab is up", todo="`failover lab up`")
        return running

    def _remember(self, running: Running) -> None:
        text = json.dumps(asdict(running), indent=1) + "\n"
        (self.directory / RECORD).write_text(text, encoding="utf-8")


def _running(directory: Path) -> Running | None:
    path = directory / RECORD
    if not path.exists():
        return None
    row = json.loads(path.read_text(encoding="utf-8"))
    return Running(**{**row, "stage": Stage(row["stage"])})
