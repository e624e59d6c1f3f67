"""Carries out one ``Reseed``: on record, then by Patroni, followed until the host streams.

Invariant: nothing is ordered before it is on record, in a transaction that checks that ``state`` is
still the one that was judged. Judges nothing itself. What was ordered goes on without this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from failover.cli.exit_codes import ExitCode
from failover.cli.output import UserError
from failover.coordination.history import record
from failover.coordination.store import StoreUnavailable
from failover.endpoints import endpoint
from failover.health.observation import NoAnswer
from failover.sites import patroni
from failover.sites.patroni import MemberSeen, Ordered
from failover.state import HistoryEntry
from failover.znode import Check, Committed, Create, Delete, GroupPaths, ScopePaths

if TYPE_CHECKING:
    from failover.coordination.store import Store
    from failover.model import Epoch
    from failover.planning.reseed import Reseed
    from failover.policy import Policy

POLL_S = 0.5
BUSY = "already in progress"  # how Patroni's refusal ends while it works on something else
BUSY_LIMIT_S = 60.0
LEAVE_LIMIT_S = 5.0
FORMER_LEADER_LIMIT_S = 30.0  # Patroni stops and starts its PostgreSQL: 3.5 s in the lab
MEMBER_SEEN_LIMIT_S = 10.0  # a Patroni attached to a follower sees a new znode a little later

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Order:
    """Who wants it and why, and the state that was judged."""

    by: str
    reason: str
    epoch: Epoch
    state_version: int
    size_bytes: int
    predicted_s: float


class Reseeding:
    """``start``, then ``follow``. Every wait is bounded."""

    def __init__(
        self, policy: Policy, store: Store, reseed: Reseed, order: Order, password: str
    ) -> None:
        self._store = store
        self._reseed = reseed
        self._order = order
        self._password = password
        self._paths = GroupPaths(policy.group)
        self._scope = ScopePaths(policy.patroni_namespace, reseed.scope)
        self._started_before: str | None = None
        self._began_s = time.monotonic()

    def start(self) -> None:
        """On record, then ordered. UserError where either is refused; then nothing is deleted."""
        before = asyncio.run(patroni.ask_member(self._reseed.host))
        if isinstance(before, NoAnswer):
            raise _refused(f"Patroni on {self._reseed.host.name}: {before.detail}")
        self._started_before = before.started
        self._record("reseed_started", self._sentence, self._check())
        self._began_s = time.monotonic()
        if self._reseed.across:
            with_source = _Guest(self._store, self._scope, self._reseed)
            try:
                with_source.enter(self._check())
                self._reinitialize()
            finally:
                with_source.leave()
        else:
            self._reinitialize()

    def follow(self, limit_s: float, say: Say) -> float | None:
        """Until the host streams: how long that took; None where the limit passed before."""
        said, handed_over = "", not self._reseed.across
        while time.monotonic() - self._began_s < limit_s:
            seen = asyncio.run(patroni.ask_member(self._reseed.host))
            text = _told(seen)
            if text != said:
                say(f"{time.monotonic() - self._began_s:4.0f} s  {self._reseed.host.name}: {text}")
                said = text
            if self._is_copied(seen) and not handed_over:
                self._hand_over(say)
                handed_over = True
            elif self._is_copied(seen) and isinstance(seen, MemberSeen) and seen.streams:
                took_s = time.monotonic() - self._began_s
                self._finish(took_s)
                return took_s
            time.sleep(POLL_S)
        return None

    def await_former_leader(self, say: Say) -> None:
        """After a copy across. It is copied next, and until its PostgreSQL is back nobody can tell
        what WAL it has. Says it where it is not within ``FORMER_LEADER_LIMIT_S``."""
        leader = self._reseed.leader
        give_up_s = time.monotonic() + FORMER_LEADER_LIMIT_S
        while True:
            seen = asyncio.run(patroni.ask_member(leader))
            if isinstance(seen, MemberSeen) and seen.role == "replica" and seen.replayed_lsn:
                text = "is back as a replica"
                break
            if time.monotonic() > give_up_s:
                text = f"is no replica yet: {_told(seen)}"
                break
            time.sleep(POLL_S)
        say(f"        {leader.name}, which led before, {text}")

    def _is_copied(self, seen: MemberSeen | NoAnswer) -> bool:
        """A server that started since, and has what the source had when this was judged."""
        return (
            isinstance(seen, MemberSeen)
            and seen.state in ("running", "streaming")
            and seen.started not in (None, self._started_before)
            and seen.replayed_lsn is not None
            and seen.replayed_lsn >= self._reseed.end_of_wal
        )

    # ------------------------------------------------------------------ orders

    def _reinitialize(self) -> None:
        """Once Patroni has ended what it is doing, a hand-over of the leadership for instance."""
        give_up_s = time.monotonic() + BUSY_LIMIT_S
        while True:
            answer = asyncio.run(patroni.reinitialize(self._reseed.host, self._password))
            busy = isinstance(answer, Ordered) and not answer.accepted and BUSY in answer.text
            if not busy or time.monotonic() > give_up_s:
                break
            time.sleep(POLL_S)
        if isinstance(answer, NoAnswer):
            raise UserError(
                f"whether it has begun is not known: {answer.detail}",
                where=f"Patroni on {self._reseed.host.name}",
                todo="look with `failover status --watch`; it is safe to run this again",
                code=ExitCode.FINDINGS,
            )
        if not answer.accepted:
            raise _refused(f"Patroni on {self._reseed.host.name} refuses: {answer.text}")

    def _hand_over(self, say: Say) -> None:
        """The old leader lacks the WAL as well: the new copy leads the site from now on."""
        host, leader = self._reseed.host, self._reseed.leader
        answer = asyncio.run(patroni.hand_over(leader, host, self._password))
        text = answer.text if isinstance(answer, Ordered) else answer.detail
        say(f"        {leader.name} hands the leadership over to {host.name}: {text}")

    # ------------------------------------------------------------------ on record

    @property
    def _sentence(self) -> str:
        return (
            f"{self._reseed.host.name} is copied anew from {self._reseed.source.name}: "
            f"{self._order.reason}"
        )

    def _check(self) -> Check:
        return Check(self._paths.state, self._order.state_version)

    def _finish(self, took_s: float) -> None:
        host, source = self._reseed.host.name, self._reseed.source.name
        with contextlib.suppress(StoreUnavailable):  # the host streams, on record or not
            self._record("reseeded", f"{host} streams; copied from {source}", None, took_s)

    def _record(
        self, event: str, summary: str, check: Check | None, took_s: float | None = None
    ) -> None:
        details = {
            "host": str(self._reseed.host.name),
            "source": str(self._reseed.source.name),
            "reason": self._order.reason,
            "size_bytes": str(self._order.size_bytes),
            "predicted_s": f"{self._order.predicted_s:.0f}",
        }
        if took_s is not None:
            details["took_s"] = f"{took_s:.1f}"
        entry = HistoryEntry(
            at_unix_s=time.time(),
            epoch=self._order.epoch,
            event=event,
            summary=summary,
            by=self._order.by,
            details=details,
        )
        outcome = record(self._store, self._paths, entry, *([check] if check else []))
        if check is not None and not isinstance(outcome, Committed):
            raise _refused(f"it could not be put on record: {outcome.reason}")


class _Guest:
    """The active primary as a member of the standby scope, while Patroni chooses what to copy from.

    Patroni copies from a member tagged ``clonefrom`` before it takes the scope's leader. It makes
    that choice while it answers the order, so the guest leaves as soon as that is given.
    ``nofailover`` and ``nostream`` keep it out of elections and give it no slot.
    """

    def __init__(self, store: Store, scope: ScopePaths, reseed: Reseed) -> None:
        self._store = store
        self._reseed = reseed
        self._path = f"{scope.members}/{reseed.source.name}"

    def enter(self, check: Check) -> None:
        source = self._reseed.source
        scheme = "https" if source.patroni_identity else "http"
        document = {
            "conn_url": f"postgres://{endpoint(source.address, source.postgres_port)}/postgres",
            "api_url": f"{scheme}://{endpoint(source.address, source.patroni_port)}/patroni",
            "state": "running",
            "role": "replica",
            "tags": {"clonefrom": True, "nofailover": True, "nostream": True, "nosync": True},
        }
        create = Create(self._path, json.dumps(document).encode(), ephemeral=True)
        outcome = self._store.commit((check, create))
        if not isinstance(outcome, Committed):
            raise _refused(f"{source.name} could not be named as the source: {outcome.reason}")
        give_up_s = time.monotonic() + MEMBER_SEEN_LIMIT_S
        while time.monotonic() < give_up_s:
            members = asyncio.run(patroni.ask_members(self._reseed.host))
            if not isinstance(members, NoAnswer) and source.name in members:
                return
            time.sleep(POLL_S / 5)
        raise _refused(f"Patroni on {self._reseed.host.name} does not see {source.name} as source")

    def leave(self) -> None:
        """Where the guest is this session's, also by a commit whose answer was lost. Another
        reseed's stays: its Patroni may be choosing just now. The session's end takes ours too, and
        may be hours away: tried for a few seconds."""
        give_up_s = time.monotonic() + LEAVE_LIMIT_S
        while not self._left() and time.monotonic() < give_up_s:
            time.sleep(POLL_S / 5)

    def _left(self) -> bool:
        try:
            session = self._store.session_id
            self._store.sync()
            found = self._store.read(self._path)
            if found is None or found.ephemeral_owner != session:
                return True
            return isinstance(self._store.commit((Delete(self._path, found.version),)), Committed)
        except StoreUnavailable:
            return False


def _told(seen: MemberSeen | NoAnswer) -> str:
    if isinstance(seen, NoAnswer):
        return f"Patroni gives no answer ({seen.kind})"
    return f"{seen.role} {seen.state}{', streams' if seen.streams else ''}"


def _refused(what: str) -> UserError:
    return UserError(what, todo="nothing was deleted; look again", code=ExitCode.REFUSED)
