"""What both audits of ports share: the lines to try, the lab to try them in, what listens there."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from port_sockets import listeners, said
from port_world import World
from whole_lab import make_whole

from failover.lab.containers import in_parallel
from failover.lab.errors import LabError
from failover.lab.hosts import LabHost
from failover.lab.lab import Lab
from failover.lab.stages import Stage
from failover.reference.ports import PORTS, Can

REPLICATED_LIMIT_S = 20.0


def lines(column: str) -> list[Any]:
    """Of the table, each a test; ``column``: off or required. Named as the page has them."""
    return [
        pytest.param(port, row, id=f"{port.number}-{row.client}-{getattr(row, column)}")
        for port in PORTS
        for row in port.rows
        if getattr(row, column) != Can.NOT_TRIED
    ]


def listening(lab: Lab) -> list[str]:
    """What listens and is not in the table, and what is in it and does not listen."""

    def one(host: LabHost) -> list[str]:
        found, (required, allowed) = listeners(host), said(lab, host)
        more = [f"{host.name}: not in the table: {each}" for each in sorted(found - allowed)]
        return more + [f"{host.name}: does not listen: {each}" for each in required - found]

    return [line for host in in_parallel(one, lab.all_hosts) for line in host]


@contextmanager
def required_lab(*, own_disks: bool = False) -> Iterator[Lab]:
    """The lab of deploy/failover.yaml, where everything is required. With FAILOVER_LAB_KEEP the one
    that is up is used, where it is such a one, and left."""
    keep = bool(os.environ.get("FAILOVER_LAB_KEEP"))
    if (lab := _attached() if keep else None) is not None:
        with lab.reserved("audit of ports"):
            yield lab
        return
    found = Lab()
    with found.reserved("audit of ports"):
        found.up(own_disks=own_disks, say=print)
        try:
            found.add_monitoring(say=print)
            yield found
        finally:
            found.down()


def _attached() -> Lab | None:
    try:
        found = Lab.attach()
    except LabError:
        return None
    return found if found.stage is Stage.CLIENTS and found.closed else None


@contextmanager
def audited(lab: Lab, directory: Path, *, everywhere: bool) -> Iterator[World]:
    """The lab, whole, with a customer's row on every database host."""
    make_whole(lab)
    world = World(lab, directory, everywhere=everywhere)
    with world.roles.with_a_table():
        give_up_s = time.monotonic() + REPLICATED_LIMIT_S
        while missing := world.roles.without_the_table():
            assert time.monotonic() < give_up_s, missing
        yield world
