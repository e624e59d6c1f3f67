"""What the machine does beside the lab: how the kernel's counts are read."""

from __future__ import annotations

from failover.lab.machine import CpuUsed, busy_s, cpu_path

ID = "a1" * 32


def test_all_but_idle_waiting_and_stolen_time_is_busy() -> None:
    assert busy_s("cpu  100 20 30 4000 500 6 7 8 0 0\ncpu0 1 2 3\n") == 1.63


def test_what_is_not_the_labs_is_others() -> None:
    first, last = CpuUsed(100.0, 50.0, 40.0), CpuUsed(110.0, 68.0, 55.0)
    assert last.others_cores(first) == 0.3
    assert CpuUsed(110.0, 54.9, 45.0).others_cores(first) == 0.0, "two clocks, no negative use"


def test_the_file_of_a_containers_control_group() -> None:
    first = f"3:cpuset:/docker/{ID}\n2:cpuacct:/docker/{ID}/init.scope\n0::/docker/{ID}\n"
    assert cpu_path(first) == f"cpuacct/docker/{ID}/cpuacct.usage"
    joined = f"4:cpu,cpuacct:/docker/{ID}/system.slice/patroni.service\n"
    assert cpu_path(joined) == f"cpuacct/docker/{ID}/cpuacct.usage"
    assert cpu_path("2:cpuacct:/user.slice\n") is None
