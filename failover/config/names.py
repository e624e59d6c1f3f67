"""The names in failover.yaml against a resolver: what resolves outside is refused. A thin edge.

Only where the file is put to use for something that dials or renders: the guard of a database host
must start without a resolver. A name that resolves to nothing is no mistake of the file; what
would dial it finds it denied (``residency.allowlist.judge_answers``), and the scanner says so.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from ipaddress import ip_address
from threading import Thread

from failover.config.problems import Problem
from failover.policy import Address, Policy, Purpose, Webhook
from failover.residency.allowlist import Denied, judge_answers

RESOLVE_LIMIT_S = 2.0  # for all names together

Resolver = Callable[[str], tuple[Address, ...]]


def resolve(name: str) -> tuple[Address, ...]:
    """Every address of a name, of both families; empty where the resolver has none, or is slow."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return ()
    return tuple(dict.fromkeys(ip_address(str(each[4][0])) for each in found))


def name_problems(policy: Policy, resolver: Resolver) -> list[Problem]:
    """Every endpoint and webhook whose name stands for an address outside now."""
    named = tuple(_named(policy))
    asked = {name: _in_background(resolver, name) for _, name, _ in named}
    give_up_s = time.monotonic() + RESOLVE_LIMIT_S
    problems = []
    for path, name, purpose in named:
        answers = _answers(asked[name], give_up_s)
        judged = judge_answers(policy, answers, purpose, time.time())
        if answers and isinstance(judged, Denied):
            problems.append(Problem(path, f"{name}: {judged.reason}"))
    return problems


def _named(policy: Policy) -> Iterator[tuple[str, str, Purpose]]:
    """Where in the file, which name, what for."""
    for index, endpoint in enumerate(policy.residency.endpoints):
        if isinstance(endpoint.host, str):
            yield f"residency.endpoints[{index}].host", endpoint.host, endpoint.purpose
    for index, target in enumerate(policy.notifications):
        if isinstance(target, Webhook) and isinstance(target.url.host, str):
            yield f"notifications[{index}].webhook.url", target.url.host, Purpose.OPERATIONS


def _in_background(resolver: Resolver, name: str) -> Future[tuple[Address, ...]]:
    """A resolver that hangs holds up nobody: its thread is left behind."""
    future: Future[tuple[Address, ...]] = Future()

    def run() -> None:
        try:
            future.set_result(resolver(name))
        except Exception as error:
            future.set_exception(error)

    Thread(target=run, daemon=True, name=f"resolve-{name}").start()
    return future


def _answers(asked: Future[tuple[Address, ...]], give_up_s: float) -> tuple[Address, ...]:
    try:
        return asked.result(timeout=max(0.0, give_up_s - time.monotonic()))
    except TimeoutError:
        return ()
