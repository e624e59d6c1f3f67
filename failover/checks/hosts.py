"""What the hosts have: room, clocks, the rendered files, one configuration, one version. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from failover.checks.found import Found, HostFound
from failover.checks.guard import HEAR_GUARD, silent_guards
from failover.checks.host_report import EGRESS_OFF, Disk, HostReport
from failover.checks.postgresql import ON_CONTROLLER, read, unread
from failover.checks.quantities import in_bytes
from failover.checks.result import LOOK_AT_OBSERVERS, Check, Said, Subject, of, unknown
from failover.health.observation import NoAnswer

FREE_BYTES_MIN = 1024**3  # below that the next hour of WAL may stop the server
SALVAGE_LEAVES_BYTES = 256 * 1024**2  # guard/salvage.py: so much stays free
CLOCK_WARNING_S = 0.5
CLOCK_FAILED_S = 5.0

_GIB = 1024**3


def reports(found: Found) -> Iterator[tuple[HostFound, HostReport]]:
    for each in found.hosts:
        if not isinstance(each.report, NoAnswer):
            yield each, each.report


def _disk(report: HostReport, what: str) -> Disk | None:
    return next((disk for disk in report.disks if disk.what == what), None)


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / _GIB:.1f} GiB"


def wal_disk(found: Found) -> Said:
    """A slot that nobody reads keeps ``max_slot_wal_keep_size``; the disk must not be full
    first."""
    wrong, doubtful, free = [], [], []
    unseen = [*silent_guards(found), *unread(found)]
    keep = {
        each.host.name: in_bytes(*shown)
        for each, postgres in read(found)
        if (shown := postgres.setting("max_slot_wal_keep_size")) is not None
    }
    for each, report in reports(found):
        disk, name = _disk(report, "wal"), each.host.name
        if disk is None:
            wrong.append(f"{name}: its guard finds no pg_wal")
            continue
        free.append(disk.free_bytes)
        may_keep = keep.get(name, found.policy.max_slot_wal_keep_bytes)
        if disk.free_bytes < FREE_BYTES_MIN:
            wrong.append(f"{name}: {_gib(disk.free_bytes)} free for WAL in {disk.path}")
        elif may_keep is None:
            doubtful.append(
                f"{name}: a slot may keep WAL without limit, {_gib(disk.free_bytes)} free"
            )
        elif disk.free_bytes < may_keep:
            doubtful.append(
                f"{name}: a slot may keep {_gib(may_keep)} of WAL, and {_gib(disk.free_bytes)} "
                "are free"
            )
    least = _gib(min(free)) if free else "nothing"
    return of(
        f"at least {least} free for WAL, more than a slot may keep",
        wrong=wrong,
        doubtful=doubtful,
        unseen=unseen,
        unseen_fix=HEAR_GUARD if silent_guards(found) else ON_CONTROLLER,
    )


def salvage_disk(found: Found) -> Said:
    """All of what an isolated host may write must find room before it is rewound."""
    wrong, doubtful, room = [], [], []
    for each, report in reports(found):
        disk, name = _disk(report, "salvage"), each.host.name
        if disk is None:
            wrong.append(f"{name}: there is no directory for salvaged WAL")
            continue
        left_bytes = found.policy.salvage_bytes_max - report.salvage_held_bytes
        free_bytes = disk.free_bytes - SALVAGE_LEAVES_BYTES
        room.append(min(left_bytes, free_bytes))
        if min(left_bytes, free_bytes) < found.policy.loss_budget.bytes:
            wrong.append(
                f"{name}: room for {_gib(max(0, min(left_bytes, free_bytes)))} of salvaged WAL "
                f"({_gib(report.salvage_held_bytes)} held, {_gib(disk.free_bytes)} free in "
                f"{disk.path}), less than the loss budget"
            )
        elif free_bytes < left_bytes:
            doubtful.append(
                f"{name}: salvage_size_max leaves {_gib(left_bytes)}, the disk {_gib(free_bytes)}"
            )
    least = _gib(min(room)) if room else "nothing"
    return of(
        f"room for at least {least} of salvaged WAL",
        wrong=wrong,
        doubtful=doubtful,
        unseen=silent_guards(found),
        unseen_fix=HEAR_GUARD,
    )


def writable_places(found: Found) -> Said:
    """Of the server that Patroni would start next: one that runs keeps the mounts that it has."""
    wrong, unseen = [], [*silent_guards(found)]
    for each, report in reports(found):
        name = each.host.name
        if report.read_only is None:
            unseen.append(f"{name}: no Patroni runs there, or its guard is older or may not look")
        wrong += [f"{name}: {place} is read-only to Patroni" for place in report.read_only or ()]
    return of(
        "data, WAL and tablespaces are writable to what Patroni starts",
        wrong=wrong,
        unseen=unseen,
        unseen_fix=HEAR_GUARD,
    )


def egress_rules(found: Found) -> Said:
    """In the kernel; that the file is as rendered is another check."""
    wrong, doubtful, unseen = [], [], [*silent_guards(found)]
    for each, report in reports(found):
        said = f"{each.host.name}: {report.egress}"
        if report.egress is None:
            unseen.append(f"{each.host.name}: its guard is older or may not look")
        elif report.egress == EGRESS_OFF:
            doubtful.append(said)
        elif report.egress:
            wrong.append(said)
    return of(
        "the chain that holds packets back is in every database host's kernel",
        wrong=wrong,
        doubtful=doubtful,
        unseen=unseen,
        unseen_fix=HEAR_GUARD,
    )


def clocks(found: Found) -> Said:
    """Only what is certain counts: the least by which any two of them can differ."""
    if len(found.clocks) < 2:
        return unknown("fewer than two hosts told their time", HEAR_GUARD)
    told_by = {clock.host for clock in found.clocks}
    asked = [*(each.host.name for each in found.hosts), *(each.name for each in found.controllers)]
    silent = [name for name in asked if name not in told_by]
    ahead = max(found.clocks, key=lambda clock: clock.ahead_s_min)
    behind = min(found.clocks, key=lambda clock: clock.ahead_s_max)
    apart_s = max(0.0, ahead.ahead_s_min - behind.ahead_s_max)
    told = f"{ahead.host} is at least {apart_s:.1f} s ahead of {behind.host}"
    return of(
        f"{len(found.clocks)} clocks, none seen more than {apart_s:.1f} s from another",
        wrong=[told] if apart_s > CLOCK_FAILED_S else [],
        doubtful=[told] if apart_s > CLOCK_WARNING_S else [],
        unseen=[f"{', '.join(silent)}: no word of the time"] if silent else [],
        unseen_fix=f"{HEAR_GUARD} A controller is asked at its `metrics_port` (9187).",
    )


def rendered(found: Found) -> Said:
    wrong, count = [], 0
    for each, report in reports(found):
        there = dict(report.files)
        for path, digest in found.expected.host(each.host.name).files:
            count += 1
            if path not in there:
                wrong.append(f"{each.host.name}: /{path} is missing or cannot be read")
            elif there[path] != digest:
                wrong.append(f"{each.host.name}: /{path} is not as rendered")
    return of(
        f"{count} files on {len(found.hosts)} database hosts are as rendered",
        wrong=wrong,
        unseen=silent_guards(found),
        unseen_fix=HEAR_GUARD,
    )


def configuration(found: Found) -> Said:
    """Of database hosts; controllers do not say which file they read."""
    here, wrong = found.expected.configuration_sha256, []
    for each, report in reports(found):
        if report.configuration_sha256 != here:
            wrong.append(f"{each.host.name} has another failover.yaml than this command")
        elif report.configuration_loaded_sha256 != here:
            wrong.append(f"the guard of {each.host.name} has read an older failover.yaml")
    return of(
        f"{len(found.hosts)} guards have read this failover.yaml ({here[:12]})",
        wrong=wrong,
        unseen=silent_guards(found),
        unseen_fix=HEAR_GUARD,
    )


def versions(found: Found) -> Said:
    said = {f"controller in {site}": number for site, number in found.versions}
    said |= {f"guard of {each.host.name}": report.version for each, report in reports(found)}
    told = {site for site, _ in found.versions}
    silent = [
        f"no word of the controller in {site.name}"
        for site in found.policy.sites
        if site.name not in told
    ]
    other = [f"{who} is {number}" for who, number in said.items() if number != found.version]
    return of(
        f"{len(said)} controllers and guards are {found.version}, as this command",
        doubtful=other,
        unseen=[*silent, *silent_guards(found)],
        unseen_fix=LOOK_AT_OBSERVERS if silent else HEAR_GUARD,
    )


_ROOM = "Make room, or give that directory a larger disk."
HOST_CHECKS = (
    Check(
        "wal-disk",
        Subject.HOSTS,
        "A lost site's slot reaches its limit before the disk is full.",
        f"{_ROOM} Or lower max_slot_wal_keep_size in failover.yaml.",
        "failover/health/wal_kept.py",
        wal_disk,
    ),
    Check(
        "salvage-disk",
        Subject.HOSTS,
        "Every database host has room to salvage at least the loss budget before a rewind.",
        f"{_ROOM} Or archive earlier salvages, or raise salvage_size_max.",
        "failover/guard/salvage.py",
        salvage_disk,
    ),
    Check(
        "writable-places",
        Subject.HOSTS,
        "A server that Patroni starts may write wherever its data, WAL and tablespaces lie.",
        "Name the place in a drop-in of patroni.service (docs/operations/install.md, What "
        "PostgreSQL writes elsewhere), and restart Patroni with the scope paused.",
        "docs/decisions/0022-hardened-units.md",
        writable_places,
    ),
    Check(
        "egress-rules",
        Subject.HOSTS,
        "The kernel has the rules that keep packets within the declared networks: another "
        "firewall's reload may have flushed them.",
        "`systemctl reload failover-residency` there (`enable --now` where it is not enabled), and "
        "have the other one leave tables that are not its own alone.",
        "failover/render/templates/residency.nft.j2",
        egress_rules,
    ),
    Check(
        "clocks",
        Subject.HOSTS,
        "Wall clocks agree. No lease hangs on them; plans' deadlines, pauses, cooldowns and the "
        "order of the logs do.",
        "Synchronise the hosts' clocks (chrony), and look at its sources.",
        "failover/state.py: a plan's deadline",
        clocks,
    ),
    Check(
        "rendered-files",
        Subject.HOSTS,
        "Units, firewall rules and SQL on the database hosts are as rendered.",
        "`failover config render`, copy the host's folder, `systemctl daemon-reload`.",
        "docs/configuration.md",
        rendered,
    ),
    Check(
        "configuration",
        Subject.HOSTS,
        "One failover.yaml, the same everywhere.",
        "Copy the same failover.yaml to that host and restart its guard (the server goes on).",
        "docs/configuration.md",
        configuration,
    ),
    Check(
        "versions",
        Subject.HOSTS,
        "Controllers, guards and this command are of one version.",
        "Finish the upgrade: guards first, then controllers.",
        "docs/operations/upgrade.md",
        versions,
    ),
)
