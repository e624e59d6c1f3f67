"""For every story: what was decoded once is remembered, as in every schedule."""

from __future__ import annotations

import pytest

from failover.simulation.memory import remember_what_was_decoded


@pytest.fixture(autouse=True, scope="session")
def _remembered() -> None:
    remember_what_was_decoded()
