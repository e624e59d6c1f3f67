"""Carries out one planned step. No judgement: a plan leaves no choice, and every step is idempotent
because its transaction is conditional on what the planner had read.

A command (moving a misplaced ZooKeeper leader) runs in the background, one at a time and with a
time limit; nothing waits for it, and its end is reported later.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import tempfile
from collections import deque
from dataclasses import dataclass
from typing import IO, Protocol, assert_never

from failover.coordination.store import Store
from failover.model import HostName
from failover.planning.plan import Plan, RestartZooKeeper
from failover.policy import Policy
from failover.znode import Committed, Conflict, OutcomeUnknown

COMMAND_LIMIT_S = 30.0
RESTARTS_KEPT = 16
OUTPUT_LENGTH_MAX = 500


@dataclass(frozen=True, slots=True)
class CommandStarted:
    """The command runs. ``CommandEnded`` follows within ``COMMAND_LIMIT_S``."""

    command: str


@dataclass(frozen=True, slots=True)
class NotNow:
    """Nothing was done; the next round plans again."""

    reason: str


@dataclass(frozen=True, slots=True)
class CommandEnded:
    command: str
    exit_code: int | None  # None: given up after COMMAND_LIMIT_S
    output: str


Execution = Committed | Conflict | OutcomeUnknown | CommandStarted | NotNow


class CommandRunner(Protocol):
    """Runs at most one command at a time. The simulation has its own."""

    def start(self, command: str, boottime_s: float) -> None:
        """Begin; OSError where it cannot be started."""

    def ended(self, boottime_s: float) -> CommandEnded | None:
        """The result, once; None while it runs or where there is none."""


class Executor:
    """The hands of one controller."""

    def __init__(self, policy: Policy, commands: CommandRunner | None = None) -> None:
        self._policy = policy
        self._commands = commands if commands is not None else Subprocess()
        self._restarted_s: deque[float] = deque(maxlen=RESTARTS_KEPT)

    def execute(self, store: Store, plan: Plan, boottime_s: float) -> Execution:
        """Carry out the plan's one action."""
        match plan.action:
            case tuple():
                return store.commit(plan.action)
            case RestartZooKeeper(server):
                return self._restart(server, boottime_s)
            case _:
                assert_never(plan.action)

    def restarts_s_ago(self, boottime_s: float) -> tuple[float, ...]:
        """How long ago this controller restarted ZooKeeper servers, the newest first."""
        return tuple(boottime_s - at_s for at_s in reversed(self._restarted_s))

    def command_ended(self, boottime_s: float) -> CommandEnded | None:
        """The result of a command that has just ended, once."""
        return self._commands.ended(boottime_s)

    def _restart(self, server: HostName, boottime_s: float) -> Execution:
        wanted = self._policy.zookeeper_restart_command
        if wanted is None:
            return NotNow("no zookeeper_restart_command is configured")
        command = wanted.replace("{server}", shlex.quote(server))
        try:
            self._commands.start(command, boottime_s)
        except OSError as error:
            return NotNow(f"{command}: {error}")
        finally:
            self._restarted_s.append(boottime_s)
        return CommandStarted(command)


class Subprocess:
    """A command of the operator's, in a process group of its own."""

    def __init__(self) -> None:
        self._running: tuple[str, subprocess.Popen[bytes], IO[bytes], float] | None = None

    def start(self, command: str, boottime_s: float) -> None:
        if self._running is not None:
            raise OSError("another command is still running")
        output = tempfile.TemporaryFile()  # noqa: SIM115  # closed when the command has ended
        try:
            process = subprocess.Popen(
                shlex.split(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError:
            output.close()
            raise
        self._running = (command, process, output, boottime_s)

    def ended(self, boottime_s: float) -> CommandEnded | None:
        if self._running is None:
            return None
        command, process, output, started_s = self._running
        exit_code = process.poll()
        if exit_code is None and boottime_s - started_s < COMMAND_LIMIT_S:
            return None
        if exit_code is None:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._running = None
        output.seek(0)
        text = output.read(OUTPUT_LENGTH_MAX).decode(errors="replace").strip()
        output.close()
        return CommandEnded(command, exit_code, text)
