"""The same in a lab of its own, with TLS and access lists required everywhere: the column "require"
of docs/ports.md, at every host."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from port_audit import audited, lines, listening, required_lab
from port_world import World

from failover.reference.ports import Port, Row

pytestmark = [pytest.mark.lab, pytest.mark.full]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with (
        required_lab() as lab,
        audited(lab, tmp_path_factory.mktemp("other"), everywhere=True) as found,
    ):
        yield found


def test_nothing_listens_but_what_is_in_the_table(world: World) -> None:
    assert listening(world.lab) == []


@pytest.mark.parametrize(("port", "row"), lines("required"))
def test_what_can_be_done_there(world: World, port: Port, row: Row) -> None:
    seen = world.seen(port, row.client)
    assert seen == dict.fromkeys(seen, row.required)
    assert seen
