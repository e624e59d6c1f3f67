"""What the machine does beside the lab, by the kernel's own counts: a measurement needs to know."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from failover.clock import boottime_s
from failover.lab.errors import LabError

TICKS_A_SECOND = 100  # of /proc/stat, on every Linux that the lab runs on
_CONTAINER = re.compile(r"^(\d+):([^:]*):(/.*?[0-9a-f]{64}(?:\.scope)?)(?:/|$)")


@dataclass(frozen=True, slots=True)
class CpuUsed:
    """Until one moment: seconds of all cores together."""

    at_s: float  # boot time
    machine_s: float
    lab_s: float

    def others_cores(self, since: CpuUsed) -> float:
        """What was not the lab's, on average since then."""
        others_s = (self.machine_s - since.machine_s) - (self.lab_s - since.lab_s)
        return round(max(0.0, others_s) / (self.at_s - since.at_s), 2)


def cpu_used(container_pids: Iterable[int]) -> CpuUsed:
    """``container_pids``: one process of each container. LabError where the kernel does not say."""
    try:
        lab_s = sum(_used_s(_file_of(pid)) for pid in container_pids)
        stat = Path("/proc/stat").read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise LabError(f"the lab's share of the CPU cannot be read: {error}") from None
    return CpuUsed(boottime_s(), busy_s(stat), lab_s)


def busy_s(stat: str) -> float:
    """Of ``/proc/stat``: all but idle, waiting for a disk, stolen by a hypervisor."""
    user, nice, system, _idle, _iowait, irq, softirq = map(int, stat.split("\n", 1)[0].split()[1:8])
    return (user + nice + system + irq + softirq) / TICKS_A_SECOND


def cpu_path(cgroup: str) -> str | None:
    """Where the kernel counts a container's CPU, by ``/proc/PID/cgroup`` of one of its processes:
    the file below /sys/fs/cgroup. None where it is in no container."""
    for line in cgroup.splitlines():
        if (found := _CONTAINER.match(line)) is None:
            continue
        number, controllers, group = found.groups()
        if "cpuacct" in controllers.split(","):
            return f"cpuacct{group}/cpuacct.usage"
        if number == "0" and not controllers and Path("/sys/fs/cgroup/cgroup.controllers").exists():
            return f"{group.removeprefix('/')}/cpu.stat"
    return None


def _file_of(pid: int) -> Path:
    path = cpu_path(Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8"))
    if path is None:
        raise ValueError(f"process {pid} is in no container's control group")
    return Path("/sys/fs/cgroup") / path


def _used_s(file: Path) -> float:
    words = file.read_text(encoding="ascii").split()
    return (
        int(words[0]) / 1e9 if len(words) == 1 else int(words[words.index("usage_usec") + 1]) / 1e6
    )
