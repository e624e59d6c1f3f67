"""Whether packets stay within the declared networks, as the guard finds it in the kernel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from failover.checks.host_report import EGRESS_OFF
from failover.guard.egress import ENABLED, egress_problem
from failover.guard.nftables import KernelRefused, Nftables

WHOLE = """table inet failover_residency {
	chain egress {
		type filter hook output priority filter; policy drop;
		counter name "refused" reject
	}
}"""


class Kernel:
    def __init__(self, says: str | KernelRefused) -> None:
        self._says = says

    def listed(self, _command: str) -> str:
        if isinstance(self._says, KernelRefused):
            raise self._says
        return self._says


def asked(root: Path, says: str | KernelRefused) -> str | None:
    return egress_problem(root, cast("Callable[[], Nftables]", lambda: Kernel(says)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    link = tmp_path / ENABLED
    link.parent.mkdir(parents=True)
    link.symlink_to("../failover-residency.service")
    return tmp_path


def test_in_force(root: Path) -> None:
    assert asked(root, WHOLE) == ""


@pytest.mark.parametrize(
    "says",
    [
        KernelRefused("Error: No such file or directory; did you mean chain ‘x’?"),
        WHOLE.replace("policy drop", "policy accept"),
        "table inet failover_residency {\n\tchain egress {\n\t}\n}",
    ],
)
def test_not_in_force(root: Path, says: str | KernelRefused) -> None:
    assert asked(root, says)


def test_nobody_can_look_or_they_are_off(root: Path, tmp_path: Path) -> None:
    assert asked(root, KernelRefused("Operation not permitted (you must be root)")) is None
    assert asked(tmp_path / "nowhere", WHOLE) == EGRESS_OFF
