"""Fixtures of the tests that need real parts."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import pytest
from drill_report import what_the_lab_says
from open_lab import OPEN, open_site
from single_container import ZooKeeperContainer, zookeeper_container
from whole_lab import make_whole

from failover.lab.errors import LabError
from failover.lab.lab import Lab
from failover.lab.stages import Stage
from failover.lab.watch import NotWhole


@pytest.fixture(scope="session")
def zookeeper() -> Iterator[ZooKeeperContainer]:
    with zookeeper_container() as server:
        yield server


@pytest.fixture(scope="session")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One open lab for all tests, brought up for them and removed at the end.

    With FAILOVER_LAB_KEEP in the environment the lab that is up is used, and left.
    """
    keep = bool(os.environ.get("FAILOVER_LAB_KEEP"))
    lab = _attached() if keep else None
    found = lab or Lab(open_site(tmp_path_factory.mktemp("open")))
    with found.reserved("tests"):
        if lab is None:
            found.up(stall_shim=True, say=print)
        yield found
        if not keep:
            found.down()


def _attached() -> Lab | None:
    """The open lab that is up, where it came up to the end."""
    try:
        found = Lab.attach()
    except LabError:
        return None
    usable = found.stage is Stage.CLIENTS and found.config.read_bytes() == OPEN.read_bytes()
    return found if usable else None


@pytest.fixture
def lab(shared_lab: Lab) -> Iterator[Lab]:
    """The lab, whole before the test; what the test broke is healed after it.

    A lab that does not get whole fails the test that asked for it. The tests after it get a new
    one, so that each says something of its own.
    """
    try:
        make_whole(shared_lab)
    except NotWhole:
        shared_lab.up(stall_shim=True, say=print)
        raise
    yield shared_lab
    shared_lab.faults.heal()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What builds hosts of its own comes first: afterwards the shared lab has the machine."""
    own = (
        "test_install_guide.py",
        "test_ports_required.py",
        "test_check_required.py",
        "test_rotation_group.py",
    )
    items.sort(key=lambda item: own.index(item.path.name) if item.path.name in own else len(own))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A drill that failed tells what the group and its hosts said, before anything is healed."""
    report = yield
    found = getattr(item, "funcargs", {}).get("lab")
    if report.when == "call" and report.failed and isinstance(found, Lab):
        report.sections.extend(what_the_lab_says(found))
    return report
