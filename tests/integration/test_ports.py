"""Every port of every host of the lab, and what can be done there, as failover.yaml is without
switches: the column "off" of docs/ports.md. With everything required: test_ports_required.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from port_audit import audited, lines, listening
from port_world import World

from failover.lab.lab import Lab
from failover.reference.ports import Port, Row

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def world(shared_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with audited(shared_lab, tmp_path_factory.mktemp("other"), everywhere=False) as found:
        yield found


def test_nothing_listens_but_what_is_in_the_table(world: World) -> None:
    assert listening(world.lab) == []


@pytest.mark.parametrize(("port", "row"), lines("off"))
def test_what_can_be_done_there(world: World, port: Port, row: Row) -> None:
    seen = world.seen(port, row.client)
    assert seen == dict.fromkeys(seen, row.off)
    assert seen
