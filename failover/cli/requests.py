"""Follows an operator's request until it has ended, by what stands in ZooKeeper alone.

Writes nothing but a withdrawal, of a request that nobody has taken up in time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from failover.cli.exit_codes import ExitCode
from failover.cli.output import UserError
from failover.coordination.requests import look, withdraw
from failover.coordination.store import Store, StoreUnavailable
from failover.model import Epoch
from failover.state import (
    GroupState,
    HistoryEntry,
    OperatorRequest,
    RequestPhase,
    decode_record,
    decode_state,
)
from failover.znode import GroupPaths

POLL_S = 0.1
GRACE_S = 2.0  # for an answer that is on its way
PROMOTION_LIMIT_S = 60.0  # after the commit; a promotion takes less than a second

Say = Callable[[str], None]


class Following:
    """``until_ended``; then ``epoch`` and ``took_s`` are what became of it."""

    def __init__(
        self,
        store: Store,
        paths: GroupPaths,
        request: OperatorRequest,
        say: Say,
        serving: Callable[[], bool],
        *,
        approver: bool = False,
    ) -> None:
        """``approver``: where it stands. ``serving``: whether a primary is seen to work under its
        claim, in every cluster."""
        self._store = store
        self._paths = paths
        self._request = request
        self._path = paths.request_of(approver=approver)
        self._say = say
        self._serving = serving
        self._told = set(self._history())  # what was there before
        self._ended: OperatorRequest | None = None
        self._begun_unix_s: float | None = None
        self._ended_unix_s: float | None = None
        self.epoch: Epoch | None = None

    @property
    def took_s(self) -> float | None:
        """From the freeze of the plan until a primary worked again, as on record."""
        if self._begun_unix_s is None or self._ended_unix_s is None:
            return None
        return round(self._ended_unix_s - self._begun_unix_s, 3)

    def until_ended(self) -> OperatorRequest:
        """The request with its outcome, once a primary works again. StoreUnavailable where the
        ensemble stays silent for longer than the whole thing may take."""
        give_up_s = time.monotonic() + self._patience_s
        while True:
            try:
                ended = self._look()
                if ended is not None:
                    return ended
            except StoreUnavailable:
                if time.monotonic() > give_up_s:
                    raise
            if time.monotonic() > give_up_s and self._ended is not None:
                return self._ended  # gone back, and no primary works: its reasons say why
            if time.monotonic() > give_up_s:
                raise UserError(
                    f"request {self._request.id} has not come to its end",
                    todo="`failover explain` says what it waits for; it goes on by itself",
                    code=ExitCode.FINDINGS,
                )
            time.sleep(POLL_S)

    @property
    def _patience_s(self) -> float:
        answer_s = self._request.answer_by_unix_s - self._request.at_unix_s
        return answer_s + self._request.limit_s + PROMOTION_LIMIT_S

    def _look(self) -> OperatorRequest | None:
        """One look; the request where it has ended."""
        self._store.sync()
        self._tell_history()
        standing = look(self._store, self._path)
        if standing is None or standing.id != self._request.id:
            raise UserError(
                f"request {self._request.id} was replaced by another one",
                todo="`failover history` has what became of it",
                code=ExitCode.FINDINGS,
            )
        if standing.phase is RequestPhase.WAITING and self._too_late():
            standing = withdraw(
                self._store, self._path, standing.id, "no controller took it up in time"
            )
        if standing is None or not standing.ended:
            return None
        self._ended = standing
        return standing if standing.phase is RequestPhase.REFUSED or self._serves() else None

    def _too_late(self) -> bool:
        return time.time() > self._request.answer_by_unix_s + GRACE_S

    def _serves(self) -> bool:
        """A primary works under the present epoch, on record and as it is seen.

        After a plan was given up a primary may still be on its way down, with its claim in hand.
        """
        state = self._state()
        if state is None or not all(cluster.promoted for cluster in state.clusters.values()):
            return False
        if not self._serving():
            return False
        self.epoch = state.epoch
        self._tell_history()
        return True

    def _state(self) -> GroupState | None:
        found = self._store.read(self._paths.state)
        return decode_state(found.data, path=found.path) if found is not None else None

    # ------------------------------------------------------------------ on record

    def _history(self) -> tuple[str, ...]:
        return self._store.children(self._paths.history)

    def _tell_history(self) -> None:
        for name in self._history():
            if name in self._told:
                continue
            self._told.add(name)
            path = f"{self._paths.history}/{name}"
            found = self._store.read(path)
            if found is None:
                continue
            entry = decode_record(HistoryEntry, found.data, path=path)
            self._note(entry)
            since = entry.at_unix_s - (self._begun_unix_s or entry.at_unix_s)
            self._say(f"{since:6.2f} s  {entry.event}: {entry.summary}")

    def _note(self, entry: HistoryEntry) -> None:
        begun = (("switchover_begun", "plan"), ("takeover_begun", "plan"), ("takeover", "request"))
        ours = any(entry.event == e and entry.details.get(d) == self._request.id for e, d in begun)
        if ours and self._begun_unix_s is None:
            self._begun_unix_s = entry.at_unix_s
        if entry.event == "promoted":
            self._ended_unix_s = entry.at_unix_s
