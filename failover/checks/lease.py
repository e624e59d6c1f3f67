"""The lease arithmetic (decision 0002) against the sessions that the ensemble really gives.
Pure."""

from __future__ import annotations

from collections.abc import Callable

from failover.checks.found import Found
from failover.checks.guard import HEAR_GUARD, silent_guards, silent_to_all, unheard
from failover.checks.result import LOOK_AT_OBSERVERS, Check, Said, Subject, of, unknown
from failover.health.observation import NoAnswer
from failover.model import HostName
from failover.timing import LeaseTiming

SPARE_S = 1.5  # tick, interval, time to kill, margin: timing.py keeps it between deadline and end
_ROUNDING_S = 0.05


def guard_session(found: Found) -> Said:
    timing = found.timing
    granted = _granted(found, timing.session_ms)
    short = [
        f"{name} grants {ms / 1000:g} s of {timing.session_ms / 1000:g} s, and the deadline is at "
        f"{timing.deadline_s:g} s"
        for name, ms in granted
        if ms / 1000 < timing.deadline_s + SPARE_S
    ]
    long = [
        f"{name} grants {ms / 1000:g} s instead of {timing.session_ms / 1000:g} s: the claim of a "
        "lost site lasts longer"
        for name, ms in granted
        if ms > timing.session_ms
    ]
    spare_s = timing.session_ms / 1000 - timing.deadline_s
    return of(
        f"granted in full, {timing.session_ms / 1000:g} s, by {_names(granted)}; deadline "
        f"{timing.deadline_s:g} s, {spare_s:g} s to spare",
        wrong=short,
        doubtful=long,
        unseen=_silent(found, timing.session_ms),
        told_elsewhere=_serves_nobody(found, timing.session_ms),
    )


def _clamped(
    asked_s: Callable[[Found], float], wanted_s: Callable[[Found], float], whose: str
) -> Callable[[Found], Said]:
    def judge(found: Found) -> Said:
        asked_ms, wanted_ms = int(asked_s(found) * 1000), int(wanted_s(found) * 1000)
        granted = _granted(found, asked_ms)
        return of(
            f"of {asked_ms / 1000:g} s asked for, {wanted_ms / 1000:g} s are granted by "
            f"{_names(granted)}",
            wrong=[
                f"{name} grants {whose} {ms / 1000:g} s of {asked_ms / 1000:g} s, not "
                f"{wanted_ms / 1000:g} s"
                for name, ms in granted
                if ms != wanted_ms
            ],
            unseen=_silent(found, asked_ms),
        )

    return judge


def _granted(found: Found, asked_ms: int) -> list[tuple[HostName, int]]:
    return [
        (server.name, grant.granted_ms)
        for server in found.servers
        for grant in server.grants
        if grant.asked_ms == asked_ms and isinstance(grant.granted_ms, int)
    ]


def _silent(found: Found, asked_ms: int) -> list[str]:
    return [
        f"{name} opened no session: {answer.detail}" for name, answer in _refusals(found, asked_ms)
    ]


def _refusals(found: Found, asked_ms: int) -> list[tuple[HostName, NoAnswer]]:
    return [
        (server.name, grant.granted_ms)
        for server in found.servers
        for grant in server.grants
        if grant.asked_ms == asked_ms and isinstance(grant.granted_ms, NoAnswer)
    ]


def _serves_nobody(found: Found, asked_ms: int) -> bool:
    """What opened no session does not serve the observers either: `zookeeper-quorum` fails."""
    serving = {seen.server.name for seen in found.view.zookeeper if seen.serving}
    return serving.isdisjoint(name for name, _ in _refusals(found, asked_ms))


def _names(granted: list[tuple[HostName, int]]) -> str:
    return ", ".join(name for name, _ in granted)


def guard_lease(found: Found) -> Said:
    """Of running guards, by their own word; of who has a grant also by what is left of it."""
    timing = found.timing
    wrong = []
    for each in found.hosts:
        report = each.report
        if not isinstance(report, NoAnswer) and (report.session_ms, report.deadline_s) != (
            timing.session_ms,
            timing.deadline_s,
        ):
            wrong.append(
                f"the guard of {each.host.name} runs with a session of "
                f"{report.session_ms / 1000:g} s and a deadline of {report.deadline_s:g} s, not "
                f"{timing.session_ms / 1000:g} s and {timing.deadline_s:g} s"
            )
    left = [
        (host.host.name, host.guard.deadline_in_s)
        for cluster in found.view.clusters
        for side in (cluster.active, cluster.standby)
        for host in side.hosts
        if host.guard is not None and host.guard.deadline_in_s is not None
    ]
    wrong += [
        f"{name} may go on for {seconds:.1f} s without a renewal, more than {timing.deadline_s:g} s"
        for name, seconds in left
        if seconds > timing.deadline_s + _ROUNDING_S
    ]
    told = "".join(f"; {name} had {seconds:.1f} s left" for name, seconds in left)
    return of(
        f"{len(found.hosts)} guards run with {timing.session_ms / 1000:g} s and "
        f"{timing.deadline_s:g} s{told}",
        wrong=wrong,
        unseen=[*silent_guards(found), *unheard(found)],  # who is unheard fails `guard-alive`
        unseen_fix=HEAR_GUARD if silent_guards(found) else LOOK_AT_OBSERVERS,
        told_elsewhere=silent_to_all(found),
    )


def hypervisor(_: Found) -> Said:
    return unknown(
        "whether a hypervisor stops the clocks of a paused guest cannot be seen by software in it; "
        "such a guest, resumed, believes in a lease that is over",
    )


def sessions_ms(timing: LeaseTiming) -> tuple[int, ...]:
    """What guard, Patroni and controller ask for: the gatherer asks each server the same."""
    return (timing.session_ms, timing.patroni_ttl_s * 1000, timing.controller_session_ms)


_ZOO = "Write zoo.cfg anew (`failover config render`) and restart the server, followers first."
_SOURCE = "docs/decisions/0002-lease-arithmetic.md"
LEASE_CHECKS = (
    Check(
        "guard-session",
        Subject.LEASE,
        "Every ZooKeeper server grants a guard the session that its deadline is counted from.",
        _ZOO,
        _SOURCE,
        guard_session,
        unknown_fails=True,
    ),
    Check(
        "patroni-session",
        Subject.LEASE,
        "Every server cuts Patroni's session to `maxSessionTimeout`, so that a dead host's key "
        "ends in time.",
        _ZOO,
        _SOURCE,
        _clamped(
            lambda f: f.timing.patroni_ttl_s,
            lambda f: f.timing.zookeeper_session_ms_max / 1000,
            "Patroni",
        ),
    ),
    Check(
        "controller-session",
        Subject.LEASE,
        "Every server grants a controller its session.",
        _ZOO,
        _SOURCE,
        _clamped(
            lambda f: f.timing.controller_session_ms / 1000,
            lambda f: f.timing.controller_session_ms / 1000,
            "a controller",
        ),
    ),
    Check(
        "guard-lease",
        Subject.LEASE,
        "Every running guard has the lease of failover.yaml, and none has more of a grant left "
        "than the deadline.",
        "Put the same failover.yaml on that host and restart its guard "
        "(`systemctl restart failover-guard`; the server goes on).",
        _SOURCE,
        guard_lease,
        unknown_fails=True,
    ),
    Check(
        "hypervisor-clock",
        Subject.LEASE,
        "No hypervisor stops the clocks of a database host together with the host.",
        "Forbid pausing, snapshots with memory and live migration of database hosts in the "
        "hypervisor; nothing inside the guest can show it.",
        "invariant I1",
        hypervisor,
        never_seen=True,
    ),
)
