"""TLS sessions of servers that are asked again and again: all but the first question, and one in
ten minutes, need no whole handshake.

Invariant: a session is taken up only where it was made, with the very files by which the server
was believed then, for ``AGE_S_MAX`` after that at most and never past its certificate's end. Who
does not take it back (he was started anew, has another certificate, is another one) goes through
a whole handshake in the same connection, and is believed or not by that.
"""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass

from failover.clock import boottime_s

AGE_S_MAX = 600.0  # since the server's certificate was looked at


@dataclass(frozen=True, slots=True)
class Kept:
    """A session, and until when (CLOCK_BOOTTIME) it may be taken up."""

    session: ssl.SSLSession
    context: ssl.SSLContext  # another one: other files
    until_s: float


_kept: dict[tuple[str, int], Kept] = {}
_unix_s = time.time


def take(context: ssl.SSLContext, address: str, port: int) -> Kept | None:
    """The session for one connection; kept no longer, so that one that fails is not tried again."""
    kept = _kept.pop((address, port), None)
    if kept is None or kept.context is not context or boottime_s() >= kept.until_s:
        return None
    return kept


def keep(end: ssl.SSLObject, address: str, port: int, taken: Kept | None) -> None:
    """After a whole answer: tickets come behind the handshake. ``taken``: what it began with."""
    session = end.session
    if session is None or not session.has_ticket:
        return
    resumed = taken if end.session_reused else None
    until_s = resumed.until_s if resumed is not None else boottime_s() + _lasts_s(end)
    _kept[address, port] = Kept(session, end.context, until_s)


def _lasts_s(end: ssl.SSLObject) -> float:
    """From now on, for a server whose certificate was looked at just now."""
    ends_unix_s = ssl.cert_time_to_seconds(str((end.getpeercert() or {})["notAfter"]))
    return min(AGE_S_MAX, ends_unix_s - _unix_s())
