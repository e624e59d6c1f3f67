"""The controller as a service: probes in an asyncio loop, turns in one worker thread per group.

A turn is taken every half second, after each round of probes, and at once when ZooKeeper says
that something changed: the leader's; the others let it go first, and after its own step it rests a
moment itself. It wakes up early by watches, and never relies on one. Ends cleanly on
SIGTERM: closing the session hands the leadership over at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import uvloop
from aiohttp import web
from prometheus_client import (
    CollectorRegistry,
    ProcessCollector,
    disable_created_metrics,
)

from failover import __version__
from failover.access import Role
from failover.clock import boottime_s
from failover.console.door import Describe, application, open_door
from failover.controller import Controller, TickResult
from failover.coordination.connect import Connection
from failover.coordination.recent_history import RecentHistory
from failover.events import EventLog
from failover.health.glance import Glance
from failover.health.inputs import Glanced
from failover.health.observation import SiteObservation
from failover.health.probes import Observer
from failover.latest import Latest, keep_history
from failover.metrics.controller import ControllerMetrics, Instruments
from failover.model import SiteName
from failover.notifications.notifier import Notifier
from failover.phases import moves
from failover.planning.turn import TICK_INTERVAL_S, asked_once_more, awaits_a_stop
from failover.policy import Policy
from failover.scanner import Scanner
from failover.sd_notify import Heartbeat
from failover.sites.certificates import ask_certificates
from failover.znode import GroupPaths

GARBAGE_THRESHOLDS = (20_000, 20, 20)  # Python: 700 (2,000 since 3.13), 10, 10
STAND_IN_END_LIMIT_S = 3.0
CERTIFICATES_EVERY_S = 60.0
CERTIFICATE_LIMIT_S = 3.0
OBSERVER_PASSWORD_FILE = Path("/etc/failover/secrets/observer.password")


@dataclass(frozen=True, slots=True)
class _Group:
    """What one group needs in this process."""

    policy: Policy
    connection: Connection
    controller: Controller
    observer: Observer
    scanner: Scanner
    glance: Glance
    metrics: ControllerMetrics
    log: EventLog
    latest: Latest
    worker: ThreadPoolExecutor
    reader: ThreadPoolExecutor  # for what is only shown

    def close(self) -> None:
        self.worker.shutdown(wait=False, cancel_futures=True)
        self.reader.shutdown(wait=False, cancel_futures=True)
        self.connection.close()


def collect_garbage_rarely() -> None:
    """What a turn makes is freed by reference counts; only cycles wait for the collector, which
    otherwise looks through everything that lives several times a second. What was imported lives
    as long as the process, so it is never looked through again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)


def run(
    policies: Sequence[Policy],
    site: SiteName,
    *,
    describe: Describe,
    metrics_address: str = "",
    password_file: Path = OBSERVER_PASSWORD_FILE,
) -> None:
    """Run until SIGTERM or SIGINT. OSError where the metrics port is taken.

    ``metrics_address``: where metrics and console are served; empty: on this controller's address.
    ``describe``: how a turn is shown on the console, which stands above what is done here.
    """
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    instruments = Instruments(registry)
    groups = [_group(policy, site, instruments, password_file) for policy in policies]
    own = policies[0].site(site).controller
    made = application(registry, site, [group.latest for group in groups], describe)
    notifiers = [
        Notifier(policy, site, group.connection.store, group.latest, instruments)
        for policy, group in zip(policies, groups, strict=True)
    ]
    for notifier in notifiers:
        notifier.start()
    collect_garbage_rarely()
    try:
        where = (metrics_address or str(own.address), own.metrics_port, policies[0].tls.http_served)
        uvloop.run(_run(groups, partial(open_door, made, *where)))
    finally:
        for notifier in notifiers:
            notifier.stop()
        for group in groups:
            group.close()
        for notifier in notifiers:  # the leadership is handed over already
            notifier.join()


@contextlib.contextmanager
def standing_in(policy: Policy, site: SiteName, password_file: Path) -> Iterator[None]:
    """A controller of ``site`` in this process while the block runs, where none lives.

    It stands for the leadership like any other and shares everything with it but the metrics door
    and notifications, which wait for a controller: their commands are on its host.
    """
    group = _group(policy, site, Instruments(CollectorRegistry()), password_file)
    loop = asyncio.new_event_loop()
    running = loop.create_task(_run_group(group, Heartbeat([policy.group])))
    thread = threading.Thread(target=_until_cancelled, args=(loop, running), daemon=True)
    thread.start()
    try:
        yield
    finally:
        with contextlib.suppress(RuntimeError):  # it has ended by itself
            loop.call_soon_threadsafe(running.cancel)
        thread.join(timeout=STAND_IN_END_LIMIT_S)
        group.close()


def _until_cancelled(loop: asyncio.AbstractEventLoop, running: asyncio.Task[None]) -> None:
    try:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(running)
        left = asyncio.all_tasks(loop)  # questions to hosts that never answered
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    finally:
        loop.close()


def _group(policy: Policy, site: SiteName, instruments: Instruments, password_file: Path) -> _Group:
    connection = Connection(policy, role=Role.CONTROLLER)
    scanner = Scanner(policy, site, password_file=password_file)
    return _Group(
        policy=policy,
        connection=connection,
        controller=Controller(policy, site, connection.store, boottime=boottime_s),
        observer=Observer(
            policy, site, password_file=password_file, version=__version__, scans=scanner.scans
        ),
        scanner=scanner,
        glance=Glance(policy, password_file=password_file),
        metrics=ControllerMetrics(policy, site, instruments),
        log=EventLog(group=policy.group, site=site),
        latest=Latest(policy.group, RecentHistory(connection.store, GroupPaths(policy.group))),
        reader=ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"history-{policy.group}"),
        worker=ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"turn-{policy.group}"),
    )


async def _run(groups: Sequence[_Group], open_it: Callable[[], Awaitable[web.AppRunner]]) -> None:
    loop = asyncio.get_running_loop()
    door = await open_it()
    stop, heartbeat = asyncio.Event(), Heartbeat(group.policy.group for group in groups)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(_run_group(group, heartbeat)) for group in groups]
            await stop.wait()
            for task in running:
                task.cancel()
    finally:
        await door.cleanup()


async def _run_group(group: _Group, heartbeat: Heartbeat) -> None:
    loop = asyncio.get_running_loop()
    wake = asyncio.Event()
    watches = _Watches(group.connection, group.controller.watched_paths, _from_thread(loop, wake))

    def round_done(observation: SiteObservation) -> None:
        group.metrics.round_done(observation, group.observer.answered)
        wake.set()

    def history_read() -> None:
        stored = group.latest.history.entries
        group.metrics.history_read(moves(s.entry for s in stored if s.entry is not None))
        group.log.history_read(stored)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(group.observer.run(round_done))
        tasks.create_task(group.scanner.run())
        tasks.create_task(_turns(group, watches, wake, heartbeat))
        tasks.create_task(keep_history(group.latest, group.reader, history_read))
        if group.policy.tls.any:
            tasks.create_task(_look_at_certificates(group))


async def _look_at_certificates(group: _Group) -> None:
    """As `failover check` does, for the metrics alone."""
    while True:
        group.metrics.certificates_seen(await ask_certificates(group.policy, CERTIFICATE_LIMIT_S))
        await asyncio.sleep(CERTIFICATES_EVERY_S)


def _from_thread(loop: asyncio.AbstractEventLoop, wake: asyncio.Event) -> Callable[[], None]:
    """Set the event from kazoo's thread; silently nothing once the loop has ended."""

    def call() -> None:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(wake.set)

    return call


class _Watches:
    """Keeps a watch on each path; one that fired is set again before the next look."""

    def __init__(
        self, connection: Connection, paths: Sequence[str], wake: Callable[[], None]
    ) -> None:
        self._store = connection.store
        self._paths = tuple(paths)
        self._wake = wake
        self._armed: set[str] = set()
        self._fired_since: set[str] = set()

    def arm(self) -> None:
        """Called before reading: what changes afterwards wakes, what changed before is read."""
        if self._store.session_id is None:
            return
        for path in self._paths:
            if path not in self._armed:
                self._armed.add(path)
                self._store.wake_on(path, partial(self._fired, path))

    def fired(self) -> frozenset[str]:
        """What has changed since the last call."""
        fired, self._fired_since = self._fired_since, set()
        return frozenset(fired)

    def _fired(self, path: str) -> None:
        self._armed.discard(path)
        self._fired_since.add(path)
        self._wake()


class _OnceMore:
    """Asks the new site of what this controller carries out right before a turn that may turn on
    its answer: under a plan once a server has stopped, which the watch on its proof tells first."""

    def __init__(self, group: _Group, watches: _Watches) -> None:
        paths = GroupPaths(group.policy.group)
        self._glance = group.glance
        self._watches = watches
        self._proofs = frozenset(paths.stopped(cluster.name) for cluster in group.policy.clusters)
        self._site: SiteName | None = None
        self._awaits_a_stop = False

    async def look(self) -> tuple[Glanced, ...]:
        news = self._watches.fired()
        if self._site is None or (self._awaits_a_stop and self._proofs.isdisjoint(news)):
            return ()
        return await self._glance.look(self._site)

    async def turn_ended(self, result: TickResult) -> None:
        self._site = asked_once_more(result.view, result.verdict) if result.leading else None
        self._awaits_a_stop = awaits_a_stop(result.view)
        if self._site is None:
            await self._glance.close()
        else:
            await self._glance.connect(self._site)


async def _turns(
    group: _Group, watches: _Watches, wake: asyncio.Event, heartbeat: Heartbeat
) -> None:
    """For as long as the loop runs. A turn that never ends keeps the leadership, which lasts as
    long as the session: systemd hears of every end, and starts anew a process that says nothing."""
    loop = asyncio.get_running_loop()
    await wake.wait()  # the first round: without eyes there is nothing to say

    def turn(glances: tuple[Glanced, ...]) -> TickResult:
        watches.arm()
        return group.controller.tick(time.time(), boottime_s(), group.observer.latest, glances)

    once_more = _OnceMore(group, watches)
    while True:
        wake.clear()
        started_s = time.monotonic()
        pause_s, rest_s, yields_s = TICK_INTERVAL_S, 0.0, 0.0
        try:
            glances = await once_more.look()
            result = await loop.run_in_executor(group.worker, turn, glances)
        except Exception as error:  # a bug: nothing was decided; said loudly, and on we go
            group.metrics.tick_failed()
            group.log.failed(error)
        else:
            group.metrics.tick_done(result, time.monotonic() - started_s)
            group.log.report(result)
            group.scanner.leading = result.leading
            group.latest.turn_ended(result, boottime_s())
            await once_more.turn_ended(result)
            pause_s, rest_s = result.look_again_in_s, result.rest_s
            yields_s = result.yields_s
        heartbeat.beat(group.policy.group)
        await asyncio.sleep(rest_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await wake.wait()
        await asyncio.sleep(yields_s)
