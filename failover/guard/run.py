"""Put a minder together and run it: ``failover guard run``.

Invariant: however the minder ends, it leaves its worker alone: the worker enforces the deadline
until a new minder has taken over.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import structlog

from failover.guard.acknowledgement import Barrier
from failover.guard.door_keeper import DoorKeeper
from failover.guard.doors import open_barrier_door, open_http_door_at_last
from failover.guard.guard_metrics import GuardMetrics
from failover.guard.host_report import sha256_of
from failover.guard.logic import Limits
from failover.guard.minder import Minder
from failover.guard.records import boot_id, default_places
from failover.guard.worker_start import StartedWorker, worker_command
from failover.model import HostName
from failover.policy import Policy
from failover.timing import lease_timing

log = structlog.get_logger(__name__)


def run_guard(
    policy: Policy, config: Path, host_name: HostName, first_worker: StartedWorker | None = None
) -> None:
    """Runs until it is killed or fails; never returns. ``first_worker``: it loads meanwhile."""
    try:
        asyncio.run(_run(policy, config, host_name, first_worker))
    except BaseException:
        log.exception("guard_failed")
    os._exit(1)


async def _run(
    policy: Policy, config: Path, host_name: HostName, first_worker: StartedWorker | None
) -> None:
    host = policy.host(host_name)
    places = default_places(host.cluster)
    metrics = GuardMetrics(host.cluster, host.name)
    limits = Limits.of(lease_timing(policy.lease_s))
    command = worker_command(str(config), host.name)
    door_keeper = DoorKeeper(Barrier(host.cluster, host.client_ports), places)
    minder = Minder(
        *(places, host.name, limits, boot_id(), metrics, command, door_keeper),
        configuration_sha256=sha256_of(config),
        first_worker=first_worker,
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, os._exit, 0)
    guarding = asyncio.create_task(minder.run())
    door = await open_barrier_door(minder, places)
    where = (str(host.address), host.guard_port, policy.tls.http_served)
    http = open_http_door_at_last(minder, metrics, *where)
    try:
        await asyncio.gather(guarding, http)
    finally:
        door.close()
