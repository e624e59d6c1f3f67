"""Sets the group's protection mode as an operator would, for benches and drills."""

from __future__ import annotations

from failover.lab.errors import LabError
from failover.lab.lab import Lab
from failover.lab.watch import Whole, wait_whole
from failover.model import ProtectionMode, SiteKind

WHOLE_LIMIT_S = 180.0


def protect(lab: Lab, mode: ProtectionMode) -> Whole:
    """In this mode, and whole: in the synchronous ones that is in sync. NotWhole, LabError."""
    whole = wait_whole(lab.policy, WHOLE_LIMIT_S)
    if whole.state.protection is mode:
        return whole
    witness = next(site for site in lab.policy.sites if site.kind is SiteKind.WITNESS)
    command = ["failover", "protection", mode.value, "--reason", "lab"]
    ended = lab.exec(witness.controller.name, command)
    if ended.code != 0:
        raise LabError(f"protection {mode} is refused", log=ended.out)
    return wait_whole(lab.policy, WHOLE_LIMIT_S)
