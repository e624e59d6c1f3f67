"""The minder's side of its worker: start it, hear it, replace it when it falls silent.

Invariant: a worker that has said nothing for a second is killed with SIGKILL and replaced at once;
the new one takes up the same ZooKeeper session, so that this costs no write. It has been started
in advance and waits for the minder's first word.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable

import structlog

from failover.guard.messages import FromMinder, FromWorker, decode_from_worker, encode
from failover.guard.worker_start import StartedWorker, start_worker

SILENCE_LIMIT_S = 1.0
START_LIMIT_S = 5.0  # until its first word: it has libraries to load on a busy machine
SPARE_AFTER_S = 2.0  # a worker that has lived so long is given a spare
_RESTART_PAUSE_S = 0.1

log = structlog.get_logger(__name__)


class WorkerProcess:
    """One worker at a time. ``run`` for ever; ``send`` is a no-op while there is none."""

    def __init__(
        self,
        command: tuple[str, ...],
        on_message: Callable[[FromWorker], None],
        on_restart: Callable[[], None],
        first: StartedWorker | None = None,
    ) -> None:
        """``first``: one that was started before the minder had loaded its own libraries."""
        self._first = first
        self._command = command
        self._on_message = on_message
        self._on_restart = on_restart
        self._writer: asyncio.StreamWriter | None = None
        self._heard_s = 0.0
        self._spoke = False
        self._spare: StartedWorker | None = None

    @property
    def alive(self) -> bool:
        """It has spoken within the last second."""
        return self._spoke and time.monotonic() - self._heard_s < SILENCE_LIMIT_S

    def send(self, message: FromMinder) -> None:
        if self._writer is not None:
            self._writer.write(encode(message))

    async def run(self) -> None:
        try:
            while True:
                try:
                    await self._one_worker()
                except OSError as error:  # nothing to be had: the deadline still holds
                    log.error("worker_not_started", error=str(error))
                self._on_restart()
                await asyncio.sleep(_RESTART_PAUSE_S)
        finally:
            if self._spare is not None:
                self._spare.ours.close()  # which ends it

    def _have_spare(self) -> None:
        """One that has loaded its libraries: on a busy machine that takes longer than a lease has
        to spare."""
        if self._spare is not None and self._spare.process.poll() is not None:
            self._spare.ours.close()
            self._spare = None
        if self._spare is None:
            with contextlib.suppress(OSError):
                self._spare = start_worker(self._command, waits=True, loaded=True)

    def _next(self) -> StartedWorker:
        """The first one, or the spare, where it lives; else a new one."""
        spare, self._spare = self._first or self._spare, None
        self._first = None
        if spare is not None and spare.process.poll() is None:
            return spare
        if spare is not None:
            spare.ours.close()
        return start_worker(self._command, waits=False)

    async def _one_worker(self) -> None:
        started = self._next()
        process, began_s = started.process, time.monotonic()
        self._spoke = False
        listener: asyncio.Task[None] | None = None
        try:
            reader, self._writer = await asyncio.open_unix_connection(
                sock=started.ours, limit=2**20
            )
            self._heard_s = time.monotonic()
            listener = asyncio.create_task(self._listen(reader))
            while not listener.done() and process.poll() is None:
                loaded = self._spoke or started.loaded
                limit_s = SILENCE_LIMIT_S if loaded else START_LIMIT_S
                if time.monotonic() - self._heard_s > limit_s:
                    log.warning("worker_silent", pid=process.pid, limit_s=limit_s)
                    break
                if self._spoke and time.monotonic() - began_s > SPARE_AFTER_S:
                    self._have_spare()
                asked_s = time.monotonic()
                await asyncio.wait({listener}, timeout=0.1)
                if time.monotonic() - asked_s > 0.5:  # we were frozen ourselves: ask it anew
                    self._heard_s = time.monotonic()
        finally:
            self._spoke = False
            # Before the connection: a worker that lost it would stand in for a minder that lives.
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            if listener is not None:
                listener.cancel()
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            await asyncio.get_running_loop().run_in_executor(None, process.wait)
        log.warning("worker_ended", pid=process.pid, code=process.returncode)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            self._heard_s = time.monotonic()
            self._spoke = True
            try:
                message = decode_from_worker(line)
            except ValueError as error:
                log.error("worker_not_understood", error=str(error))
                return
            self._on_message(message)
