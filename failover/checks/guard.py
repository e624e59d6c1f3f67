"""The guards and their barriers: the one way in and out of writability. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from failover.checks import flat
from failover.checks.found import Found, HostFound
from failover.checks.host_report import BARRIER_KEYS, BARRIERS, HOOK_KEYS, HostReport
from failover.checks.result import LOOK_AT_OBSERVERS, Check, Said, Subject, of, together
from failover.health.observation import NoAnswer
from failover.health.sightings import HostView

HOOK_FILES = ("pre_promote",)
HEAR_GUARD = (
    "Have the guard of that host run, and ask from where its port (8009) can be reached; a guard "
    "of an older version gives no report."
)
_OVERRIDES = ("PATRONI_POSTGRESQL_BIN_",)  # win over the file (Patroni's config.py)
_KILLED_AT_ONCE = "it is a dead host to the group: never promoted"

Reported = Callable[[Found, HostFound, HostReport], Iterator[str]]


def views(found: Found) -> Iterator[HostView]:
    for cluster in found.view.clusters:
        yield from cluster.active.hosts
        yield from cluster.standby.hosts


def unheard(found: Found) -> list[str]:
    """Guards that no living observer has an answer from."""
    return [
        f"the guard of {host.host.name} gives no observer an answer"
        for host in views(found)
        if host.guard is None
    ]


def no_primary(found: Found) -> list[str]:
    """Clusters of which nobody living sees a primary that holds the claim."""
    return [
        f"{cluster.name}: the primary is not known"
        for cluster in found.view.clusters
        if cluster.primary is None
    ]


def alive(found: Found) -> Said:
    wrong: list[str] = []
    unseen: list[str] = []
    for host in views(found):
        seen, name = host.guard, host.host.name
        if seen is None:
            (wrong if found.view.living_observers else unseen).append(
                f"the guard of {name} gives no observer an answer: {_KILLED_AT_ONCE}"
            )
        elif not seen.armed:
            wrong.append(f"the guard of {name} is not armed: it only watches")
        elif not seen.worker_alive:
            wrong.append(f"the guard of {name} has no worker: nothing renews its lease")
    return of(
        f"{sum(1 for _ in views(found))} guards answer, all armed and with a worker",
        wrong=wrong,
        unseen=unseen,
        unseen_fix=LOOK_AT_OBSERVERS,
    )


def claim(found: Found) -> Said:
    """The claim's holder, the host whose guard says writable, and the primary are one. Whoever is
    silent may be another one, and fails `postgresql-answers` or `guard-alive`."""
    wrong, unseen, told = [], [], []
    silent = [
        f"PostgreSQL of {host.host.name} gives no observer an answer"
        for host in views(found)
        if host.postgres is None
    ]
    for cluster in found.view.clusters:
        if cluster.claim_held is None:
            unseen.append(f"{cluster.name}: the claim cannot be read")
        elif not cluster.claim_held:
            wrong.append(f"{cluster.name}: nobody holds the writer claim")
        elif cluster.holder is None:
            wrong.append(f"{cluster.name}: the writer claim is not held in the active site")
        elif cluster.primary is None:
            wrong.append(f"{cluster.name}: {cluster.holder.host.name} holds the claim, no primary")
        else:
            told.append(f"{cluster.name} is written on {cluster.primary.host.name}")
        holder = cluster.holder.host.name if cluster.holder is not None else None
        wrong += [
            f"{cluster.name}: PostgreSQL of {h.host.name} is out of recovery without the claim"
            for s in (cluster.active, cluster.standby)
            for h in s.hosts
            if h.host.name != holder and h.postgres is not None and not h.postgres.in_recovery
        ]
        writable = [
            h.host.name for s in (cluster.active, cluster.standby) for h in s.hosts if _w(h)
        ]
        if len(writable) > 1:
            wrong.append(f"{cluster.name}: {', '.join(writable)} say that they may take writes")
    return of(
        ", ".join(told),
        wrong=wrong,
        unseen=[*unseen, *silent, *unheard(found)],
        unseen_fix=LOOK_AT_OBSERVERS,
        told_elsewhere=not unseen,
    )


def _w(host: HostView) -> bool:
    return host.guard is not None and host.guard.writable


def acknowledgement(found: Found) -> Said:
    wrong, unseen, told_elsewhere = [], unheard(found), True  # a silent guard is `guard-alive`'s
    seen = [(host.host.name, host.guard) for host in views(found)]
    for name, guard in seen:
        if guard is None:
            continue
        if guard.barrier is False:
            wrong.append(
                f"the kernel of {name} does not hold acknowledgements to the lease: frozen whole "
                "and thawed it may acknowledge for up to 100 ms"
            )
        elif guard.barrier is None:
            told_elsewhere = False
            unseen.append(f"the guard of {name} does not say yet whether its kernel can")
    return of(
        f"the kernels of {len(seen)} hosts hold acknowledgements to the lease",
        wrong=wrong,
        unseen=unseen,
        unseen_fix=LOOK_AT_OBSERVERS,
        told_elsewhere=told_elsewhere,
    )


def _nothing_hidden(found: Found, each: HostFound, report: HostReport) -> Iterator[str]:
    yield from ()


def _reported(
    well: str, look: Reported, hidden: Reported = _nothing_hidden
) -> Callable[[Found], Said]:
    """What the guards say of their own hosts; a guard that says nothing leaves it unknown.
    ``hidden``: what a guard could not see itself."""

    def judge(found: Found) -> Said:
        wrong: list[str] = []
        unseen: list[str] = []
        for each in found.hosts:
            if not isinstance(each.report, NoAnswer):
                wrong += look(found, each, each.report)
                unseen += hidden(found, each, each.report)
        return of(
            well.format(hosts=len(found.hosts)),
            wrong=wrong,
            unseen=[*silent_guards(found), *unseen],
            unseen_fix=HEAR_GUARD,
            told_elsewhere=not unseen and silent_to_all(found),
        )

    return judge


def silent_to_all(found: Found) -> bool:
    """Every guard that gave this command no report gives the observers no answer either, so that
    `guard-alive` fails for it."""
    heard = {host.host.name for host in views(found) if host.guard is not None}
    return heard.isdisjoint(h.host.name for h in found.hosts if isinstance(h.report, NoAnswer))


def silent_guards(found: Found) -> list[str]:
    """Hosts whose guard gave this command no report."""
    silent = ((h.host.name, h.report) for h in found.hosts if isinstance(h.report, NoAnswer))
    return together(
        ((name, answer.kind.value.replace("_", " ")) for name, answer in silent),
        "no report of the guard",
    )


def _as_rendered(
    found: Found, each: HostFound, report: HostReport, keys: tuple[str, ...]
) -> Iterator[str]:
    if report.patroni.problem:
        return  # `_file_hidden` says so
    have = flat.only(dict(report.patroni.settings), keys)
    want = flat.only(found.expected.host(each.host.name).patroni, keys)
    for text in (*flat.differences(have, want), *flat.extra(have, want)):
        yield f"{each.host.name}: {text}"


def _not_barriers(found: Found, report: HostReport) -> Iterator[tuple[str, str]]:
    """Name, and why it is none. By the guard, which compares with what it was installed with, and
    where that is this version by this command too: what both are links to may have been changed."""
    yield from report.barriers_missing
    told, there = dict(report.barriers_missing), dict(report.barriers)
    if report.version != found.version:
        return  # `versions` says so
    for name, digest in found.expected.barriers:
        if name not in told and name in there and there[name] != digest:
            yield name, "not the program of this version"


def _unread_barriers(report: HostReport, names: Iterable[str]) -> Iterator[str]:
    told = {*dict(report.barriers_missing), *dict(report.barriers)}
    if unread := sorted(set(names) - told):
        yield f"cannot be told what {', '.join(unread)} are"


def _hook(found: Found, each: HostFound, report: HostReport) -> Iterator[str]:
    yield from _as_rendered(found, each, report, HOOK_KEYS)
    for name, why in _not_barriers(found, report):
        if name in HOOK_FILES:
            yield f"{each.host.name}: the hook {name} is not in its place ({why})"


def _start(found: Found, each: HostFound, report: HostReport) -> Iterator[str]:
    yield from _as_rendered(found, each, report, BARRIER_KEYS)
    for name, why in _not_barriers(found, report):
        if name not in HOOK_FILES:
            yield f"{each.host.name}: the barrier {name} is not in its place ({why})"
    for variable in report.patroni.environment or ():
        if variable.startswith(_OVERRIDES):
            yield f"{each.host.name}: Patroni's environment has {variable}, which goes around"


def _hook_hidden(_: Found, each: HostFound, report: HostReport) -> Iterator[str]:
    yield from _file_hidden(each, report)
    for text in _unread_barriers(report, HOOK_FILES):
        yield f"{each.host.name}: {text}"


def _file_hidden(each: HostFound, report: HostReport) -> Iterator[str]:
    if report.patroni.problem:
        yield f"{each.host.name}: patroni.yml cannot be read ({report.patroni.problem})"


def _start_hidden(_: Found, each: HostFound, report: HostReport) -> Iterator[str]:
    yield from _file_hidden(each, report)
    for text in _unread_barriers(report, set(BARRIERS) - set(HOOK_FILES)):
        yield f"{each.host.name}: {text}"
    if report.patroni.environment is None:
        yield f"{each.host.name}: Patroni's environment, which wins over its file, cannot be read"


def _door(_: Found, each: HostFound, report: HostReport) -> Iterator[str]:
    if report.door_problem:
        yield f"{each.host.name}: no barrier gets an answer ({report.door_problem})"


_REINSTALL = (
    "Install the package anew on that host and write patroni.yml anew (`failover config render`), "
    "then `systemctl reload patroni`; a variable goes out of /etc/failover/secrets/patroni.env, "
    "and the next start of Patroni leaves it out."
)
GUARD_CHECKS = (
    Check(
        "guard-alive",
        Subject.GUARD,
        "A guard runs on every database host, is armed, and has a living worker.",
        "`systemctl status failover-guard` on that host; `failover init` arms the guards.",
        "docs/decisions/0003-guard-two-processes.md",
        alive,
        unknown_fails=True,
    ),
    Check(
        "writer-claim",
        Subject.GUARD,
        "Of each cluster one host of the active site holds the claim, is the primary, and it alone "
        "says that it may take writes.",
        "`failover explain` says what is wrong and what comes next.",
        "invariant I1",
        claim,
        unknown_fails=True,
    ),
    Check(
        "permit-hook",
        Subject.GUARD,
        "Patroni's `pre_promote` is the guard's hook, with the limit of this lease, on every host.",
        _REINSTALL,
        "docs/decisions/0003-guard-two-processes.md",
        _reported("pre_promote is the guard's hook on {hosts} hosts", _hook, _hook_hidden),
        unknown_fails=True,
    ),
    Check(
        "start-barrier",
        Subject.GUARD,
        "Every start, promotion and rewind passes the barriers (`bin_name`), and nothing in "
        "Patroni's environment goes around them.",
        _REINSTALL,
        "docs/decisions/0003-guard-two-processes.md",
        _reported(
            "postgres, pg_ctl and pg_rewind are the barriers on {hosts} hosts",
            _start,
            _start_hidden,
        ),
        unknown_fails=True,
    ),
    Check(
        "barrier-door",
        Subject.GUARD,
        "The guard answers the barriers on its unix socket: no answer is a no, and a primary that "
        "is restarted stays down.",
        "Restart the guard of that host (`systemctl restart failover-guard`; the server goes on).",
        "failover/guard/barrier.py",
        _reported("the guards of {hosts} hosts answer their barriers", _door),
        unknown_fails=True,
    ),
    Check(
        "acknowledgement-barrier",
        Subject.GUARD,
        "The kernel of every database host lets answers to clients out only under a lease.",
        "Give the guard CAP_NET_ADMIN and the kernel nf_tables (the rendered unit has the first); "
        "the guard's journal says what the kernel refused.",
        "docs/decisions/0017-acknowledgement-barrier.md",
        acknowledgement,
        unknown_fails=True,
    ),
)
