"""What an HAProxy says of its servers: its statistics page, as CSV (HAProxy's management guide,
9.1)."""

from __future__ import annotations

import csv
import re

import aiohttp

from failover.checks.found import ProxyServerFound
from failover.endpoints import endpoint
from failover.health.observation import NoAnswer, NoAnswerKind
from failover.policy import Proxy
from failover.sealed import context_of
from failover.sites.trouble import no_answer
from failover.transport import Identity

STATISTICS_PORT = 8404  # haproxy.cfg
_SUMMARY = ("FRONTEND", "BACKEND")
_NEEDED = frozenset({"pxname", "svname", "status"})
_COUNT = re.compile("[0-9]{1,9}")


async def ask_haproxy(
    session: aiohttp.ClientSession, proxy: Proxy, limit_s: float, identity: Identity | None
) -> tuple[ProxyServerFound, ...] | NoAnswer:
    """Every server line. ``session`` carries the time limit; ``identity``: of this process, where
    the port has TLS."""
    scheme = "https" if identity else "http"
    url = f"{scheme}://{endpoint(proxy.address, STATISTICS_PORT)}/;csv"
    try:
        proof = context_of(identity) if identity else True
        async with session.get(url, ssl=proof) as response:
            text = await response.text()
            if response.status != 200:
                return NoAnswer(NoAnswerKind.REJECTED, f"HTTP {response.status}")
        return servers(text)
    except aiohttp.ClientConnectorError as error:
        return no_answer(error.os_error, limit_s)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return no_answer(error, limit_s)


def servers(text: str) -> tuple[ProxyServerFound, ...] | NoAnswer:
    """The page as values; sections and totals are left out."""
    try:
        rows = list(csv.DictReader(text.removeprefix("# ").splitlines()))
    except csv.Error as error:
        return NoAnswer(NoAnswerKind.MALFORMED, f"not HAProxy's statistics: {error}")
    if not rows or not rows[0].keys() >= _NEEDED:
        return NoAnswer(NoAnswerKind.MALFORMED, "not HAProxy's statistics")
    return tuple(
        ProxyServerFound(
            cluster=row["pxname"] or "",
            host=row["svname"] or "",
            status=row["status"] or "",
            check=(row.get("check_status") or "").removeprefix("* "),  # one is under way
            rise=_number(row.get("check_rise")),
            fall=_number(row.get("check_fall")),
        )
        for row in rows
        if row["svname"] not in _SUMMARY
    )


def _number(text: str | None) -> int | None:
    return int(text) if text and _COUNT.fullmatch(text) else None
