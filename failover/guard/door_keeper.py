"""Keeps the acknowledgement barrier as ``acknowledgement`` wants it: the minder's hand.

The kernel is asked in a thread of its own, in order, so that nothing on the way to a kill waits
for it. What the door was made last stands in a file (memory, /run) that outlives the guard and is
what PostgreSQL's ``recovery_end_command`` reads. Invariants: it says ``free`` before the door is,
and anything else only once the door is; connections that stood behind a shut door are destroyed
before it opens again, for the kernel would go on delivering what they had to say.

Where the kernel has no such barrier (no nftables, no right to it) ``enforced`` is False and the
deadline's kill is all there is: a host frozen whole and thawed then acknowledges for up to 0.1 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog

from failover.guard import sockets
from failover.guard.acknowledgement import FREE, Barrier, Door, Form
from failover.guard.nftables import KernelRefused, Nftables
from failover.guard.records import Places

AGAIN_EVERY_S = 2.0  # somebody may have flushed the rules
STUCK_SAID_EVERY_S = 60.0

log = structlog.get_logger(__name__)


class DoorKeeper:
    """Of one minder. ``want`` from the event loop only."""

    def __init__(
        self, barrier: Barrier, places: Places, kernel: Callable[[], Nftables] = Nftables
    ) -> None:
        """``kernel``: KernelRefused where there is none."""
        self._barrier = barrier
        self._kernel = kernel
        self._file = places.door
        self._nft: Nftables | None = None
        self.wanted: Door | None = None  # None: as a guard before this one left it
        self._form = self._recall()
        self._thread = ThreadPoolExecutor(1, "door")
        self._latest: asyncio.Future[None] | None = None
        self._asked_s = 0.0
        self._noted = self._form
        self._tried = False  # that this kernel destroys connections at all
        self._stuck = False  # what stood behind the door could not be destroyed
        self._told_stuck: tuple[tuple[Form, str] | None, float] = (None, 0.0)  # what, and when
        self.enforced: bool | None = None  # None: not tried yet

    def want(self, door: Door | None) -> None:
        """Make it so. Never waits; what is wanted still is made sure of now and then."""
        now_s = time.monotonic()
        if door is None or (door == self.wanted and now_s - self._asked_s < AGAIN_EVERY_S):
            return
        self.wanted, self._asked_s = door, now_s
        self._latest = asyncio.get_running_loop().run_in_executor(self._thread, self._make, door)

    async def settled(self, limit_s: float) -> bool:
        """What is wanted is in force, or the kernel never had such a thing here. False: it is not
        known in time, or the door cannot be moved."""
        give_up_s = time.monotonic() + limit_s
        while (latest := self._latest) is not None:
            left_s = max(0.0, give_up_s - time.monotonic())
            done, _ = await asyncio.wait({latest}, timeout=left_s)
            if not done or latest.exception() is not None:
                return False
            if latest is self._latest:  # else it was passed over: a newer one is in line
                return not self._stuck
        return True

    # ----------------------------------------------------------------------- in the thread

    def _make(self, door: Door) -> None:
        if door is not self.wanted and door.form is not Form.SHUT:
            return  # a newer one is in line; but what stood behind a shut door is not forgotten
        try:
            self._to(door)
        except KernelRefused as refusal:
            # One that has had a door may still have it in another form: that is doubt, not absence.
            self._stuck = self._form is not None
            self._say_enforced(False, str(refusal))
        except (OSError, subprocess.SubprocessError) as error:
            self._stuck, self._asked_s = True, 0.0
            self._say_stuck(door.form, str(error))
        else:
            self._stuck = False
            self._say_moves()
            self._say_enforced(True, "")

    def _to(self, door: Door) -> None:
        """OSError, SubprocessError: it stays shut, because of what still stands behind it."""
        opens = self._form is Form.SHUT and door.form is not Form.SHUT
        # A lease may have run out while nobody looked, and its server be gone since.
        opens = opens or (self._form is Form.LEASED and door.form is Form.FREE)
        shuts = self._form is not Form.SHUT and door.form is Form.SHUT
        if opens:
            self._destroy_connections()
        if door == FREE:
            self._note(door.form)
        self._in_kernel(door)
        self._form = door.form
        if door != FREE:
            self._note(door.form)
        if shuts:
            self._destroy_connections()

    def _in_kernel(self, door: Door) -> None:
        """In one transaction. The table is made where there is none, or another's."""
        commands = f"{self._barrier.sieve()}\n{self._barrier.as_wanted(door)}"
        if self._nft is None:
            self._nft = self._kernel()
            commands = f"{self._barrier.definition()}\n{self._barrier.as_wanted(door)}"
        try:
            self._nft.run(commands)
        except KernelRefused as refusal:
            self._nft.run(f"{self._barrier.anew()}\n{self._barrier.as_wanted(door)}")
            log.warning("acknowledgement_barrier_made_anew", error=str(refusal))

    def _destroy_connections(self) -> None:
        """OSError, SubprocessError: they may still be there."""
        if not self._tried:
            sockets.try_it()
            self._tried = True
        sockets.destroy(*self._barrier.connections())

    # ----------------------------------------------------------------------- what it says

    def _say_stuck(self, wanted: Form, why: str) -> None:
        """When it begins or is for another reason, and every minute: it is tried 20 times a
        second."""
        now_s = time.monotonic()
        news = self._told_stuck[0] != (wanted, why)
        if news or now_s - self._told_stuck[1] >= STUCK_SAID_EVERY_S:
            self._told_stuck = ((wanted, why), now_s)
            log.error("acknowledgement_barrier_stuck", wanted=wanted, error=why)

    def _say_moves(self) -> None:
        if self._told_stuck[0] is not None:
            self._told_stuck = (None, 0.0)
            log.info("acknowledgement_barrier_moves_again")

    def _say_enforced(self, enforced: bool, why: str) -> None:
        if not enforced:
            self._note(None)
        if enforced == self.enforced:
            return
        self.enforced = enforced
        if enforced:
            log.info("acknowledgement_barrier", enforced=True)
        else:
            log.error("acknowledgement_barrier", enforced=False, error=why)

    def _recall(self) -> Form | None:
        """None: nothing was opened or shut in this boot, as far as is known."""
        with contextlib.suppress(OSError, ValueError):
            return Form(self._file.read_text(encoding="ascii").strip())
        return None

    def _note(self, form: Form | None) -> None:
        """None: nothing that a promotion could rely on. OSError when it cannot be written."""
        if form is self._noted:
            return
        if form is None:
            self._file.unlink(missing_ok=True)
        else:
            new = self._file.with_name(f"{self._file.name}.new")
            new.write_text(f"{form}\n", encoding="ascii")
            new.replace(self._file)
        self._noted = form
