"""The lab itself: it is what it says, its faults are real, and healed they leave nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from failover.lab.barrier_switch import DROP_IN
from failover.lab.errors import LabError
from failover.lab.faults import Kind
from failover.lab.hosts import Role
from failover.lab.image import engine
from failover.lab.lab import Lab
from failover.lab.network import NAME
from failover.lab.stages import zookeeper_mode
from failover.lab.workload.checker import judge
from failover.lab.workload.control import Team, Workload
from failover.model import SiteName

pytestmark = pytest.mark.lab

JAKARTA, MAKASSAR = SiteName("jakarta"), SiteName("makassar")


def wait_until(holds: Callable[[], bool], limit_s: float) -> None:
    give_up_s = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < give_up_s, f"not so within {limit_s:g} s"
        time.sleep(0.1)


def reaches(lab: Lab, host: str, address: str, port: int) -> bool:
    """Whether a connection from a host gets through within a second."""
    script = f"import socket; socket.create_connection(({address!r}, {port}), 1)"
    return lab.exec(host, ["python3", "-IS", "-c", script]).code == 0


def test_every_host_runs_what_it_is_for(lab: Lab) -> None:
    for one in lab.status():
        assert one.container == "running", one
        assert set(one.units.values()) <= {"active"}, one


def test_the_network_leads_nowhere_else(lab: Lab) -> None:
    assert engine().networks.get(NAME).attrs["Internal"]


def test_the_ensemble_has_one_leader(lab: Lab) -> None:
    modes = [zookeeper_mode(host) for host in lab.hosts(Role.ZOOKEEPER)]
    assert sorted(modes) == ["follower", "follower", "leader"]


def test_customers_are_served_in_both_sites_and_the_money_adds_up(lab: Lab) -> None:
    workload = Workload(lab, f"test-{time.time_ns()}")
    teams = (Team(JAKARTA, "proxy", 2, 20), Team(MAKASSAR, "proxy", 2, 20))
    workload.setup(JAKARTA)
    try:
        for team in teams:
            workload.start(team)
        workload.wait_until_served(teams)
    finally:
        workload.stop()
    report = judge(list(workload.attempts()), workload.export(JAKARTA))
    assert not report.lost
    assert report.money_adds_up, report.problems


def test_a_black_hole_around_the_witness(lab: Lab) -> None:
    (server,) = lab.hosts(Role.ZOOKEEPER, SiteName("surabaya"))
    address = str(server.address)
    lab.faults.unplug("surabaya")
    assert not reaches(lab, "jkt-client", address, 2181)
    assert reaches(lab, "sby-ctl1", address, 2181)  # inside the site all is as before
    lab.faults.heal()
    assert reaches(lab, "jkt-client", address, 2181)


def test_a_link_cut_in_one_direction_for_one_port(lab: Lab) -> None:
    address = str(lab.host("mks-proxy1").address)
    lab.faults.cut("jkt-client", "mks-proxy1", one_way=True, ports=(5000,))
    assert not reaches(lab, "jkt-client", address, 5000)
    assert reaches(lab, "jkt-client", address, 8404)
    assert reaches(lab, "mks-client", address, 5000)
    lab.faults.undo(Kind.CUT, "jkt-client>mks-proxy1")
    assert reaches(lab, "jkt-client", address, 5000)


def test_a_killed_host_boots_again_as_another_boot(lab: Lab) -> None:
    def boot_id() -> str:
        return lab.shell("sby-zk1", "cat /proc/sys/kernel/random/boot_id")

    before = boot_id()
    lab.faults.kill_host("sby-zk1")
    assert "no answer" in zookeeper_mode(lab.host("sby-zk1"))
    lab.faults.heal()
    assert boot_id() != before
    wait_until(lambda: zookeeper_mode(lab.host("sby-zk1")) in ("leader", "follower"), 20)


def test_a_frozen_host_answers_nothing_until_it_is_thawed(lab: Lab) -> None:
    lab.faults.freeze("sby-zk1")
    assert "no answer" in zookeeper_mode(lab.host("sby-zk1"))
    lab.faults.heal()
    wait_until(lambda: zookeeper_mode(lab.host("sby-zk1")) in ("leader", "follower"), 20)


def test_a_process_killed_for_good_stays_dead_until_healed(lab: Lab) -> None:
    def state() -> str:
        return lab.exec("mks-ctl1", ["systemctl", "is-active", "failover-controller"]).out.strip()

    lab.faults.kill("mks-ctl1", "controller", for_good=True)
    time.sleep(1.5)  # its unit would have started it again after half a second
    assert state() == "failed"
    lab.faults.heal()
    wait_until(lambda: state() == "active", 10)


def test_a_stalled_fsync_keeps_commits_waiting_until_healed(lab: Lab) -> None:
    primary = lab.writable_host()
    assert primary is not None
    commit = "timeout 1 psql -qXAtc \"select pg_logical_emit_message(true, 'lab', 'x')\""
    connected = f"cd /; {commit} -h /run/postgresql -d postgres"
    lab.shell(primary.name, connected, user="postgres")
    lab.faults.stall_fsync(primary.name)
    assert lab.exec(primary.name, ["sh", "-c", connected], user="postgres").code == 124
    lab.faults.heal()
    lab.shell(primary.name, connected, user="postgres")


def test_a_primary_without_its_acknowledgement_barrier_serves_on_and_gets_it_back(
    lab: Lab,
) -> None:
    primary = lab.writable_host()
    assert primary is not None
    switch = lab.faults.barrier_switch

    def postmaster() -> str:
        return lab.shell(primary.name, "head -qn1 /var/lib/postgresql/17/*/postmaster.pid")

    def seen(*, barrier: bool) -> bool:
        try:
            return not switch.seen(primary).objections(barrier)
        except LabError:  # its worker is not there yet
            return False

    wait_until(lambda: seen(barrier=True), 20)
    before = postmaster()
    lab.faults.no_barrier(primary.name)
    wait_until(lambda: seen(barrier=False), 20)
    lab.faults.heal()
    wait_until(lambda: seen(barrier=True), 20)
    assert postmaster() == before, "the server has noticed nothing"
    assert lab.exec(primary.name, ["test", "-e", DROP_IN]).code != 0
