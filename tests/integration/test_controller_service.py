"""Three controllers as processes around one real ZooKeeper server; no database answers."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from policies import JAKARTA, MAKASSAR, SURABAYA, policy
from single_container import ZooKeeperContainer

from failover.clock import boottime_s
from failover.coordination.connect import open_store
from failover.coordination.gather import Gatherer, Now
from failover.coordination.history import record
from failover.coordination.init import initialise
from failover.coordination.kazoo_store import KazooStore
from failover.model import Epoch, SiteName
from failover.policy import Policy
from failover.state import HistoryEntry
from failover.znode import Committed, GroupPaths

pytestmark = pytest.mark.lab

HERE = str(Path(__file__).parent)
PROGRAM = """
import sys
from dataclasses import replace
sys.path.insert(0, sys.argv[1])
from policies import policy
from pathlib import Path
from failover.console.document import describe
from failover.controller_service import run
from failover.logs import configure
from ipaddress import ip_address
from failover.policy import CommandHook, NotificationKind, Url, Webhook, WebhookFormat
group, zookeeper, name, port, hook, hangs = sys.argv[2:8]
events = (NotificationKind.TAKEOVER,)
url = Url(f"http://127.0.1.1:{hangs}/", ip_address("127.0.1.1"), int(hangs))
wanted = replace(policy(group, zookeeper), notifications=(
    CommandHook("hook", hook, events), Webhook("hangs", url, WebhookFormat.JSON, events)))
sites = tuple(replace(s, controller=replace(s.controller, metrics_port=int(port)))
              for s in wanted.sites)
configure()
run([replace(wanted, sites=sites)], name, describe=describe, metrics_address="127.0.0.1",
    password_file=Path("/dev/null"))
"""


@dataclass
class Running:
    site: SiteName
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def metric(self, name: str) -> float | None:
        with contextlib.suppress(OSError):
            url = f"http://127.0.0.1:{self.port}/metrics"
            with urllib.request.urlopen(url, timeout=2) as answer:
                for line in answer.read().decode().splitlines():
                    if line.startswith(name):
                        return float(line.rsplit(" ", 1)[1])
        return None

    def events(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def group(zookeeper: ZooKeeperContainer) -> Policy:
    wanted = policy(f"g{uuid.uuid4().hex[:8]}", zookeeper.address)
    with open_store(wanted) as store:
        initialise(store, wanted, now_unix_s=time.time(), by="test")
    return wanted


@pytest.fixture
def running(
    group: Policy, zookeeper: ZooKeeperContainer, tmp_path: Path
) -> Iterator[dict[SiteName, Running]]:
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ncat >> {tmp_path}/told; echo >> {tmp_path}/told\n")
    hook.chmod(0o755)
    hangs = socket.create_server(("127.0.1.1", 0))  # takes connections, and never answers
    started = {}
    for site in (JAKARTA, MAKASSAR, SURABAYA):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        log = tmp_path / f"{site}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    PROGRAM,
                    HERE,
                    group.group,
                    zookeeper.address,
                    site,
                    str(port),
                    str(hook),
                    str(hangs.getsockname()[1]),
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        started[site] = Running(site, process, port, log)
    yield started
    for each in started.values():
        each.process.kill()
        each.process.wait()
    hangs.close()


def leader(running: dict[SiteName, Running], limit_s: float) -> Running:
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        found = [r for r in running.values() if r.metric("failover_leader{") == 1.0]
        if len(found) == 1:
            return found[0]
        time.sleep(0.1)
    logs = "\n".join(r.log.read_text()[-1500:] for r in running.values())
    raise AssertionError(f"no leader within {limit_s} s\n{logs}")


def happens(group: Policy, number: int) -> None:
    entry = HistoryEntry(time.time(), Epoch(1), "takeover", f"number {number}", "a test", {})
    with open_store(group) as store:
        assert isinstance(record(store, GroupPaths(group.group), entry), Committed)


def told(tmp_path: Path, number: int) -> None:
    """The command gets it, after what came before; the webhook beside it hangs all the while."""
    file, until = tmp_path / "told", time.monotonic() + 20
    wanted = [f"number {each}" for each in range(1, number + 1)]
    while True:
        lines = file.read_text().splitlines() if file.exists() else []
        said = [json.loads(line)["summary"] for line in lines if line.endswith("}")]
        if list(dict.fromkeys(said)) == wanted:  # twice, where a controller ended in between
            return
        assert time.monotonic() < until, said
        time.sleep(0.1)


def observing(gatherer: Gatherer, store: KazooStore) -> set[SiteName]:
    """Whose looks are fresh, where ZooKeeper answers and the state is understood."""
    inputs = gatherer.gather(store, Now(time.time(), boottime_s()))
    if inputs.state.state is None:
        return set()
    return {o.site for o in inputs.observers if o.age_s < 3.0}


def test_controllers_lead_hand_over_and_say_so(
    running: dict[SiteName, Running], group: Policy, tmp_path: Path
) -> None:
    with open_store(group) as store:
        gatherer = Gatherer(group, MAKASSAR, first_sight_age_s=None)
        until = time.monotonic() + 60
        while observing(gatherer, store) != set(running):
            assert time.monotonic() < until, "not every controller has published what it sees"
            time.sleep(0.1)
        while (first := leader(running, 20.0)).site == JAKARTA:
            assert time.monotonic() < until, "a leader in the active site has not resigned"
            time.sleep(0.1)
        # A target that is new is told of what happens once it has its place, and not of before.
        while store.read(GroupPaths(group.group).notified("hook")) is None:
            assert time.monotonic() < until, "nobody has begun to tell"
            time.sleep(0.1)
        happens(group, 1)
        told(tmp_path, 1)

        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(timeout=5) == 0
        assert store.read(GroupPaths(group.group).observer(first.site)) is None
    others = {site: r for site, r in running.items() if site != first.site}
    second = leader(others, 5.0)
    assert second.site not in (first.site, JAKARTA)

    second.process.kill()  # without a good-bye its session has to end first: 4 s and ticks
    happens(group, 2)
    last = leader({JAKARTA: running[JAKARTA]}, 9.0)
    told(tmp_path, 2)
    waiting = f'failover_notifications_pending{{group="{group.group}",reader="jakarta",'
    until = time.monotonic() + 10
    while last.metric(f'{waiting}target="hangs"}}') != 2.0:
        assert time.monotonic() < until
        time.sleep(0.1)
    events = last.events()
    assert any(e["event"] == "verdict" for e in events)
    assert any(e["event"] == "leadership" and e["leading"] for e in events)
    assert not any(e["event"] == "tick_failed" for e in events)


def test_a_lost_ensemble_is_said_and_survived(
    running: dict[SiteName, Running], zookeeper: ZooKeeperContainer
) -> None:
    leader(running, 20.0)
    zookeeper.pause()
    try:
        until = time.monotonic() + 10
        while any(r.metric("failover_zookeeper_reachable{") != 0.0 for r in running.values()):
            assert time.monotonic() < until
            time.sleep(0.2)
        assert not any(r.metric("failover_leader{") for r in running.values())
        assert all(r.metric('failover_verdict{code="quorum_lost"') for r in running.values())
    finally:
        zookeeper.unpause()
    leader(running, 15.0)
