"""The minder's two files as it uses them: read once, then written without ever waiting in line.

Invariant: records reach the disk in the order in which they were saved, and the event loop never
waits for that disk; the lease goes to memory and is written at once.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import structlog

from failover.guard.logic import Guard, Limits, Renewals
from failover.guard.records import (
    GuardRecord,
    LeaseRecord,
    Places,
    latest_renewals,
    read_record,
    write_lease,
    write_record,
)

log = structlog.get_logger(__name__)


class Memory:
    """What a successor will know."""

    def __init__(self, places: Places, boot: str) -> None:
        self._places = places
        self._boot = boot
        self._record = read_record(places, boot)
        self._writes = ThreadPoolExecutor(1, "record")

    def recall(self, limits: Limits) -> Guard:
        """The guard as its predecessor left it."""
        return Guard(
            limits,
            armed=self._record.armed,
            grant=self._record.grant,
            epoch=self._record.epoch,
            adopted=self._record.adopted,
            renewals=latest_renewals(self._places, self._boot),
        )

    def is_session(self, session_id: int, password: str) -> bool:
        return (session_id, password) == (self._record.session_id, self._record.password)

    def set_session(self, session_id: int, password: str) -> None:
        """To be saved with the next ``save``."""
        self._record = replace(self._record, session_id=session_id, password=password)

    def save(self, guard: Guard) -> asyncio.Future[None]:
        """Begin to write the record. Done: it is on the disk; OSError: it is not."""
        self._record = GuardRecord(
            boot_id=self._boot,
            session_id=self._record.session_id,
            password=self._record.password,
            armed=guard.armed,
            grant=guard.grant,
            deadline_s=guard.deadline_s,
            epoch=guard.epoch,
            adopted=guard.adopted,
        )
        return asyncio.get_running_loop().run_in_executor(
            self._writes, _write_record, self._places, self._record
        )

    def write_lease(self, renewals: Renewals | None) -> None:
        try:
            write_lease(self._places, LeaseRecord(self._boot, os.getpid(), renewals))
        except OSError as error:  # a successor finds a lease that has passed; nothing worse
            log.error("lease_not_written", error=str(error))


def _write_record(places: Places, record: GuardRecord) -> None:
    try:
        write_record(places, record)
    except OSError as error:
        log.error("record_not_written", error=str(error))
        raise
