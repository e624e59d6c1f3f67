"""One HTTP door of a controller: ``/metrics``, the console's page and its JSON.

Only GET, nothing that changes anything. The page may load nothing from anywhere: the policy in
its headers says so to the browser. What a turn looks like is made once per turn, however many
look at it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from failover import __version__
from failover.answering import IDLE_LIMIT_S, serve
from failover.clock import boottime_s
from failover.controller import TickResult
from failover.history_check import Stored
from failover.latest import Latest
from failover.transport import Served

CONSOLE_SCHEMA = 1
STALE_AFTER_S = 5.0  # ten turns

Describe = Callable[[TickResult, tuple[Stored, ...]], dict[str, Any]]


class _Shown:
    """One group's newest turn as text, made when somebody asks for it and not before."""

    def __init__(self, latest: Latest, describe: Describe) -> None:
        self._latest = latest
        self._describe = describe
        self._of: tuple[TickResult, tuple[Stored, ...]] | None = None
        self._text = "null"

    def _is_of(self, result: TickResult, history: tuple[Stored, ...]) -> bool:
        return self._of is not None and self._of[0] is result and self._of[1] is history

    def text(self, now_boottime_s: float) -> str:
        latest = self._latest
        result, history = latest.result, latest.history.entries
        if result is not None and not self._is_of(result, history):
            self._of = (result, history)
            self._text = json.dumps(self._describe(result, history), ensure_ascii=False)
        age_s = None if result is None else round(now_boottime_s - latest.ended_boottime_s, 1)
        head = {"group": latest.group, "age_s": age_s}
        return f'{json.dumps(head, ensure_ascii=False)[:-1]}, "turn": {self._text}}}'


def application(
    registry: CollectorRegistry, site: str, groups: Sequence[Latest], describe: Describe
) -> web.Application:
    """``/metrics``, ``/`` and ``/console.json``."""
    page = files("failover.console").joinpath("page.html").read_text(encoding="utf-8")
    page_headers = {"Content-Security-Policy": content_security_policy(page), **_HEADERS}
    shown = [_Shown(latest, describe) for latest in groups]
    head = json.dumps(
        {
            "schema": CONSOLE_SCHEMA,
            "site": site,
            "version": __version__,
            "stale_after_s": STALE_AFTER_S,
        }
    )

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = encoder(request.headers.get("Accept", ""))
        response = web.Response(body=encode(registry), headers={"Content-Type": content_type})
        response.enable_compression()
        return response

    async def console(_request: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html", headers=page_headers)

    async def document(_request: web.Request) -> web.Response:
        now_s = boottime_s()
        body = ", ".join(each.text(now_s) for each in shown)
        text = f'{head[:-1]}, "groups": [{body}]}}'
        response = web.Response(text=text, content_type="application/json", headers=_HEADERS)
        response.enable_compression()
        return response

    made = web.Application()
    made.router.add_get("/metrics", metrics)
    made.router.add_get("/", console)
    made.router.add_get("/console.json", document)
    return made


_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def encoder(accept: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    """prometheus_client's choice. It fails on a version that is no number: then the plain text."""
    try:
        return choose_encoder(accept)
    except (ValueError, TypeError):
        return choose_encoder("")


def content_security_policy(page: str) -> str:
    """Nothing but this page's own style and script, by their hashes, and its own JSON."""
    sources = {
        f"{kind}-src": " ".join(_sha256(text) for text in re.findall(pattern, page, re.DOTALL))
        for kind, pattern in (
            ("style", r"<style>(.*?)</style>"),
            ("script", r"<script>(.*?)</script>"),
        )
    }
    rules = {
        "default-src": "'none'",
        **sources,
        "connect-src": "'self'",
        "img-src": "data:",  # the empty icon
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _sha256(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


async def open_door(
    made: web.Application, address: str, port: int, served: Served | None = None
) -> web.AppRunner:
    """Listen. OSError where the port is taken, or the files for TLS cannot be used."""
    runner = web.AppRunner(
        made, access_log=None, shutdown_timeout=1.0, keepalive_timeout=IDLE_LIMIT_S
    )
    return await serve(runner, address, port, served)
