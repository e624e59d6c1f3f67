"""What people ask a controller to set, where only controllers write ``state``. Pure.

Each stands at the place of its role (``GroupPaths.setting``), which nobody of a lesser role can
write; the leading controller carries it out and puts the role on record (decision 0019).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from failover.fields import NotExactly, UnixSeconds, read_exactly
from failover.model import Automation
from failover.state import GroupState, RequestPhase, StateError

DETAILS_MAX = 100
WORDS_MAX = 2000
PAUSE_S_MAX = 7 * 86400.0
ANSWER_S = 10.0  # for the leading controller, a new election included


class SettingKind(StrEnum):
    """The event in the history."""

    AUTOMATION = "automation"
    PAUSED = "paused"
    PAUSE_ENDED = "pause_ended"
    ACKNOWLEDGED = "acknowledged"
    PROTECTION = "protection"
    REHEARSAL = "rehearsed"  # nothing is set: it is only put on record
    RESIDENCY_APPROVED = "residency_approved"  # ``value``: marks of entries of failover.yaml


Words = Annotated[str, Field(max_length=WORDS_MAX)]


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class SettingRequest:
    """One change. ``value``: the mode, or until when (Unix seconds), or marks; empty: none."""

    id: str
    kind: SettingKind
    value: Words
    summary: Words
    by: Words
    details: Annotated[dict[str, Words], Field(max_length=DETAILS_MAX)]
    at_unix_s: UnixSeconds
    answer_by_unix_s: UnixSeconds
    phase: RequestPhase = RequestPhase.WAITING
    outcome: Words = ""

    @property
    def waits(self) -> bool:
        return self.phase is RequestPhase.WAITING

    @property
    def accepts_loss(self) -> bool:
        return self.details.get("data_loss") == "accepted"

    @property
    def needs_approver(self) -> bool:
        """A human answers for a loss with it, or for a way out of the country."""
        if self.kind is SettingKind.RESIDENCY_APPROVED:
            return True
        return self.kind is SettingKind.PROTECTION and self.accepts_loss


_ADAPTER: TypeAdapter[SettingRequest] = TypeAdapter(SettingRequest)


def encode_setting(request: SettingRequest) -> bytes:
    """The znode's bytes."""
    return _ADAPTER.dump_json(request)


def decode_setting(data: bytes, *, path: str) -> SettingRequest:
    """StateError where it is not exactly one."""
    try:
        return read_exactly(_ADAPTER, data)
    except NotExactly as error:
        raise StateError(f"{path}: not a setting that is asked for: {error}") from None


def answered(request: SettingRequest, phase: RequestPhase, outcome: str = "") -> SettingRequest:
    return replace(request, phase=phase, outcome=outcome[:WORDS_MAX])


def change_of(request: SettingRequest, *, now_unix_s: float) -> Callable[[GroupState], GroupState]:
    """What becomes of ``state``; protection modes are judged elsewhere. ValueError: what cannot be
    set."""
    if request.kind is SettingKind.AUTOMATION:
        mode = Automation(request.value)
        return lambda state: replace(state, automation=mode)
    if request.kind is SettingKind.PAUSED:
        until_unix_s = float(request.value)
        if not now_unix_s < until_unix_s <= now_unix_s + PAUSE_S_MAX:
            raise ValueError("a pause ends within 7 days")
        return lambda state: replace(state, paused_until_unix_s=until_unix_s)
    if request.kind is SettingKind.PAUSE_ENDED:
        return lambda state: replace(state, paused_until_unix_s=0.0)
    if request.kind is SettingKind.ACKNOWLEDGED:
        return lambda state: replace(state, cooldown_until_unix_s=0.0, takeover_begun_unix_s=0.0)
    raise ValueError(f"{request.kind} sets nothing")
