"""One process of a host: found, killed, stopped and continued as a fault.

A process is named by what it does (``guard-worker``, ``postmaster``), never by a pid: pids are
looked up inside the host at the moment of the fault. Killed "for good" means that its unit is
kept from starting again until healed.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import StrEnum

from failover.lab.containers import Containers
from failover.lab.errors import LabError, LabMistake
from failover.lab.hosts import LabHost, Role

DATA = "/var/lib/postgresql/17"


class Process(StrEnum):
    GUARD = "guard"  # minder and worker
    GUARD_MINDER = "guard-minder"
    GUARD_WORKER = "guard-worker"
    PATRONI = "patroni"
    POSTMASTER = "postmaster"
    POSTGRES = "postgres"  # every process of the server
    BACKEND = "backend"  # one that serves a client
    PATRONI_BACKEND = "patroni-backend"
    CONTROLLER = "controller"
    ZOOKEEPER = "zookeeper"
    HAPROXY = "haproxy"


@dataclass(frozen=True, slots=True)
class _Where:
    role: Role
    unit: str
    pids: str  # a shell command that prints them


def _main(unit: str) -> str:
    return f"systemctl show -P MainPID {unit} | grep -v '^0$'"


def _backend(condition: str) -> str:
    query = (
        "select pid from pg_stat_activity where backend_type = 'client backend' "
        f"and pid <> pg_backend_pid() and {condition} order by backend_start limit 1"
    )
    return "runuser -u postgres -- psql -h /run/postgresql -d postgres -XAtc " + shlex.quote(query)


_CGROUP = "/sys/fs/cgroup$(test -e /sys/fs/cgroup/cgroup.controllers || echo /systemd)"


def _all(unit: str) -> str:
    """Every process of the unit, by its control group."""
    group = f"$(systemctl show -P ControlGroup {unit})"
    return f"cat {_CGROUP}{group}/cgroup.procs"


def _named(unit: str, name: str) -> str:
    """Those of the unit's processes that call themselves so."""
    return f"for pid in $({_all(unit)}); do grep -qx {name} /proc/$pid/comm && echo $pid; done"


_GUARD, _PATRONI = "failover-guard.service", "patroni.service"
_OF: dict[Process, _Where] = {
    Process.GUARD: _Where(Role.DATABASE, _GUARD, _all(_GUARD)),
    Process.GUARD_MINDER: _Where(Role.DATABASE, _GUARD, _main(_GUARD)),
    Process.GUARD_WORKER: _Where(Role.DATABASE, _GUARD, _named(_GUARD, "guard-worker")),
    Process.PATRONI: _Where(Role.DATABASE, _PATRONI, _main(_PATRONI)),
    Process.POSTMASTER: _Where(Role.DATABASE, _PATRONI, f"head -qn1 {DATA}/*/postmaster.pid"),
    Process.POSTGRES: _Where(Role.DATABASE, _PATRONI, _named(_PATRONI, "postgres")),
    Process.BACKEND: _Where(Role.DATABASE, _PATRONI, _backend("datname <> 'postgres'")),
    Process.PATRONI_BACKEND: _Where(
        Role.DATABASE, _PATRONI, _backend("application_name ilike 'patroni%'")
    ),
    Process.CONTROLLER: _Where(
        Role.CONTROLLER, "failover-controller.service", _main("failover-controller.service")
    ),
    Process.ZOOKEEPER: _Where(Role.ZOOKEEPER, "zookeeper.service", _main("zookeeper.service")),
    Process.HAPROXY: _Where(Role.PROXY, "haproxy.service", _all("haproxy.service")),
}


class Processes:
    """Signals to processes inside the hosts."""

    def __init__(self, containers: Containers) -> None:
        self._containers = containers

    def pids(self, host: LabHost, process: Process) -> tuple[int, ...]:
        """The processes there now. LabError when there is none, or the host has no such thing."""
        where = _where(host, process)
        found = self._containers.exec(host.name, ["sh", "-c", where.pids])
        words = found.out.split()
        if not words or not all(word.isdigit() for word in words):
            raise LabError(
                f"{host.name}: no {process} runs there {found.out.strip()}".rstrip(),
                log=self._containers.journal(host.name, where.unit, 5),
            )
        return tuple(int(word) for word in words)

    def signal(self, host: LabHost, process: Process, name: str) -> tuple[int, ...]:
        """Send a signal (``KILL``, ``STOP``, ``CONT``) at once; the pids that got it."""
        pids = self.pids(host, process)
        self.signal_pids(host, pids, name)
        return pids

    def signal_pids(self, host: LabHost, pids: tuple[int, ...], name: str) -> None:
        """The same for processes found earlier; those that are gone are passed over."""
        numbers = " ".join(map(str, pids))
        script = f"for pid in {numbers}; do kill -{name} $pid 2>/dev/null; done; true"
        self._containers.exec(host.name, ["sh", "-c", script])

    def keep_dead(self, host: LabHost, process: Process) -> None:
        """From now on the process' unit does not start again, until ``let_live``."""
        unit = _where(host, process).unit
        text = f"[Unit]\nConditionPathExists=!{_mark(unit)}\n[Service]\nRestart=no\n"
        drop_in = _drop_in(unit)
        # Written by a shell: an archive does not reach a tmpfs inside a container.
        self._run(
            host,
            f"mkdir -p $(dirname {drop_in}) $(dirname {_mark(unit)}) && touch {_mark(unit)} && "
            f"printf %s {shlex.quote(text)} > {drop_in} && systemctl daemon-reload",
        )

    def let_live(self, host: LabHost, process: Process) -> None:
        """The unit may start again, and is started."""
        unit = _where(host, process).unit
        self._run(
            host,
            f"rm -f {_mark(unit)} {_drop_in(unit)}; systemctl daemon-reload; "
            f"systemctl reset-failed {unit}; systemctl start --no-block {unit}",
        )

    def _run(self, host: LabHost, script: str) -> None:
        ended = self._containers.exec(host.name, ["sh", "-c", script])
        if ended.code != 0:
            raise LabError(f"{host.name}: {script!r} failed", log=ended.out)


def _where(host: LabHost, process: Process) -> _Where:
    where = _OF[process]
    if host.role is not where.role:
        raise LabMistake(f"{host.name} is a {host.role} host: no {process} runs there")
    return where


def _mark(unit: str) -> str:
    return f"/run/failover-lab/dead/{unit}"


def _drop_in(unit: str) -> str:
    return f"/run/systemd/system/{unit}.d/90-lab-dead.conf"
