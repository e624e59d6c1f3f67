"""Patroni's REST interface: what it says (``GET``), and the two orders that a reseed gives it.

The status code of a read is not looked at: Patroni answers with the same document whatever state it
is in. Orders need the password, and are given by a command of an operator only, never by a
controller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp

from failover.endpoints import endpoint
from failover.foreign import json_object, json_value, whole_number
from failover.health.observation import NoAnswer, NoAnswerKind, PatroniSeen
from failover.model import LSN_MAX, TIMELINE_MAX, HostName, Lsn, TimelineId
from failover.policy import DatabaseHost
from failover.sealed import context_of
from failover.sites.one_answer import answer_to
from failover.sites.trouble import no_answer, one_line

REST_USER = "patroni"
READ_LIMIT_S = 2.0
ORDER_LIMIT_S = 40.0  # a switchover is answered when it has ended

Answer = TypeVar("Answer")


async def ask_patroni(host: DatabaseHost, limit_s: float) -> PatroniSeen | NoAnswer:
    """One answer or the reason for none, within ``limit_s``."""
    question = f"GET /patroni HTTP/1.0\r\nHost: {host.address}\r\n\r\n".encode()
    try:
        async with asyncio.timeout(limit_s):
            where = (host.address, host.patroni_port, host.patroni_identity)
            answer = await answer_to(question, *where, resumes=True)
    except (OSError, ValueError) as error:
        return no_answer(error, limit_s)
    return seen_in(answer)


def seen_in(answer: bytes) -> PatroniSeen | NoAnswer:
    """The whole HTTP answer as an observation."""
    head, end_of_head, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/") or not end_of_head:
        return NoAnswer(NoAnswerKind.REJECTED, f"no HTTP answer: {head[:80]!r}")
    try:
        return seen(json_value(body))
    except ValueError as error:
        return NoAnswer(NoAnswerKind.MALFORMED, one_line(error))


def seen(document: Any) -> PatroniSeen | NoAnswer:
    """Patroni's document as an observation. ValueError where a part of it has no meaning."""
    if not isinstance(document, dict) or "state" not in document:
        return NoAnswer(NoAnswerKind.MALFORMED, "not Patroni's status document")
    tags = document.get("tags") or {}
    if not isinstance(tags, dict):
        raise ValueError("tags that are no object")
    timeline = document.get("timeline")
    return PatroniSeen(
        role=_word(document.get("role", "unknown")),
        state=_word(document["state"]),
        timeline=None if timeline is None else TimelineId(whole_number(timeline, TIMELINE_MAX, 1)),
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
    async def get(session: aiohttp.ClientSession) -> MemberSeen | NoAnswer:
        async with session.get(_url(host, "patroni")) as response:
            return member_in(await response.read())

    return await _asked(host, get, READ_LIMIT_S)


def member_in(body: bytes) -> MemberSeen | NoAnswer:
    """Patroni's document as what a reseed waits for."""
    try:
        document = json_object(body)
        xlog = document.get("xlog") or {}
        replayed = xlog.get("replayed_location") if isinstance(xlog, dict) else None
        started = document.get("postmaster_start_time")
        return MemberSeen(
            role=_word(document.get("role", "unknown")),
            state=_word(document.get("state")),
            started=None if started is None else _word(started),
            streams=document.get("replication_state") == "streaming",
            replayed_lsn=None if replayed is None else Lsn(whole_number(replayed, LSN_MAX)),
        )
    except ValueError as error:
        return NoAnswer(NoAnswerKind.MALFORMED, one_line(error))


def _word(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"not a word: {str(value)[:40]!r}")
    return value


async def ask_members(host: DatabaseHost) -> tuple[HostName, ...] | NoAnswer:
    """The members of its scope that this Patroni knows of now."""

    async def get(session: aiohttp.ClientSession) -> tuple[HostName, ...] | NoAnswer:
        async with session.get(_url(host, "cluster")) as response:
            return members_in(await response.read())

    return await _asked(host, get, READ_LIMIT_S)


def members_in(body: bytes) -> tuple[HostName, ...] | NoAnswer:
    """The members in Patroni's document of its scope."""
    try:
        members = json_object(body).get("members")
        if not isinstance(members, list) or not all(isinstance(one, dict) for one in members):
            raise ValueError("no list of members")
        return tuple(HostName(_word(one.get("name"))) for one in members)
    except ValueError as error:
        return NoAnswer(NoAnswerKind.MALFORMED, one_line(error))


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
        login = {"Authorization": aiohttp.encode_basic_auth(REST_USER, password)}
        async with session.post(_url(host, what), json=body, headers=login) as response:
            return Ordered(response.status in (200, 202), (await response.text()).strip())

    return await _asked(host, post, ORDER_LIMIT_S)


async def _asked(
    host: DatabaseHost,
    ask: Callable[[aiohttp.ClientSession], Awaitable[Answer | NoAnswer]],
    limit_s: float,
) -> Answer | NoAnswer:
    timeout = aiohttp.ClientTimeout(total=limit_s)
    try:
        identity = host.patroni_identity
        connector = aiohttp.TCPConnector(ssl=context_of(identity) if identity else True)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            return await ask(session)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return no_answer(error, limit_s)


def _url(host: DatabaseHost, what: str) -> str:
    scheme = "https" if host.patroni_identity else "http"
    return f"{scheme}://{endpoint(host.address, host.patroni_port)}/{what}"
