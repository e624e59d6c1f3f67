"""What a guard says of itself (``GET /status``), and of its host (``GET /host``)."""

from __future__ import annotations

import aiohttp
from pydantic import TypeAdapter

from failover.checks.host_report import HostReport
from failover.fields import NotExactly, read_exactly
from failover.health.observation import GuardSeen, NoAnswer, NoAnswerKind
from failover.policy import DatabaseHost
from failover.sites.doors import door, proof
from failover.sites.trouble import no_answer

_ADAPTER: TypeAdapter[GuardSeen] = TypeAdapter(GuardSeen)
_REPORT: TypeAdapter[HostReport] = TypeAdapter(HostReport)


async def ask_guard(
    session: aiohttp.ClientSession, host: DatabaseHost, limit_s: float
) -> GuardSeen | NoAnswer:
    """One answer or the reason for none. ``session`` carries the time limit."""
    try:
        async with session.get(door(host, "/status"), ssl=proof(host)) as response:
            body = await response.read()
        return seen(body)
    except (aiohttp.ClientError, OSError) as error:
        return no_answer(error, limit_s)


async def ask_host_report(
    session: aiohttp.ClientSession, host: DatabaseHost, limit_s: float
) -> HostReport | NoAnswer:
    """What the guard says of its host (``GET /host``), for `failover check`."""
    try:
        async with session.get(door(host, "/host"), ssl=proof(host)) as response:
            body = await response.read()
            if response.status != 200:
                return NoAnswer(NoAnswerKind.REJECTED, f"HTTP {response.status}: {body[:80]!r}")
        return read_exactly(_REPORT, body)
    except NotExactly as error:
        return NoAnswer(NoAnswerKind.MALFORMED, f"guard's report: {error.where}: not understood")
    except (aiohttp.ClientError, OSError) as error:
        return no_answer(error, limit_s)


def seen(body: bytes) -> GuardSeen | NoAnswer:
    """The guard's document as an observation."""
    try:
        return read_exactly(_ADAPTER, body)
    except NotExactly as error:
        return NoAnswer(NoAnswerKind.MALFORMED, f"guard's status: {error}")
