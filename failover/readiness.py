"""Gathers what ``failover check`` looks at: everything at once, each question with its limit.

Invariant: nothing here judges, nothing is written but ZooKeeper sessions that are closed again, and
whatever is silent is a value. What is published already is taken from the group's view.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import aiohttp

from failover import __version__
from failover.checks.found import (
    AccessFound,
    ClockFound,
    ControllerFound,
    EndpointFound,
    Found,
    Grant,
    HostFound,
    ProxyFound,
    Rehearsed,
    ServerFound,
)
from failover.checks.host_report import HostReport
from failover.checks.lease import sessions_ms
from failover.checks.postgresql import wanted_settings
from failover.coordination.access_tree import differences
from failover.coordination.grants import granted
from failover.coordination.kazoo_store import KazooStore
from failover.coordination.recent_history import newest_first
from failover.coordination.store import StoreUnavailable
from failover.health.inputs import ViewInputs
from failover.health.observation import NoAnswer
from failover.health.view import View, build_view
from failover.policy import (
    Address,
    ControllerHost,
    DatabaseHost,
    Endpoint,
    Policy,
    Proxy,
    ZooKeeperServer,
)
from failover.rehearsal.text import EVENT as REHEARSED
from failover.render.expected import expected
from failover.residency.allowlist import permits
from failover.sites.certificates import ask_certificates
from failover.sites.doors import door, proof
from failover.sites.guard_http import ask_host_report
from failover.sites.haproxy import ask_haproxy
from failover.sites.readiness_scan import ask_readiness
from failover.sites.resolver import resolve
from failover.sites.trouble import no_answer
from failover.sites.zookeeper_status import ask_settings
from failover.timing import lease_timing
from failover.znode import GroupPaths

if TYPE_CHECKING:
    from failover.coordination.store import Store
    from failover.transport import TransportSecurity

ANSWER_LIMIT_S = 3.0  # a guard waits for a hanging disk for 2 s before it says so
SESSION_LIMIT_S = 2.0
HISTORY_MAX = 2000  # entries back to the newest rehearsal: more than a restless quarter has

Answer = TypeVar("Answer")


def gather(
    policy: Policy,
    configuration: Path,
    store: Store,
    settle: Callable[[], ViewInputs],
    password_file: Path,
) -> Found:
    """One look at everything, within about ten seconds whatever is silent. ``settle``: a look at
    the group that is long enough to know ages."""
    sessions = ThreadPoolExecutor(1, "sessions")
    asked_ms = sessions_ms(lease_timing(policy.lease_s))
    granting = sessions.submit(granted, policy.zookeeper_servers, asked_ms, SESSION_LIMIT_S)
    inputs = settle()
    by_server = granting.result()
    sessions.shutdown()

    def grants(server: ZooKeeperServer) -> tuple[Grant, ...]:
        return tuple(Grant(ms, by_server[server.name, ms]) for ms in asked_ms)

    return asyncio.run(
        _ask(policy, inputs, configuration.read_bytes(), grants, store, password_file)
    )


async def _ask(
    policy: Policy,
    inputs: ViewInputs,
    configuration: bytes,
    grants: Callable[[ZooKeeperServer], tuple[Grant, ...]],
    store: Store,
    password_file: Path,
) -> Found:
    view = build_view(policy, inputs)
    names = wanted_settings(view)
    limit = aiohttp.ClientTimeout(total=ANSWER_LIMIT_S)
    async with aiohttp.ClientSession(timeout=limit) as session:
        hosts, servers, proxies, controllers, endpoints, certificates = await asyncio.gather(
            _all(
                _host(session, host, password_file, names)
                for cluster in policy.clusters
                for host in cluster.hosts
            ),
            _all(ask_settings(server, ANSWER_LIMIT_S) for server in policy.zookeeper_servers),
            _all(
                _proxy(session, each, policy.tls) for site in policy.sites for each in site.proxies
            ),
            _all(_controller(session, site.controller) for site in policy.sites),
            _all(_endpoint(policy, each, view.now_unix_s) for each in policy.endpoints),
            ask_certificates(policy, ANSWER_LIMIT_S),
        )
    clocks = [clock for _, each in hosts for clock in each]
    clocks += [clock for _, clock in controllers if clock is not None]
    return Found(
        view=view,
        version=__version__,
        versions=_versions(view, inputs),
        expected=expected(policy, configuration),
        servers=tuple(
            ServerFound(server.name, settings, grants(server))
            for server, settings in zip(policy.zookeeper_servers, servers, strict=True)
        ),
        hosts=tuple(host for host, _ in hosts),
        proxies=proxies,
        controllers=tuple(controller for controller, _ in controllers),
        clocks=tuple(clocks),
        endpoints=endpoints,
        rehearsed=_rehearsed(policy, store, inputs),
        certificates=certificates,
        access=_access(policy, store),
    )


def _access(policy: Policy, store: Store) -> AccessFound:
    if not policy.access.position.shown or not isinstance(store, KazooStore):
        return AccessFound()
    try:
        found = differences(policy, store)
    except StoreUnavailable as error:
        return AccessFound(problem=str(error))
    return AccessFound(tuple((each.path, each.sentence) for each in found))


async def _all(questions: Iterable[Awaitable[Answer]]) -> tuple[Answer, ...]:
    return tuple(await asyncio.gather(*questions))


async def _host(
    session: aiohttp.ClientSession,
    host: DatabaseHost,
    password_file: Path,
    names: tuple[str, ...],
) -> tuple[HostFound, tuple[ClockFound, ...]]:
    sent_s = time.time()

    async def of_guard() -> tuple[HostReport | NoAnswer, float]:
        return await ask_host_report(session, host, ANSWER_LIMIT_S), time.time()

    (report, heard_s), (postgres, clock) = await asyncio.gather(
        of_guard(), ask_readiness(host, password_file=password_file, names=names)
    )
    if clock is None and not isinstance(report, NoAnswer):
        clock = ClockFound(host.name, report.at_unix_s - heard_s, report.at_unix_s - sent_s)
    return HostFound(host, postgres, report), () if clock is None else (clock,)


async def _proxy(
    session: aiohttp.ClientSession, proxy: Proxy, tls: TransportSecurity
) -> ProxyFound:
    servers = await ask_haproxy(session, proxy, ANSWER_LIMIT_S, tls.statistics_identity)
    return ProxyFound(proxy.name, proxy.site, proxy.address, servers)


async def _controller(
    session: aiohttp.ClientSession, controller: ControllerHost
) -> tuple[ControllerFound, ClockFound | None]:
    """Its console's page: whether it answers, and by its ``Date`` (whole seconds) what time it
    is."""
    sent_s = time.time()
    try:
        async with session.get(door(controller, "/"), ssl=proof(controller)) as response:
            await response.read()
            date_s = parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
    except (aiohttp.ClientError, OSError) as error:
        problem = no_answer(error, ANSWER_LIMIT_S).detail
        return ControllerFound(controller.name, controller.site, problem), None
    except ValueError:  # it answers, and does not say what time it is
        return ControllerFound(controller.name, controller.site, ""), None
    clock = ClockFound(controller.name, date_s - time.time(), date_s + 1.0 - sent_s)
    return ControllerFound(controller.name, controller.site, ""), clock


async def _endpoint(policy: Policy, declared: Endpoint, now_unix_s: float) -> EndpointFound:
    addresses: tuple[Address, ...] = (
        await resolve(declared.host) if isinstance(declared.host, str) else (declared.host,)
    )
    outside = [a for a in addresses if not permits(policy, a, declared.purpose, now_unix_s)]
    return EndpointFound(declared.name, tuple(map(str, addresses)), tuple(map(str, outside)))


def _versions(view: View, inputs: ViewInputs) -> tuple[tuple[str, str], ...]:
    return tuple(
        (observer.site, observer.observation.version)
        for observer in inputs.observers
        if observer.observation is not None and observer.site in view.living_observers
    )


def _rehearsed(policy: Policy, store: Store, inputs: ViewInputs) -> Rehearsed:
    paths, looked_back = GroupPaths(policy.group), 0
    try:
        for stored in newest_first(store, paths, HISTORY_MAX):
            looked_back += 1
            if stored.entry is not None and stored.entry.event == REHEARSED:
                age_s = max(0.0, inputs.now_unix_s - stored.entry.at_unix_s)
                passed = stored.entry.details.get("result") == "passed"
                return Rehearsed(passed, age_s, looked_back)
    except StoreUnavailable as error:
        return Rehearsed(False, None, 0, str(error))
    return Rehearsed(False, None, looked_back)
