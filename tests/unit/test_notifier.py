"""The couriers beside a controller: whatever a target does, looks, plans and steps go on."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from controller_world import MAKASSAR, SURABAYA, Group
from notification_world import POLICY, Server, command, serving
from prometheus_client import CollectorRegistry, generate_latest

from failover.clock import boottime_s
from failover.coordination.recent_history import RecentHistory
from failover.latest import Latest
from failover.metrics.controller import Instruments
from failover.model import Automation, HostName, SiteName
from failover.notifications import webhook
from failover.notifications.notifier import Notifier
from failover.policy import NotificationKind, NotificationTarget

LIMIT_S = 120.0  # on a busy machine
TAKEOVERS = (NotificationKind.TAKEOVER,)


def until(condition: Callable[[], object]) -> None:
    give_up_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < give_up_s
        time.sleep(0.02)


class Site:
    """One controller of a group in memory, with its notifier on a thread of its own."""

    def __init__(self, group: Group, site: SiteName) -> None:
        self.group = group
        self.site = site
        self.registry = CollectorRegistry()
        self.latest = Latest(group.policy.group, RecentHistory(group.stores[site], group.paths))
        self.notifier = Notifier(
            group.policy,
            site,
            group.world.session(),
            self.latest,
            Instruments(self.registry),
        )

    def metric(self, name: str, target: str) -> float | None:
        for line in generate_latest(self.registry).decode().splitlines():
            if line.startswith(f"failover_notifications_{name}{{") and f'"{target}"' in line:
                return float(line.rsplit(" ", 1)[1])
        return None


class Running:
    """Both controllers that are left when Jakarta is lost."""

    def __init__(self, targets: tuple[NotificationTarget, ...]) -> None:
        policy = replace(POLICY, notifications=targets)
        self.group = Group(policy)
        self.sites = {site: Site(self.group, site) for site in (MAKASSAR, SURABAYA)}
        self.turns = 0
        self.longest_s = 0.0
        self.turn(0.5)
        for site in self.sites.values():
            site.notifier.start()

    def turn(self, duration_s: float = 0.5) -> None:
        """Turns of every controller, as the service's loop takes them."""
        for _ in range(int(duration_s / 0.5)):
            started_s = time.monotonic()
            results = self.group.run(0.5)
            self.longest_s = max(self.longest_s, time.monotonic() - started_s)
            for result in results:
                self.turns += 1
                if (site := self.sites.get(result.view.reader)) is not None:
                    site.latest.turn_ended(result, boottime_s())

    def turning_until(self, condition: Callable[[], object]) -> None:
        def turned() -> object:
            self.turn()
            return condition() or time.sleep(0.1)

        until(turned)

    @property
    def leader(self) -> Site:
        """While it changes there may be none for a turn."""
        return next(
            site
            for site in self.sites.values()
            if site.latest.result is not None and site.latest.result.leading
        )

    def place(self, target: str) -> str | None:
        found = self.group.guard.read(self.group.paths.notified(target))
        return None if found is None else str(json.loads(found.data)["entry"])

    def take_over(self) -> None:
        self.group.lose_jakarta()
        self.turn(6)
        self.group.release()
        self.turn(1)
        self.group.claim(HostName("mks-db1"))
        self.turn(2)

    def stop(self) -> None:
        for site in self.sites.values():
            site.notifier.stop()
        for site in self.sites.values():
            site.notifier.join()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def test_targets_that_hang_delay_no_turn_and_no_takeover(server: Server, tmp_path: Path) -> None:
    server.hangs = True
    scripts = {"stuck": f"echo > {tmp_path}/begun; sleep 1000", "good": "exit 0"}
    hooks = [command(tmp_path, script, name) for name, script in scripts.items()]
    targets = (server.webhook(), *hooks)
    running = Running(tuple(replace(target, events=TAKEOVERS) for target in targets))
    try:
        running.turning_until(lambda: running.place("hook") and running.place("stuck"))
        running.take_over()
        assert running.group.state.epoch == 2
        running.turning_until((tmp_path / "begun").exists)
        running.turning_until(server.asked.is_set)
        turns = running.turns
        running.turn(10)  # both targets hang all the while
        assert running.turns == turns + 2 * 20
        assert running.longest_s < webhook.LIMIT_S / 2, "who waits for a target waits so long"
        newest = running.group.guard.children(running.group.paths.history)[-1]
        assert running.place("hook") != newest
        assert running.place("stuck") != newest
        leader = running.leader
        running.turning_until(lambda: leader.metric("delivered_total", "good") == 1.0)
        assert leader.metric("pending", "hook") == 1.0
        assert leader.metric("delivered_total", "hook") == 0.0
    finally:
        started_s = time.monotonic()
        running.stop()
    assert time.monotonic() - started_s < 5.0, "nor does a target keep a controller from ending"


def test_whoever_leads_delivers(server: Server) -> None:
    """Makassar leads, takes over, and leaves the leadership to Surabaya: it is active now."""
    running = Running((server.webhook(events=TAKEOVERS),))
    try:
        running.turning_until(lambda: running.place("hook"))
        assert running.leader.site == MAKASSAR
        running.take_over()
        running.turning_until(lambda: running.leader.site == SURABAYA)
        after, before = running.sites[SURABAYA], running.sites[MAKASSAR]
        running.turning_until(lambda: after.metric("pending", "hook") == 0.0)
        assert {document["event"] for document in server.documents} == {"takeover"}
        assert len({document["id"] for document in server.documents}) == 1
        running.turning_until(lambda: before.metric("pending", "hook") is None)
    finally:
        running.stop()


def test_without_targets_there_is_no_thread() -> None:
    running = Running(())
    assert not [t for t in threading.enumerate() if t.name.startswith("notify-")]
    running.stop()


def test_a_hold_that_stands_is_put_on_record_and_told(server: Server) -> None:
    running = Running((server.webhook(events=(NotificationKind.HOLD,)),))
    try:
        running.turning_until(lambda: running.place("hook"))
        running.group.lose_jakarta()
        running.turn(50)  # the claim stays
        assert "held" not in running.group.history()
        running.turn(15)
        running.turning_until(lambda: server.requests)
        (document,) = server.documents
        assert (document["kind"], document["severity"]) == ("hold", "warn")
        assert "a claim is held" in document["summary"]
        running.turn(70)
        assert running.group.history().count("held") == 1
    finally:
        running.stop()


def test_automation_that_may_not_act_is_told_once() -> None:
    group = Group(POLICY, Automation.OBSERVE)
    group.run(10)
    group.lose_jakarta()
    group.run(6)
    group.release()
    group.run(100)
    assert [each for each in group.history() if each not in ("initialised", "residency")] == [
        "would_have_takeover"
    ]
