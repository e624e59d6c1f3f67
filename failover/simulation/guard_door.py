"""The acknowledgement barrier of one host: the kernel's half of it, and the minder's hand on it.

What the door should be is the product's own code (failover/guard/acknowledgement.py). The kernel
counts by itself: whoever of the guard is dead or frozen, a renewal that it was told of runs out.
"""

from __future__ import annotations

from failover.guard.acknowledgement import Door, Form, generation, wanted
from failover.guard.logic import Guard, ServerSeen
from failover.simulation.kernel import Kernel

KEPT = 16  # announcements; the door names the last but one


class HostDoor:
    """Closed again by a reboot of its host: with the server that it was opened for."""

    def __init__(self, kernel: Kernel, deadline_s: float) -> None:
        self._kernel = kernel
        self._deadline_s = deadline_s
        self._door: Door | None = None  # None: no guard has been here yet
        self._leased: dict[int, float] = {}  # by the name of the renewal, until when
        self._made_of: tuple[Guard, ServerSeen] | None = None

    def booted(self) -> None:
        self._door, self._made_of = None, None
        self._leased.clear()

    def announce(self, sent_s: float) -> None:
        """A renewal is about to be sent."""
        self._leased[generation(sent_s)] = self._kernel.now + self._deadline_s
        while len(self._leased) > KEPT:
            del self._leased[next(iter(self._leased))]

    def move(self, guard: Guard, server: ServerSeen) -> None:
        """As the minder judges now."""
        made = self._made_of
        if made is not None and made[0] is guard and made[1] is server:
            return
        self._door, self._made_of = wanted(guard, server, self._door), (guard, server)

    @property
    def opens(self) -> bool:
        """What the server answers its clients leaves the host now."""
        door = self._door
        if door is None or door.form is Form.FREE:
            return True
        if door.form is Form.SHUT or door.generation is None:
            return False
        return self._kernel.now < self._leased.get(door.generation, 0.0)


__all__ = ["HostDoor"]
