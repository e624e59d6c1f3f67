"""A guard's processes lost, one by one and all, and Patroni's: who stays, and who takes over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from drill import (
    PAUSE_MOST_S,
    Customers,
    Roles,
    concluding,
    customers,
    sql,
    state_of,
    wait_until,
    whole,
    writable_at,
)

from failover.clock import boottime_s
from failover.guard.doors import NO_MORE
from failover.guard.stand_in import RENEWS_S
from failover.lab.errors import LabError
from failover.lab.lab import Lab
from failover.lab.processes import Process, Processes
from failover.lab.stages import http_get
from failover.lab.workload.attempt import Outcome
from failover.policy import DatabaseHost

pytestmark = pytest.mark.lab

TIMES = 3
RESTED_S = 2 * RENEWS_S + 1.0  # a worker stands in anew only after so long
RENEWED_S = 3.3  # of the deadline's 4.5 s: what is left just before a renewal


# --------------------------------------------------------------------------- back by itself


@pytest.mark.parametrize("fault", ["kill", "stop"])
def test_the_worker_lost_costs_no_pause(lab: Lab, fault: str) -> None:
    """Killed or frozen, it is replaced; writes go on, at the same host, in the same epoch."""
    roles = Roles.now(lab)
    with customers(lab, roles.active) as shop:
        shop.wait_served()
        since_s = boottime_s()
        for _ in range(TIMES):
            lose(lab, roles.primary, Process.GUARD_WORKER, fault)
        lab.faults.heal()
        shop.wait_served()
        print(f"worker {fault}: longest pause of writes {shop.pause_s(since_s)} s")
        assert shop.pause_s(since_s) <= PAUSE_MOST_S
        assert not shop.report().lost
        assert every_ack_at(shop, roles.primary)
    assert state_of(lab).epoch == roles.state.epoch


@pytest.mark.parametrize("fault", ["kill", "stop"])
def test_the_minder_lost_is_back_by_itself(lab: Lab, fault: str) -> None:
    """HAProxy asks the minder: while there is none it sends nobody to the host. The server lives,
    however long the new one takes to load on a busy machine."""
    roles = Roles.now(lab)
    server = pids(lab, roles.primary, Process.POSTMASTER)
    wait_until("the guard runs for long enough", lambda: guard_up_s(lab, roles.primary) > RESTED_S)
    with customers(lab, roles.active) as shop:
        since_s = boottime_s()
        lose(lab, roles.primary, Process.GUARD_MINDER, fault)
        lab.faults.heal()
        shop.wait_served()
        print(f"minder {fault}: longest pause of writes {shop.pause_s(since_s)} s")
        assert pids(lab, roles.primary, Process.POSTMASTER) == server
        assert not shop.report().lost
        assert every_ack_at(shop, roles.primary)
    assert state_of(lab).epoch == roles.state.epoch


def test_a_minder_that_loads_longer_than_its_lease_lasts_stops_no_server(lab: Lab) -> None:
    """Its worker renews for it meanwhile."""
    roles = Roles.now(lab)
    server = pids(lab, roles.primary, Process.POSTMASTER)
    wait_until("the guard runs for long enough", lambda: guard_up_s(lab, roles.primary) > RESTED_S)
    with customers(lab, roles.active) as shop, slow_start(lab, roles.primary):
        lose(lab, roles.primary, Process.GUARD_MINDER, "kill")
        shop.wait_served()
        assert pids(lab, roles.primary, Process.POSTMASTER) == server
        assert not shop.report().lost
        assert every_ack_at(shop, roles.primary)
    assert state_of(lab).epoch == roles.state.epoch


@contextmanager
def slow_start(lab: Lab, host: DatabaseHost) -> Iterator[None]:
    """With what it takes to load, more than the deadline's 4.5 s, less than a start may take."""
    drop_in = "/run/systemd/system/failover-guard.service.d/slow.conf"
    waits = "[Service]\\nExecStartPre=/usr/bin/sleep 4\\n"
    script = f"mkdir -p $(dirname {drop_in}) && printf '{waits}' > {drop_in}"
    lab.shell(host.name, f"{script} && systemctl daemon-reload")
    try:
        yield
    finally:
        lab.shell(host.name, f"rm {drop_in} && systemctl daemon-reload")


def lose(lab: Lab, host: DatabaseHost, process: Process, fault: str) -> None:
    """Kill or freeze it, and wait until another one does its work."""
    before = pids(lab, host, process)
    broken_s = boottime_s()
    getattr(lab.faults, fault)(host.name, process)
    wait_until("another one works", lambda: replaced(lab, host, process, before))
    print(f"{process} {fault}: another one after {boottime_s() - broken_s:.2f} s")
    wait_until("the lease is renewed, a spare is there", lambda: settled(lab, host))


def settled(lab: Lab, host: DatabaseHost) -> bool:
    """One more fault is a fault of its own: nothing of the last one is left to make up for."""
    script = "grep -lx guard-spare /proc/[0-9]*/comm || true"
    left_s = guard_status(host).get("deadline_in_s")
    return bool(lab.shell(host.name, script)) and isinstance(left_s, float) and left_s > RENEWED_S


def guard_up_s(lab: Lab, host: DatabaseHost) -> float:
    """Since it was ready last."""
    show = "systemctl show -P ActiveEnterTimestampMonotonic failover-guard"
    ready_us, now_s = lab.shell(host.name, f"{show}; cut -d ' ' -f 1 /proc/uptime").split()
    return float(now_s) - int(ready_us) / 1e6


def pids(lab: Lab, host: DatabaseHost, process: Process) -> tuple[int, ...]:
    try:
        return Processes(lab.containers).pids(lab.host(host.name), process)
    except LabError:
        return ()


def replaced(lab: Lab, host: DatabaseHost, process: Process, before: tuple[int, ...]) -> bool:
    now = pids(lab, host, process)
    return bool(now) and not set(now) & set(before) and guard_works(host)


def guard_status(host: DatabaseHost) -> dict[str, object]:
    code, body = http_get(str(host.address), host.guard_port, "/status")
    found: dict[str, object] = json.loads(body) if code == 200 else {}
    return found


def guard_works(host: DatabaseHost) -> bool:
    """Its minder answers, hears its worker, and says that the host may write."""
    status = guard_status(host)
    return bool(status.get("worker_alive") and status.get("writable"))


def every_ack_at(shop: Customers, host: DatabaseHost) -> bool:
    acks = [one for one in shop.attempts() if one.outcome is Outcome.ACKED]
    return {one.server for one in acks} == {str(host.address)}


# --------------------------------------------------------------------------- told to stop


def test_nobody_new_while_a_stop_waits_for_a_session(lab: Lab) -> None:
    """The guard knows before the control file does, which is written when the last one has gone."""
    roles = Roles.now(lab)
    data = f"/var/lib/postgresql/17/{lab.policy.clusters[0].name}"
    control = f"/usr/lib/postgresql/17/bin/pg_controldata {data} | grep 'cluster state'"
    assert asked(roles.primary) == 200
    with frozen_session(lab, roles.primary):
        lab.shell(roles.primary.name, f"kill -INT $(head -1 {data}/postmaster.pid)")
        wait_until("nobody new is sent", lambda: asked(roles.primary) == NO_MORE)
        assert lab.shell(roles.primary.name, control).strip().endswith("in production")
        assert pids(lab, roles.primary, Process.POSTMASTER)
    whole(lab)


def asked(host: DatabaseHost) -> int | None:
    """As a proxy asks."""
    return http_get(str(host.address), host.guard_port, "/writable")[0]


@contextmanager
def frozen_session(lab: Lab, host: DatabaseHost) -> Iterator[None]:
    """A session that does not end when it is told to."""
    name = "frozen-by-a-test"
    asks = f"select pid from pg_stat_activity where application_name = '{name}'"
    opens = (
        f"PGAPPNAME={name} setsid psql -qX -h /run/postgresql -d postgres -c 'select pg_sleep(60)'"
    )
    lab.shell(host.name, f"cd /; {opens} >/dev/null 2>&1 </dev/null &", user="postgres")
    wait_until("the session is there", lambda: bool(sql(lab, host.name, asks)))
    backend = int(sql(lab, host.name, asks))
    lab.shell(host.name, f"kill -STOP {backend}")
    try:
        yield
    finally:
        lab.shell(host.name, f"kill -CONT {backend}")


# --------------------------------------------------------------------------- dead for good


@pytest.mark.parametrize(
    "processes",
    [(Process.GUARD,), (Process.PATRONI,), (Process.GUARD, Process.PATRONI)],
    ids=" and ".join,
)
def test_killed_for_good_the_other_host_takes_over(
    lab: Lab, processes: tuple[Process, ...]
) -> None:
    """Inside the site, and only after the first server is stopped: with both gone by systemd."""
    roles = Roles.now(lab)
    with customers(lab, roles.active) as shop, concluding(lab) as seen:
        killed_s = boottime_s()
        for process in processes:
            lab.faults.kill(roles.primary.name, process, for_good=True)
        wait_until("the other host takes writes", lambda: writable_at(lab, roles.replica))
        shop.wait_served()
        first_s = shop.first_ack_s(roles.replica, killed_s)
        last_s = shop.last_ack_s(roles.primary)
        assert first_s is not None
        print(
            f"{' and '.join(processes)}: last acknowledgement of the first host "
            f"{last_s - killed_s:.2f} s after the fault, first one of the other "
            f"{first_s - killed_s:.2f} s"
        )
        assert last_s < first_s
        assert stopped_or_standby(lab, roles.primary)
        lab.faults.heal()
        after = whole(lab)
        assert not shop.report().problems
    assert (after.epoch, after.active_site) == (roles.state.epoch, roles.active)
    assert seen.never_took_over(), seen.codes


def stopped_or_standby(lab: Lab, host: DatabaseHost) -> bool:
    """No server that could write lives there."""
    if not pids(lab, host, Process.POSTMASTER):
        return True
    try:
        return sql(lab, host.name, "select pg_is_in_recovery()") == "t"
    except LabError:
        return True
