"""Patroni's REST interface: what it says (``GET``), and the two orders that a reseed gives it.

The status code of a read is not looked at: Patroni answers with the same document whatever state it
is in. Orders need the password, and are given by a command of an operator only, never by a
controller.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp

from failover.health.observation import NoAnswer, NoAnswerKind, PatroniSeen
from failover.model import HostName, Lsn, TimelineId
from failover.policy import DatabaseHost
from failover.sites.one_answer import answer_to
from failover.sites.trouble import no_answer

REST_USER = "patroni"
READ_LIMIT_S = 2.0
ORDER_LIMIT_S = 40.0  # a switchover is answered when it has ended

Answer = TypeVar("Answer")


async def ask_patroni(host: DatabaseHost, limit_s: float) -> PatroniSeen | NoAnswer:
    """One answer or the reason for none, within ``limit_s``."""
    question = f"GET /patroni HTTP/1.0\r\nHost: {host.address}\r\n\r\n".encode()
    try:
        async with asyncio.timeout(limit_s):
            answer = await answer_to(question, host.address, host.patroni_port)
        return seen_in(answer)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return no_answer(error, limit_s)


def seen_in(answer: bytes) -> PatroniSeen | NoAnswer:
    """The whole HTTP answer as an observation. ValueError where its document is no JSON."""
    head, end_of_head, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/") or not end_of_head:
        return NoAnswer(NoAnswerKind.REJECTED, f"no HTTP answer: {head[:80]!r}")
    return seen(json.loads(body))


def seen(document: Any) -> PatroniSeen | NoAnswer:
    """Patroni's document as an observation."""
    if not isinstance(document, dict) or "state" not in document:
        return NoAnswer(NoAnswerKind.MALFORMED, "not Patroni's status document")
    tags = document.get("tags") or {}
    timeline = document.get("timeline")
    return PatroniSeen(
        role=str(document.get("role", "unknown")),
        state=str(document["state"]),
        timeline=TimelineId(int(timeline)) if timeline is not None else None,
        paused=bool(document.get("pause", False)),
        pending_restart=bool(document.get("pending_restart", False)),
        nofailover=bool(tags.get("nofailover", False)),
    )


# --------------------------------------------------------------------------- one member, closely


@dataclass(frozen=True, slots=True)
class MemberSeen:
    """How far one member is. ``started``: when its postmaster started, as Patroni writes it."""

    role: str
    state: str
    started: str | None
    streams: bool
    replayed_lsn: Lsn | None


@dataclass(frozen=True, slots=True)
class Ordered:
    """Patroni's answer to an order. ``accepted``: it is being carried out, or has been."""

    accepted: bool
    text: str


async def ask_member(host: DatabaseHost) -> MemberSeen | NoAnswer:
    async def get(session: aiohttp.ClientSession) -> MemberSeen:
        async with session.get(_url(host, "patroni")) as response:
            return member(json.loads(await response.read()))

    return await _asked(get, READ_LIMIT_S)


def member(document: Any) -> MemberSeen:
    """Patroni's document as what a reseed waits for. KeyError, TypeError: it is not one."""
    replayed = (document.get("xlog") or {}).get("replayed_location")
    return MemberSeen(
        role=str(document.get("role", "unknown")),
        state=str(document["state"]),
        started=document.get("postmaster_start_time"),
        streams=document.get("replication_state") == "streaming",
        replayed_lsn=Lsn(int(replayed)) if replayed is not None else None,
    )


async def ask_members(host: DatabaseHost) -> tuple[HostName, ...] | NoAnswer:
    """The members of its scope that this Patroni knows of now."""

    async def get(session: aiohttp.ClientSession) -> tuple[HostName, ...]:
        async with session.get(_url(host, "cluster")) as response:
            document = json.loads(await response.read())
        return tuple(HostName(str(one["name"])) for one in document["members"])

    return await _asked(get, READ_LIMIT_S)


async def reinitialize(host: DatabaseHost, password: str) -> Ordered | NoAnswer:
    """Delete the host's data directory and copy the cluster anew. Returns once it has begun."""
    return await _order(host, "reinitialize", {}, password)


async def hand_over(
    leader: DatabaseHost, candidate: DatabaseHost, password: str
) -> Ordered | NoAnswer:
    """Make another member the leader of the scope."""
    body = {"leader": str(leader.name), "candidate": str(candidate.name)}
    return await _order(leader, "switchover", body, password)


async def _order(
    host: DatabaseHost, what: str, body: dict[str, str], password: str
) -> Ordered | NoAnswer:
    async def post(session: aiohttp.ClientSession) -> Ordered:
        login = aiohttp.BasicAuth(REST_USER, password)
        async with session.post(_url(host, what), json=body, auth=login) as response:
            return Ordered(response.status in (200, 202), (await response.text()).strip())

    return await _asked(post, ORDER_LIMIT_S)


async def _asked(
    ask: Callable[[aiohttp.ClientSession], Awaitable[Answer]], limit_s: float
) -> Answer | NoAnswer:
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=limit_s)) as session:
            return await ask(session)
    except (aiohttp.ClientError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return no_answer(error, limit_s)


def _url(host: DatabaseHost, what: str) -> str:
    return f"http://{host.address}:{host.patroni_port}/{what}"
