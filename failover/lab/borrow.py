"""A lab to work with: the one that is up, or one that is brought up for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from failover.lab.errors import LabError
from failover.lab.lab import Lab
from failover.lab.stages import Stage


def attach_or_up(say: Callable[[str], None]) -> tuple[Lab, bool]:
    """The lab, complete, and whether it was brought up by this call. LabError."""
    try:
        lab = Lab.attach()
    except LabError:
        lab = Lab()
        lab.up(say=say)
        return lab, True
    if lab.stage is not Stage.CLIENTS:
        lab.go_on(say=say)
    if lab.faults.active:
        raise LabError(
            f"faults are active: {'; '.join(map(str, lab.faults.active))}",
            todo="`failover lab heal` first",
        )
    return lab, False


@contextmanager
def borrowed(say: Callable[[str], None]) -> Iterator[Lab]:
    """A lab that is left as it was found: taken down where it was brought up for this."""
    lab, brought_up = attach_or_up(say)
    try:
        yield lab
    finally:
        if brought_up:
            lab.down(say=say)
