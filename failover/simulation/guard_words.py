"""What one simulated guard leaves on its disk, and what its processes tell each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from failover.guard import logic
from failover.guard.messages import Purpose
from failover.model import Epoch, TimelineId
from failover.simulation.kernel import Process


@dataclass(slots=True)
class Files:
    """What outlives the guard's processes. Without a reboot, the lease too."""

    boot_id: int = 0
    session_id: int | None = None
    armed: bool = False
    grant: logic.Grant | None = None
    epoch: Epoch | None = None
    renewals: logic.Renewals | None = None
    stood_in: logic.Renewals | None = None  # of the worker in a dead minder's place
    stood_until_s: float | None = None
    note: logic.Note | None = None
    noted_in_boot: int = 0  # the barrier's word, also of a start before the guard's own
    salvaged_epoch: int | None = None


class Status(NamedTuple):
    """What the minder last told the worker (MinderStatus)."""

    granted: bool
    permits_seen: int
    session_id: int | None
    deadline_s: float | None
    server_alive: bool
    in_production: bool
    demoted: bool


@dataclass(eq=False, slots=True)
class Question:
    """A barrier's permit question on its way through minder and worker."""

    number: int
    purpose: Purpose
    until_s: float
    asker: Process | None
    yes: bool | None = None
    reason: str = ""
    timeline: TimelineId | None = None
    withdrawn: bool = False
