"""Another version is brought in host by host under load, as docs/operations/upgrade.md says, and
taken back the same way: no server is restarted, no claim changes hands, and the group is moved
while two versions are side by side.

The other version is this one under another number: what parts tell one another is frozen by
tests/unit/test_formats.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from drill import Roles, customers, state_of, wait_until, whole
from test_switchover import nothing_lost, switchover

from failover.coordination.connect import open_store
from failover.lab.lab import Lab
from failover.model import HostName
from failover.policy import DatabaseHost
from failover.znode import GroupPaths

pytestmark = pytest.mark.lab

NEXT_VERSION = "99.0.0"
NEXT = "/opt/failover/next"
SOURCE = "/opt/failover/src"
WITNESS = "sby-ctl1"


def packaged(lab: Lab, host: HostName) -> None:
    """The next version lies beside the present one."""
    number = f'__version__ = "{NEXT_VERSION}"'
    copy = f"mkdir -p {NEXT} && cp -a {SOURCE}/failover {NEXT}/"
    rename = f"sed -i 's/^__version__ = .*/{number}/' {NEXT}/failover/__init__.py"
    lab.shell(host, f"{copy} && {rename}")


def bring_in(lab: Lab, host: HostName, path: str) -> None:
    """The package of this host is the one in ``path``; nothing runs with it yet."""
    lab.shell(host, f"sed -i 's#^export PYTHONPATH=.*#export PYTHONPATH={path}#' /usr/bin/failover")


def upgrade_guard(lab: Lab, host: DatabaseHost, path: str) -> None:
    bring_in(lab, host.name, path)
    lab.shell(host.name, "failover guard barriers && systemctl restart failover-guard")


def versions(lab: Lab) -> dict[str, str]:
    """What ``failover check`` says of the versions: its verdict and its sentence."""
    ended = lab.exec(WITNESS, ["failover", "check", "--only", "versions", "-o", "json"])
    (found,) = json.loads(ended.out[ended.out.index("{") :])["checks"]
    return {"verdict": str(found["verdict"]), "evidence": json.dumps(found)}


def servers(lab: Lab) -> dict[HostName, str]:
    """When each server was started: a name for its run."""
    started = "SELECT pg_postmaster_start_time()"
    return {
        host.name: lab.shell(
            host.name, f'psql -h /run/postgresql -XtAc "{started}" postgres', user="postgres"
        ).strip()
        for host in lab.policy.clusters[0].hosts
    }


def permits(lab: Lab) -> int:
    """Grows with every permit."""
    with open_store(lab.policy) as store:
        found = store.read(GroupPaths(lab.policy.group).last_writer(lab.policy.clusters[0].name))
    assert found is not None
    return found.version


def primary_last(lab: Lab) -> list[DatabaseHost]:
    primary = Roles.now(lab).primary
    return sorted(lab.policy.clusters[0].hosts, key=lambda host: host.name == primary.name)


def guards_become(lab: Lab, path: str) -> None:
    """One after the other; no server notices."""
    runs, before = servers(lab), permits(lab)
    for host in primary_last(lab):
        upgrade_guard(lab, host, path)
        whole(lab)
    assert servers(lab) == runs
    assert permits(lab) == before, "no claim was given up"


def controllers_become(lab: Lab, path: str) -> None:
    for site in lab.policy.sites:
        bring_in(lab, site.controller.name, path)
        lab.shell(site.controller.name, "systemctl restart failover-controller")
        whole(lab)


@pytest.fixture
def back_again(lab: Lab) -> Iterator[None]:
    """Whatever happened, the lab has its own version afterwards."""
    yield
    for host in lab.policy.clusters[0].hosts:
        upgrade_guard(lab, host, SOURCE)
    controllers_become(lab, SOURCE)


@pytest.mark.usefixtures("back_again")
def test_two_versions_side_by_side_there_and_back(lab: Lab) -> None:
    roles = Roles.now(lab)
    hosts = [host.name for host in lab.policy.clusters[0].hosts]
    for host in (*hosts, *(site.controller.name for site in lab.policy.sites)):
        packaged(lab, host)
    with customers(lab, roles.active) as shop:
        guards_become(lab, NEXT)
        wait_until("it is said", lambda: versions(lab)["verdict"] == "warning")
        assert NEXT_VERSION in versions(lab)["evidence"]
        assert switchover(lab, roles.standby)[0] == 0
        whole(lab)
        controllers_become(lab, NEXT)
        wait_until("all of one version", lambda: versions(lab)["verdict"] == "ok")
        guards_become(lab, SOURCE)  # and back: old guards under new controllers
        assert switchover(lab, roles.active)[0] == 0
        whole(lab)
        controllers_become(lab, SOURCE)
        shop.wait_served()
        assert state_of(lab).epoch == roles.state.epoch + 2
        assert nothing_lost(shop, roles.active)
