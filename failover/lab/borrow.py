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
def borrowed(
    what: str,
    say: Say,
    *,
    keep: bool = False,
    stall_shim: bool = False,
    own_disks: bool = False,
) -> Iterator[Lab]:
    """A whole lab without faults, for ``what``. LabError when there is none to be had.

    ``stall_shim``: one that can stall WAL fsyncs; ``own_disks``: and fill disks.

    Left as it was found: taken down again where it was brought up for this, unless ``keep``.
    """
    found = _attached()
    lab = found or Lab()
    with lab.reserved(what):
        if found is None:
            lab.up(stall_shim=stall_shim, own_disks=own_disks, say=say)
        try:
            _complete(lab, say)
            say(f"the lab: {words(lab)}")
            if stall_shim and not lab.stall_shim:
                raise LabError(
                    "the lab that is up cannot stall WAL fsyncs",
                    todo="`failover lab up --stall-shim`, or `failover lab down` first",
                )
            if own_disks and not lab.own_disks:
                raise LabError(
                    "the hosts of the lab that is up have no disks that can be filled",
                    todo="`failover lab up --own-disks`, or `failover lab down` first",
                )
            yield lab
        finally:
            if found is None and not keep:
                lab.down(say=say)


def words(lab: Lab) -> str:
    """What every figure that is measured in it hangs on."""
    closed = "TLS on every wire, ZooKeeper asks for keys" if lab.closed else "some wire is open"
    return f"{closed}; {'netem' if lab.netem else 'no netem'}"


def _attached() -> Lab | None:
    try:
        return Lab.attach()
    except LabError:
        return None


def _complete(lab: Lab, say: Say) -> None:
    """Every stage reached, and nothing broken by somebody before."""
    if lab.stage is not Stage.CLIENTS:
        lab.go_on(say=say)
    if lab.faults.active:
        raise LabError(
            f"faults are active: {'; '.join(map(str, lab.faults.active))}",
            todo="`failover lab heal` first",
        )
