"""Which session each ZooKeeper server really gives, asked by opening one and closing it again.

A server cuts what is asked for to its own ``minSessionTimeout`` and ``maxSessionTimeout``, and
nobody but the client at its end learns of it. Nothing is written but the sessions themselves.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from failover.coordination.session import Server, SessionClient
from failover.health.observation import NoAnswer, NoAnswerKind
from failover.model import HostName
from failover.policy import ZooKeeperServer


def granted(
    servers: tuple[ZooKeeperServer, ...], asked_ms: tuple[int, ...], limit_s: float
) -> dict[tuple[HostName, int], int | NoAnswer]:
    """By server and question, all asked at once; ends within ``limit_s`` and a second."""
    questions = [(server, ms) for server in servers for ms in asked_ms]
    with ThreadPoolExecutor(len(questions), "grant") as threads:
        answers = threads.map(lambda each: _ask(each[0], each[1], limit_s), questions)
        return {(s.name, ms): given for (s, ms), given in zip(questions, answers, strict=True)}


def _ask(server: ZooKeeperServer, asked_ms: int, limit_s: float) -> int | NoAnswer:
    client = SessionClient(
        [Server(str(server.address), server.client_port, server.identity)],
        session_ms=asked_ms,
        answer_limit_s=limit_s,
    )
    try:
        if client.start_async().wait(limit_s) and client.negotiated_ms:
            return client.negotiated_ms
        return NoAnswer(NoAnswerKind.TIMED_OUT, f"no session within {limit_s:g} s")
    finally:
        client.stop_aside()
