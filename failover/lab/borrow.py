"""A lab to work with: the one that is up, or one that is brought up for it.

While it is borrowed nobody else can borrow, restart or remove it (``Lab.reserved``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from failover.lab.errors import LabError
from failover.lab.lab import Lab
from failover.lab.stages import Stage

Say = Callable[[str], None]


@contextmanager
def borrowed(say: Say, *, keep: bool = False) -> Iterator[Lab]:
    """A whole lab without faults. LabError when there is none to be had.

    Left as it was found: taken down again where it was brought up for this, unless ``keep``.
    """
    lab, brought_up = _attach_or_up(say)
    try:
        with lab.reserved("a measurement or the demo"):
            yield lab
    finally:
        if brought_up and not keep:
            lab.down(say=say)


def _attach_or_up(say: Say) -> tuple[Lab, bool]:
    """The lab, and whether it was brought up by this call."""
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
