"""Commands of the executor: real, small ones."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from memory_store import World

from failover import executor as module
from failover.config import load
from failover.executor import CommandEnded, CommandStarted, Executor, NotNow, Subprocess
from failover.model import HostName, SiteName
from failover.planning.plan import Plan, RestartZooKeeper, StepName
from failover.policy import Policy


@pytest.fixture
def policy() -> Policy:
    return load(Path("tests/open.yaml"))


def restart() -> Plan:
    return Plan(
        step=StepName.RESTART_ZOOKEEPER,
        sentence="move the leader",
        clusters=(),
        from_site=SiteName("jakarta"),
        to_site=SiteName("surabaya"),
        gates=(),
        action=RestartZooKeeper(HostName("jkt-zk1")),
    )


def wait_for_end(executor: Executor, boottime_s: float = 0.0) -> CommandEnded:
    until = time.monotonic() + 5
    while time.monotonic() < until:
        if (ended := executor.command_ended(boottime_s)) is not None:
            return ended
        time.sleep(0.01)
    raise AssertionError("the command did not end")


def test_a_command_runs_once_and_is_reported_once(policy: Policy) -> None:
    executor = Executor(replace(policy, zookeeper_restart_command="echo restarting {server}"))
    store = World().session()
    assert executor.restarts_s_ago(0.0) == ()
    assert executor.execute(store, restart(), 0.0) == CommandStarted("echo restarting jkt-zk1")
    ended = wait_for_end(executor)
    assert ended == CommandEnded("echo restarting jkt-zk1", 0, "restarting jkt-zk1")
    assert executor.command_ended(1.0) is None
    assert executor.restarts_s_ago(60.0) == (60.0,)
    assert isinstance(executor.execute(store, restart(), 60.0), CommandStarted)
    assert executor.restarts_s_ago(70.0) == (10.0, 70.0)


def test_a_command_that_cannot_start_is_said(policy: Policy) -> None:
    executor = Executor(replace(policy, zookeeper_restart_command="/nowhere/at-all {server}"))
    outcome = executor.execute(World().session(), restart(), 0.0)
    assert isinstance(outcome, NotNow)
    assert "/nowhere/at-all" in outcome.reason


def test_a_command_that_hangs_is_ended(policy: Policy) -> None:
    runner = Subprocess()
    runner.start("sleep 60", 0.0)
    assert runner.ended(module.COMMAND_LIMIT_S - 1) is None
    ended = runner.ended(module.COMMAND_LIMIT_S + 1)
    assert ended is not None
    assert ended.exit_code is None


def test_without_a_command_nothing_is_done(policy: Policy) -> None:
    executor = Executor(replace(policy, zookeeper_restart_command=None))
    assert isinstance(executor.execute(World().session(), restart(), 0.0), NotNow)
