"""What Patroni's REST interface says (``GET /patroni``). Reads only: nothing here changes anything.

The status code is not looked at: Patroni answers with the same document whatever state it is in.
"""

from __future__ import annotations

import json
from typing import Any

import aiohttp

from failover.health.observation import NoAnswer, NoAnswerKind, PatroniSeen
from failover.model import TimelineId
from failover.policy import DatabaseHost
from failover.sites.trouble import no_answer


async def ask_patroni(
    session: aiohttp.ClientSession, host: DatabaseHost, limit_s: float
) -> PatroniSeen | NoAnswer:
    """One answer or the reason for none. ``session`` carries the time limit."""
    try:
        async with session.get(f"http://{host.address}:{host.patroni_port}/patroni") as response:
            body = await response.read()
        return seen(json.loads(body))
    except (aiohttp.ClientError, OSError, ValueError, KeyError, TypeError) as error:
        return no_answer(error, limit_s)


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
