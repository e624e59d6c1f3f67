"""A lab as a test wants to find it."""

from __future__ import annotations

from collections.abc import Callable

from failover.coordination.connect import open_store
from failover.lab.lab import Lab
from failover.lab.watch import clear_cooldown, forget_drops, wait_whole

WHOLE_LIMIT_S = 180.0


def make_whole(lab: Lab, tell: Callable[[str], None] = print) -> None:
    """No fault, no cooldown, both sites streaming, and no drop of an earlier test counts. NotWhole
    when that does not come."""
    lab.faults.heal()
    wait_whole(lab.policy, WHOLE_LIMIT_S, tell=tell)
    with open_store(lab.policy) as store:
        clear_cooldown(store, lab.policy, by="tests")
        forget_drops(store, lab.policy, by="tests")
