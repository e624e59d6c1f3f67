"""A history in memory, targets on this machine, and the notifications between them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from memory_store import MemoryStore, World
from prometheus_client import CollectorRegistry, generate_latest

from failover.config import load
from failover.coordination.history import record
from failover.coordination.init import initialise
from failover.history import HeadSeen, head_seen
from failover.metrics.controller import Instruments
from failover.metrics.notifications import TargetMetrics
from failover.model import Epoch
from failover.notifications.courier import Courier, Deliver
from failover.notifications.notifier import deliverer
from failover.policy import (
    CommandHook,
    NetworkException,
    NotificationKind,
    NotificationTarget,
    Policy,
    Purpose,
    Residency,
    Url,
    Webhook,
    WebhookFormat,
)
from failover.state import HistoryEntry
from failover.znode import Committed, GroupPaths

ROOT = Path(__file__).parents[2]
EVERYTHING = tuple(NotificationKind)
AT_UNIX_S = 1_800_000_000.0
LOOPBACK = NetworkException(
    network=ip_network("127.0.0.0/8"),
    owner="PT Pasar Nusantara",
    country="ID",
    purposes=(Purpose.OPERATIONS,),
    approver="CTO",
    reason="a test on this machine",
    expires=date(2999, 12, 31),
)
POLICY = replace(load(ROOT / "tests" / "open.yaml"), residency=Residency(exceptions=(LOOPBACK,)))
PATHS = GroupPaths(POLICY.group)


def entry(event: str, **details: str) -> HistoryEntry:
    return HistoryEntry(AT_UNIX_S, Epoch(2), event, f"{event} happened", "a test", details)


class Recorded:
    """A group with a history. One session of the controller that delivers, one of who writes."""

    def __init__(self) -> None:
        world = World()
        self.store: MemoryStore = world.session()
        self.world = world
        self.writer = world.session()
        initialise(self.writer, POLICY, now_unix_s=AT_UNIX_S, by="a test")

    def happens(self, event: str, **details: str) -> None:
        outcome = record(self.writer, PATHS, entry(event, **details))
        assert isinstance(outcome, Committed)

    @property
    def head(self) -> HeadSeen:
        return head_seen(self.writer.read(PATHS.history_head))

    def place(self, target: str = "hook") -> str | None:
        found = self.writer.read(PATHS.notified(target))
        return None if found is None else str(json.loads(found.data)["entry"])

    @property
    def newest(self) -> str:
        return self.writer.children(PATHS.history)[-1]


class Told:
    """A courier with its metrics. Each is a new controller: it remembers nothing."""

    def __init__(
        self,
        recorded: Recorded,
        target: NotificationTarget,
        *,
        policy: Policy = POLICY,
        deliver: Deliver | None = None,
        store: MemoryStore | None = None,
    ) -> None:
        self.registry = CollectorRegistry()
        metrics = TargetMetrics(policy, "surabaya", target.name, Instruments(self.registry))
        self._worker = ThreadPoolExecutor(1)
        self.courier = Courier(
            target,
            store or recorded.store,
            PATHS,
            deliver or deliverer(policy, target),
            metrics,
            self._worker,
        )

    def metric(self, name: str) -> float | None:
        for line in generate_latest(self.registry).decode().splitlines():
            if line.startswith(f"failover_notifications_{name}{{"):
                return float(line.rsplit(" ", 1)[1])
        return None


# --------------------------------------------------------------------------- a real server


@dataclass
class Server:
    """Answers with ``status``; ``hangs``: not at all until it is ``released``."""

    port: int = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False
    released: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)
    requests: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [document for _headers, document in self.requests]

    def webhook(self, **changes: Any) -> Webhook:
        url = Url(f"http://127.0.0.1:{self.port}/hook", ip_address("127.0.0.1"), self.port)
        return replace(Webhook("hook", url, WebhookFormat.JSON, EVERYTHING), **changes)


@contextmanager
def serving() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.requests.append((dict(self.headers), json.loads(body)))
            state.asked.set()
            if state.hangs:
                state.released.wait()
                return
            self.send_response(state.status)
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """The requests are kept."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.released.set()
        server.shutdown()
        server.server_close()


def command(tmp_path: Path, script: str, name: str = "hook") -> CommandHook:
    file = tmp_path / name
    file.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    file.chmod(0o755)
    return CommandHook(name, str(file), EVERYTHING)
