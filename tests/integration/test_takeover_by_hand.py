"""A human takes over, by the commands of the runbooks: no controller lives; two sites are lost."""

from __future__ import annotations

import pytest
from drill import Customers, Roles, customers, state_of, wait_until, whole

from failover.clock import boottime_s
from failover.lab.faults import Kind
from failover.lab.hosts import Role
from failover.lab.lab import Lab
from failover.lab.processes import Process
from failover.lab.workload.checker import acked_by_both
from failover.model import SiteName
from failover.policy import ZooKeeperServer
from failover.rebuild.questions import mode, serves

pytestmark = pytest.mark.lab


def run(lab: Lab, host: str, *command: str, code: int = 0) -> str:
    """What the command said, standard error included. It ends with this exit code."""
    ended = lab.exec(host, ["failover", *command])
    print(f"{host}: {' '.join(command)}: exit {ended.code}\n{ended.out}")
    assert ended.code == code, ended.out
    return str(ended.out)


def controller(lab: Lab, site: SiteName) -> str:
    return str(lab.policy.site(site).controller.name)


def zookeeper(lab: Lab, site: SiteName) -> ZooKeeperServer:
    (server,) = lab.policy.site(site).zookeeper
    return server


def takeover(lab: Lab, roles: Roles, *options: str, code: int = 0) -> str:
    site = roles.standby
    base = ("takeover", "--to", site, "--reason", "drill", "--yes")
    return run(lab, controller(lab, site), *base, *options, code=code)


def taken_over(lab: Lab, roles: Roles, shop: Customers, began_s: float) -> None:
    """By the other site, in a later epoch, and never both."""
    shop.at(roles.standby).wait_served()
    state = state_of(lab)
    assert state.active_site == roles.standby
    assert state.epoch > roles.state.epoch
    assert not acked_by_both(shop.attempts(), new_site=roles.standby, since_s=began_s)


def test_a_primary_that_works_is_never_taken_over(lab: Lab) -> None:
    """Whatever a human accepts: a live claim is stronger."""
    roles = Roles.now(lab)
    options = ("--accept-data-loss", "--i-have-fenced", roles.active)
    said = takeover(lab, roles, *options, code=5)
    assert "claim_gone" in said
    assert "no_working_primary" in said
    assert state_of(lab) == roles.state


def test_when_all_controllers_are_dead(lab: Lab) -> None:
    """The command stands in for the controller of its site."""
    roles = Roles.now(lab)
    with customers(lab, roles.active, roles.standby) as shop:
        for site in lab.policy.sites:
            lab.faults.kill(site.controller.name, Process.CONTROLLER, for_good=True)
        began_s = boottime_s()
        lab.faults.unplug(roles.active)
        said = takeover(lab, roles, code=5)  # nobody says what would be lost
        assert "loss_accepted" in said
        said = takeover(lab, roles, "--accept-data-loss")
        assert "stands in" in said
        taken_over(lab, roles, shop, began_s)
        lab.faults.heal()
        whole(lab)
        report = shop.report_at(roles.standby)
        print(f"lost {len(report.lost)}, problems {report.problems}")
        assert not report.problems


def test_two_sites_are_lost(lab: Lab) -> None:
    """docs/operations/two-sites-lost.md, command by command."""
    roles = Roles.now(lab)
    witness = next(s.name for s in lab.policy.sites if s.name not in (roles.active, roles.standby))
    survivor, old = zookeeper(lab, roles.standby), zookeeper(lab, roles.active)
    third = zookeeper(lab, witness)
    everybody = (survivor, old, third)
    fenced = ("--i-have-fenced", roles.active, "--i-have-fenced", witness)
    quorum = ("break-glass", "quorum", *fenced, "--reason", "drill", "--yes")
    with customers(lab, roles.active, roles.standby) as shop:
        run(lab, survivor.name, *quorum, code=5)  # nobody is lost yet
        began_s = boottime_s()
        for host in lab.hosts():
            beside = host.role in (Role.CLIENT, Role.OPERATIONS)
            if host.site in (roles.active, witness) and not beside:
                lab.faults.kill_host(host.name)
        run(lab, controller(lab, roles.standby), "explain", code=3)
        run(lab, survivor.name, *quorum)
        assert "claims_prove" in run(lab, controller(lab, roles.standby), "explain", code=5)
        said = takeover(lab, roles, "--accept-data-loss", code=5)
        assert "old_site_cannot_write" in said
        takeover(lab, roles, "--accept-data-loss", "--i-have-fenced", roles.active)
        taken_over(lab, roles, shop, began_s)

        rejoin = ("break-glass", "rejoin", "--yes")
        run(lab, survivor.name, "break-glass", "widen", code=5)  # nobody is there to go with
        power_on(lab, old.name)
        run(lab, old.name, *rejoin)
        run(lab, old.name, *rejoin, code=5)  # it waits for the survivor
        began_s = boottime_s()
        run(lab, survivor.name, "break-glass", "widen")
        run(lab, survivor.name, "break-glass", "widen", code=5)
        run(lab, old.name, *rejoin)
        power_on(lab, third.name)
        run(lab, third.name, *rejoin)
        wait_until("the third one follows", lambda: serves(mode(third)))
        run(lab, third.name, *rejoin)
        wait_until("all of them serve", lambda: all(map(serves, map(mode, everybody))))
        print("pause of writes while it grew:", shop.at(roles.standby).pause_s(began_s))
        run(lab, controller(lab, roles.standby), "break-glass", "done", "--reason", "drill")
        lab.faults.heal()
        whole(lab)
        report = shop.report_at(roles.standby)
        print(f"lost {len(report.lost)}, problems {report.problems}")
        assert not report.problems
    state = state_of(lab)
    assert (state.active_site, state.unproven_site) == (roles.standby, None)
    run(lab, controller(lab, roles.standby), "history", "verify")


def power_on(lab: Lab, host: str) -> None:
    """Its ZooKeeper server has started, as it was before the loss."""
    lab.faults.undo(Kind.KILL_HOST, host)
    ask = "systemctl is-active zookeeper.service"
    wait_until(f"{host} is up", lambda: "active" in lab.exec(host, ["sh", "-c", ask]).out.split())
