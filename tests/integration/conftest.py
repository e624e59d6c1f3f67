"""Fixtures of the tests that need real parts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from zookeeper_container import ZooKeeperContainer, zookeeper_container


@pytest.fixture(scope="session")
def zookeeper() -> Iterator[ZooKeeperContainer]:
    with zookeeper_container() as server:
        yield server
