"""What the checks of sessions, ZooKeeper, Patroni and the guard are to find.

Each row breaks one assumption of a world in order, and names the check that has to say so, and how.
"""

from __future__ import annotations

from dataclasses import replace

from checks_world import (
    JAKARTA,
    MAKASSAR,
    NOW_UNIX_S,
    POLICY,
    Break,
    Broken,
    configured,
    granting,
    hosts_seen,
    of_view,
    on_server,
    reported,
    seen_as,
    setting,
)
from cli_world import REFUSED, SILENT, observer

from failover.checks.found import Found
from failover.checks.host_report import HostReport
from failover.checks.result import Verdict
from failover.model import Lsn, ProtectionMode

F, W, U = Verdict.FAILED, Verdict.WARNING, Verdict.UNKNOWN


def observed(**servers: object) -> Break:
    return of_view(
        lambda known: replace(
            known,
            observers=tuple(observer(s.name, hosts_seen(), **servers) for s in POLICY.sites),  # type: ignore[arg-type]
        )
    )


def sync_in(mode: ProtectionMode, names: str | None) -> Break:
    def made(found: Found) -> Found:
        listed = configured(
            JAKARTA,
            lambda d: d["postgresql"]["parameters"].update(
                {} if names is None else {"synchronous_standby_names": names}
            ),
        )(found)
        state = listed.view.state
        assert state is not None
        return replace(listed, view=replace(listed.view, state=replace(state, protection=mode)))

    return made


def file_says(key: str, value: str) -> Break:
    return reported(
        "mks-db2",
        lambda r: replace(
            r,
            patroni=replace(
                r.patroni, settings=tuple({**dict(r.patroni.settings), key: value}.items())
            ),
        ),
    )


def other_program(report: HostReport, name: str) -> tuple[tuple[str, str], ...]:
    return tuple({**dict(report.barriers), name: "0" * 64}.items())


def without_program(report: HostReport, name: str) -> tuple[tuple[str, str], ...]:
    return tuple(each for each in report.barriers if each[0] != name)


PATRONI: list[Broken] = [
    ("guard-session", "cut", F, on_server("mks-zk1", granting(6000, 4000))),
    ("guard-session", "long", W, on_server("mks-zk1", granting(6000, 7000))),
    ("guard-session", "no session", U, on_server("mks-zk1", granting(6000, SILENT))),
    ("patroni-session", "not cut", F, on_server("sby-zk1", granting(20000, 10000))),
    ("patroni-session", "cut shorter", F, on_server("sby-zk1", granting(20000, 7000))),
    ("controller-session", "cut", F, on_server("jkt-zk1", granting(4000, 2000))),
    ("guard-lease", "another lease", F, reported("mks-db1", lambda r: replace(r, session_ms=8000))),
    (
        "guard-lease",
        "too much left",
        F,
        seen_as("jkt-db1", lambda h: replace(h, guard=replace(h.guard, deadline_in_s=5.2))),  # type: ignore[type-var]
    ),
    ("zookeeper-quorum", "a silent server", F, observed(silent_servers=("mks-zk1",))),
    ("zookeeper-leader", "in the active site", F, observed(leader="jkt-zk1")),
    ("zookeeper-leader", "in the other one", W, observed(leader="mks-zk1")),
    ("zookeeper-leader", "none", U, observed(leader="nobody")),
    (
        "zookeeper-myid",
        "swapped",
        F,
        on_server("sby-zk1", lambda s: replace(s, settings={**s.settings, "serverId": "1"})),  # type: ignore[dict-item]
    ),
    (
        "zookeeper-myid",
        "a stranger",
        F,
        on_server("sby-zk1", lambda s: replace(s, settings={**s.settings, "server.9": "8.8.8.8"})),  # type: ignore[dict-item]
    ),
    (
        "zookeeper-timing",
        "slow tick",
        F,
        on_server("sby-zk1", lambda s: replace(s, settings={**s.settings, "tickTime": "2000"})),  # type: ignore[dict-item]
    ),
    (
        "controllers",
        "a door is shut",
        W,
        lambda f: replace(
            f, controllers=(replace(f.controllers[0], problem="refused"), *f.controllers[1:])
        ),
    ),
    (
        "controllers",
        "silent",
        F,
        of_view(
            lambda known: replace(
                known,
                observers=tuple(
                    replace(o, age_s=9.0) if o.site == "surabaya" else o for o in known.observers
                ),
            )
        ),
    ),
    (
        "patroni-members",
        "nofailover",
        F,
        seen_as("mks-db1", lambda h: replace(h, patroni=replace(h.patroni, nofailover=True))),  # type: ignore[type-var]
    ),
    (
        "patroni-members",
        "restart pending",
        W,
        seen_as("mks-db1", lambda h: replace(h, patroni=replace(h.patroni, pending_restart=True))),  # type: ignore[type-var]
    ),
    ("patroni-members", "gone", F, seen_as("mks-db2", lambda h: replace(h, patroni=REFUSED))),
    ("patroni-lease", "ttl", F, configured(MAKASSAR, lambda d: d.update(ttl=30))),
    ("patroni-lease", "retry_timeout", F, configured(JAKARTA, lambda d: d.update(retry_timeout=3))),
    ("patroni-timeouts", "start", F, configured(JAKARTA, lambda d: d.pop("primary_start_timeout"))),
    (
        "patroni-timeouts",
        "stop",
        F,
        configured(JAKARTA, lambda d: d.update(primary_stop_timeout=9)),
    ),
    ("patroni-lag", "more", F, configured(JAKARTA, lambda d: d.update(maximum_lag_on_failover=1))),
    ("patroni-failsafe", "on", F, configured(JAKARTA, lambda d: d.update(failsafe_mode=True))),
    (
        "patroni-synchronous",
        "Patroni's",
        F,
        configured(JAKARTA, lambda d: d.update(synchronous_mode=True)),
    ),
    ("patroni-synchronous", "listed", F, sync_in(ProtectionMode.MAX_PERFORMANCE, '"mks-db1"')),
    ("patroni-synchronous", "nobody", W, sync_in(ProtectionMode.MAX_AVAILABILITY, None)),
    (
        "patroni-rewind",
        "off",
        F,
        configured(JAKARTA, lambda d: d["postgresql"].update(use_pg_rewind=False)),
    ),
    ("patroni-slots", "gone", F, configured(JAKARTA, lambda d: d.pop("slots"))),
    (
        "patroni-slots",
        "another",
        F,
        configured(MAKASSAR, lambda d: d["slots"].update(old={"type": "physical"})),
    ),
    (
        "patroni-parameters",
        "changed",
        F,
        lambda f: setting("log_line_prefix", "x", "", host="mks-db1")(
            setting("log_line_prefix", "x", "", host="mks-db2")(
                configured(
                    MAKASSAR, lambda d: d["postgresql"]["parameters"].update(log_line_prefix="x")
                )(f)
            )
        ),
    ),
    ("patroni-parameters", "more", W, configured(JAKARTA, lambda d: d.update(check_timeline=True))),
    ("patroni-pause", "paused", F, configured(MAKASSAR, lambda d: d.update(pause=True))),
    (
        "standby-upstream",
        "another host",
        F,
        configured(MAKASSAR, lambda d: d["standby_cluster"].update(host="10.77.1.12")),
    ),
    (
        "patroni-file",
        "key",
        F,
        file_says("postgresql.remove_data_directory_on_rewind_failure", "on"),
    ),
    (
        "patroni-file",
        "started around the guard",
        F,
        reported("mks-db2", lambda r: replace(r, patroni=replace(r.patroni, by_guard=False))),
    ),
    (
        "patroni-file",
        "newer than the process",
        W,
        reported(
            "mks-db2", lambda r: replace(r, patroni=replace(r.patroni, changed_unix_s=NOW_UNIX_S))
        ),
    ),
    (
        "guard-alive",
        "worker dead",
        F,
        seen_as("mks-db2", lambda h: replace(h, guard=replace(h.guard, worker_alive=False))),  # type: ignore[type-var]
    ),
    (
        "guard-alive",
        "not armed",
        F,
        seen_as("mks-db2", lambda h: replace(h, guard=replace(h.guard, armed=False))),  # type: ignore[type-var]
    ),
    (
        "writer-claim",
        "two say yes",
        F,
        seen_as("mks-db2", lambda h: replace(h, guard=replace(h.guard, writable=True))),  # type: ignore[type-var]
    ),
    (
        "writer-claim",
        "a second server out of recovery",
        F,
        seen_as(
            "mks-db2",
            lambda h: replace(
                h,
                postgres=replace(  # type: ignore[type-var]
                    h.postgres, in_recovery=False, current_lsn=Lsn(5000), received_lsn=None
                ),
            ),
        ),
    ),
    ("permit-hook", "file", F, file_says("postgresql.pre_promote", "/bin/true")),
    (
        "permit-hook",
        "script",
        F,
        reported("mks-db2", lambda r: replace(r, barriers_missing=(("pre_promote", "missing"),))),
    ),
    (
        "permit-hook",
        "another program",
        F,
        reported("mks-db2", lambda r: replace(r, barriers=other_program(r, "pre_promote"))),
    ),
    (
        "start-barrier",
        "another program",
        F,
        reported("mks-db2", lambda r: replace(r, barriers=other_program(r, "pg_ctl"))),
    ),
    (
        "start-barrier",
        "a program that cannot be read",
        U,
        reported("mks-db2", lambda r: replace(r, barriers=without_program(r, "pg_ctl"))),
    ),
    ("start-barrier", "file", F, file_says("postgresql.bin_name.postgres", "/usr/bin/postgres")),
    (
        "start-barrier",
        "script",
        F,
        reported("mks-db2", lambda r: replace(r, barriers_missing=(("postgres", "missing"),))),
    ),
    (
        "start-barrier",
        "environment",
        F,
        reported(
            "mks-db2",
            lambda r: replace(
                r, patroni=replace(r.patroni, environment=("PATRONI_POSTGRESQL_BIN_POSTGRES",))
            ),
        ),
    ),
    (
        "start-barrier",
        "environment not seen",
        U,
        reported("mks-db2", lambda r: replace(r, patroni=replace(r.patroni, environment=None))),
    ),
    (
        "patroni-file",
        "environment",
        F,
        reported(
            "mks-db2",
            lambda r: replace(
                r, patroni=replace(r.patroni, environment=("PATRONI_ZOOKEEPER_HOSTS",))
            ),
        ),
    ),
    ("barrier-door", "shut", F, reported("mks-db2", lambda r: replace(r, door_problem="refused"))),
    (
        "acknowledgement-barrier",
        "none",
        F,
        seen_as("jkt-db2", lambda h: replace(h, guard=replace(h.guard, barrier=False))),  # type: ignore[type-var]
    ),
    (
        "acknowledgement-barrier",
        "not known",
        U,
        seen_as("jkt-db2", lambda h: replace(h, guard=replace(h.guard, barrier=None))),  # type: ignore[type-var]
    ),
]
