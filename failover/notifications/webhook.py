"""One notification to one webhook, once. A thin edge.

Invariant: a connection goes to an address that was judged for this very request, never to a name;
a redirect is not followed, no proxy of the environment is used. Whatever goes wrong is a value: why
it was not delivered.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from failover.notifications.documents import body
from failover.notifications.due import Notification
from failover.policy import Address, Policy, Purpose, Webhook
from failover.residency.allowlist import Denied, judge_answers
from failover.sites.resolver import resolve

LIMIT_S = 10.0
WORLD = 0o007


class _Judged(AbstractResolver):
    """Answers with what was judged, whatever is asked."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        """There is nothing to close."""


async def deliver(
    policy: Policy,
    webhook: Webhook,
    notification: Notification,
    left_out: int,
    *,
    limit_s: float = LIMIT_S,
) -> str:
    """Empty: it answered 2xx. Else why it is not delivered, as far as is known."""
    try:
        headers = {"Content-Type": "application/json", **_proof(webhook)}
        async with asyncio.timeout(limit_s):
            judged = await _judged(policy, webhook)
            if isinstance(judged, Denied):
                return f"{webhook.url.host} is not dialled: {judged.reason}"
            data = body(webhook.format, notification, left_out, webhook.name)
            return await _post(webhook.url.text, judged, headers, data)
    except TimeoutError:
        return f"no answer within {limit_s:g} s"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


async def _judged(policy: Policy, webhook: Webhook) -> tuple[Address, ...] | Denied:
    host = webhook.url.host
    answers = await resolve(host) if isinstance(host, str) else (host,)
    return judge_answers(policy, answers, Purpose.OPERATIONS, time.time())


async def _post(
    url: str, addresses: Sequence[Address], headers: dict[str, str], data: bytes
) -> str:
    connector = aiohttp.TCPConnector(
        resolver=_Judged(addresses), use_dns_cache=False, force_close=True
    )
    async with (
        aiohttp.ClientSession(connector=connector, trust_env=False) as session,
        session.post(url, data=data, headers=headers, allow_redirects=False) as answer,
    ):
        return "" if 200 <= answer.status < 300 else f"it answered {answer.status}"


def _proof(webhook: Webhook) -> dict[str, str]:
    """OSError where the file is not as it should be; its contents are in no message."""
    if webhook.bearer_file is None:
        return {}
    file = Path(webhook.bearer_file)
    if file.stat().st_mode & WORLD:
        raise OSError(f"{file} is open to everybody on this host: chmod 0640 or less")
    secret = file.read_text(encoding="ascii", errors="replace").strip()
    if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise OSError(f"{file} does not hold one word to send as a bearer token")
    return {"Authorization": f"Bearer {secret}"}
