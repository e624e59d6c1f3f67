"""A minor version of PostgreSQL is brought in as docs/operations/upgrade.md says: packages first,
then the standbys are restarted, and the group is moved for the sake of the last one.

There is one minor version to be had in the lab, so its files are replaced by copies of themselves,
as a package manager does it: the servers run on with programs and libraries that were deleted.
"""

from __future__ import annotations

import pytest
from drill import Roles, customers, history, standby_leader, state_of, whole
from test_switchover import nothing_lost, switchover

from failover.lab.lab import Lab
from failover.model import HostName

pytestmark = pytest.mark.lab

PACKAGE = "/usr/lib/postgresql/17"


def replace_package(lab: Lab, host: HostName) -> None:
    """Every file anew, by a rename."""
    each = 'cp -a "$file" "$file.new" && mv "$file.new" "$file"'
    lab.shell(host, f"for file in $(find {PACKAGE} -type f); do {each} || exit 1; done")


def runs_deleted(lab: Lab, host: HostName) -> bool:
    """The server's program is not the one in its place any more."""
    pid = f"$(head -1 /var/lib/postgresql/17/{lab.policy.clusters[0].name}/postmaster.pid)"
    return (
        lab.shell(host, f"readlink /proc/{pid}/exe", user="postgres").strip().endswith("(deleted)")
    )


def restart(lab: Lab, host: HostName) -> None:
    scope = lab.policy.clusters[0].scope(lab.policy.host(host).site)
    lab.shell(host, f"patronictl restart --force {scope} {host}")
    whole(lab)
    assert not runs_deleted(lab, host)


def test_packages_restarts_of_standbys_and_one_switchover(lab: Lab) -> None:
    roles = Roles.now(lab)
    hosts = lab.policy.clusters[0].hosts
    with customers(lab, roles.active) as shop:
        for host in hosts:
            replace_package(lab, host.name)
            assert runs_deleted(lab, host.name)
            whole(lab)  # guards and controllers take it for the same server
        leader = standby_leader(lab, roles.standby).name
        (other,) = (h.name for h in lab.policy.clusters[0].at(roles.standby) if h.name != leader)
        for name in (other, leader, roles.replica.name):
            restart(lab, name)
        assert state_of(lab).epoch == roles.state.epoch
        assert runs_deleted(lab, roles.primary.name)
        assert switchover(lab, roles.standby)[0] == 0
        whole(lab)
        shop.wait_served()
        assert not any(runs_deleted(lab, host.name) for host in hosts)
        assert nothing_lost(shop, roles.standby)
    since = [entry.event for entry in history(lab) if entry.epoch > roles.state.epoch]
    assert "takeover" not in since
