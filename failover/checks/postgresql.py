"""The servers: alike at both sites, able to be rewound, and following each other. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from failover.checks.flat import Flat
from failover.checks.found import Found, HostFound, PostgresFound
from failover.checks.guard import no_primary, views
from failover.checks.patroni import dynamic, scope_name, sides
from failover.checks.quantities import same_value
from failover.checks.result import (
    LOOK_AT_OBSERVERS,
    Check,
    Said,
    Subject,
    failed,
    listed,
    of,
    ok,
    together,
    unknown,
    warning,
)
from failover.health.observation import NoAnswer
from failover.health.scope import SYNC_NAMES, slot_name
from failover.health.view import View
from failover.model import HostName

_PARAMETERS = "postgresql.parameters."
LOOKED_AT = (
    "wal_log_hints",
    "data_checksums",
    "full_page_writes",
    "max_slot_wal_keep_size",
    "tcp_keepalives_idle",
    "tcp_keepalives_interval",
    "tcp_keepalives_count",
    "tcp_user_timeout",
)
_REWIND = ("wal_log_hints", "data_checksums")

ON_CONTROLLER = (
    "Run this on a controller's host as its user: pg_hba.conf lets the narrow role in from there "
    "alone, and its password lies there."
)

_OTHERS = (SYNC_NAMES, *_REWIND)  # `patroni-synchronous` and `rewind-ready` look at these

Read = tuple[HostFound, PostgresFound]


def read(found: Found) -> tuple[Read, ...]:
    """Servers that answered this command."""
    return tuple(
        (each, each.postgres) for each in found.hosts if isinstance(each.postgres, PostgresFound)
    )


def unread(found: Found) -> list[str]:
    return together(
        ((h.host.name, h.postgres.detail) for h in found.hosts if isinstance(h.postgres, NoAnswer)),
        "PostgreSQL does not answer this command",
    )


def wanted_settings(view: View) -> tuple[str, ...]:
    """What the gatherer has to ask for: what any scope sets, and what the checks look at."""
    names = set(LOOKED_AT)
    for cluster in view.clusters:
        for side in (cluster.active, cluster.standby):
            written = _parameters(dynamic(side) or {})
            names |= {name for name, _ in written}
    return tuple(sorted(names))


def answers(found: Found) -> Said:
    """As observers see it: this command itself may run where no database lets it in."""
    silent = unseen_servers(found)
    if not found.view.living_observers:
        return unknown(listed(silent), LOOK_AT_OBSERVERS)
    return of(f"{sum(1 for _ in views(found))} servers answer the observers", wrong=silent)


def unseen_servers(found: Found) -> list[str]:
    """Hosts whose PostgreSQL no living observer has an answer from."""
    if not found.view.living_observers:
        return ["no living observer looks at the database hosts"]
    return [
        f"PostgreSQL of {host.host.name} gives no observer an answer"
        for host in views(found)
        if host.postgres is None
    ]


def streaming(found: Found) -> Said:
    wrong, standbys = [], 0
    for host in views(found):
        seen = host.postgres
        if seen is not None and seen.in_recovery:
            standbys += 1
            if not seen.receiver_streaming:
                wrong.append(f"{host.host.name} receives no WAL")
    return of(
        f"{standbys} standbys receive WAL",
        wrong=wrong,
        unseen=unseen_servers(found),
        unseen_fix=LOOK_AT_OBSERVERS,
    )


def version(found: Found) -> Said:
    seen = read(found)
    versions = Counter(postgres.version_number for _, postgres in seen)
    told = ", ".join(f"{each.host.name} {postgres.version}" for each, postgres in seen)
    majors = {number // 10000 for number in versions}
    if len(majors) > 1:
        return failed(f"different major versions: {told}")
    if unread(found):
        return unknown(listed(unread(found)), ON_CONTROLLER)
    if len(versions) > 1:
        return warning(f"different minor versions: {told}")
    return ok(f"PostgreSQL {seen[0][1].version} on {len(seen)} hosts")


def identity(found: Found) -> Said:
    """By the observers' answers."""
    wrong, unseen, told = [], [*unseen_servers(found)], []
    for cluster in found.view.clusters:
        hosts = (*cluster.active.hosts, *cluster.standby.hosts)
        ids = {h.host.name: h.postgres.system_identifier for h in hosts if h.postgres is not None}
        distinct = sorted(set(ids.values()) - {""})
        if len(distinct) > 1:
            each = ", ".join(f"{name} {value}" for name, value in ids.items())
            wrong.append(f"{cluster.name}: not one cluster ({each})")
        unseen += [f"{name} does not tell its system identifier" for name in ids if not ids[name]]
        told.append(f"{cluster.name} {', '.join(distinct)} on {len(ids)} hosts")
    return of("; ".join(told), wrong=wrong, unseen=unseen, unseen_fix=LOOK_AT_OBSERVERS)


def rewind(found: Found) -> Said:
    wrong = []
    for each, postgres in read(found):
        if not any(postgres.is_on(name) for name in _REWIND):
            wrong.append(f"{each.host.name} has neither wal_log_hints nor checksums: no rewind")
        if not postgres.is_on("full_page_writes"):
            wrong.append(f"{each.host.name} has full_page_writes off: no rewind is safe")
    has = {name for name in _REWIND if all(p.is_on(name) for _, p in read(found))}
    return of(
        f"{' and '.join(sorted(has)) or 'one of both'} on {len(read(found))} hosts, and "
        "full_page_writes",
        wrong=wrong,
        unseen=unread(found),
        unseen_fix=ON_CONTROLLER,
    )


def settings(found: Found) -> Said:
    """What the scope's configuration says against what the server has in force."""
    by_site = {(c.name, side.site): dynamic(side) for c, side in sides(found)}
    unreadable = [
        f"{scope_name(found, side)} has no usable configuration"
        for side in sides(found)
        if dynamic(side[1]) is None
    ]
    wrong, hidden, count = [], [], 0
    for each, postgres in read(found):
        for name, written in _parameters(by_site[each.host.cluster, each.host.site] or {}):
            shown = postgres.setting(name)
            count += 1
            if shown is None:
                hidden.append(f"{each.host.name} does not show the narrow role {name}")
            elif not same_value(written, *shown):
                value = (" × " if shown[1][:1].isdigit() else "").join(shown)  # 1024 × 8kB
                wrong.append(f"{each.host.name} runs with {name} {value}, not {written}")
    return of(
        f"{count} settings of {len(read(found))} servers are in force",
        wrong=wrong,
        unseen=[*unread(found), *unreadable, *hidden],
        unseen_fix=ON_CONTROLLER if unread(found) else "",
    )


def _parameters(whole: Flat) -> Iterator[tuple[str, str]]:
    for key, value in whole.items():
        name = key.removeprefix(_PARAMETERS)
        if key.startswith(_PARAMETERS) and name not in _OTHERS:
            yield name, value


def replication_slots(found: Found) -> Said:
    """The primary's slot for the other site is used; its local replicas have a copy that Patroni
    moves on with it, the standby site none: there it would keep WAL for ever."""
    wrong, doubtful, told = [], [], []
    primaries = {c.primary.host.name for c in found.view.clusters if c.primary is not None}
    blind = unread(found)
    ours = {slot_name(site.name) for site in found.policy.data_sites}
    for each, postgres in read(found):
        name = each.host.name
        other = slot_name(found.policy.other_data_site(each.host.site).name)
        for slot in postgres.slots:
            if slot.wal_status in ("lost", "unreserved"):
                wrong.append(
                    f"{name}: slot {slot.name} is {slot.wal_status}: its WAL goes, or is gone"
                )
            if slot.name in ours and each.host.site != found.view.active_site:
                wrong.append(f"{name}: the standby site keeps WAL for slot {slot.name}")
            if slot.logical:
                wrong.append(f"{name}: slot {slot.name} is logical: rows could leave through it")
        if name not in primaries:
            continue
        mine = next((slot for slot in postgres.slots if slot.name == other), None)
        if mine is None:
            wrong.append(f"{name}: there is no slot {other} for the other site")
        elif not mine.active:
            doubtful.append(f"{name}: nobody reads slot {other}")
        else:
            told.append(f"{name}: slot {other} is read, WAL status {mine.wal_status}")
    return of(
        "; ".join(told),
        wrong=wrong,
        doubtful=doubtful,
        unseen=[*blind, *no_primary(found)],
        unseen_fix=ON_CONTROLLER if blind else LOOK_AT_OBSERVERS,
    )


def collations(found: Found) -> Said:
    """An index that was built with another version of a collation is silently wrong after a
    move. C and its like have no version; where none is on record all hosts must have the same."""
    wrong, count = [], 0
    unrecorded: dict[tuple[str, str], dict[str, list[str]]] = {}
    for each, postgres in read(found):
        every = [*postgres.collations, *(c for d in postgres.databases for c in d.collations)]
        for collation in every:
            count += 1
            has = collation.actual or "none"
            if collation.recorded is None:
                hosts = unrecorded.setdefault((each.host.cluster, collation.where), {})
                hosts.setdefault(has, []).append(each.host.name)
            elif collation.recorded != collation.actual:
                wrong.append(
                    f"{each.host.name}: {collation.where} was made with version "
                    f"{collation.recorded}, and this host has {has}"
                )
    wrong += [
        f"{where} is of another version on each of: {_by_version(hosts)}"
        for (_, where), hosts in unrecorded.items()
        if len(hosts) > 1
    ]
    unseen = [*unread(found), *_closed(found)]
    return of(
        f"{count} collations in use have the version that they were made with, on "
        f"{len(read(found))} hosts",
        wrong=wrong,
        unseen=unseen,
        unseen_fix=ON_CONTROLLER,
    )


def _by_version(hosts: dict[str, list[str]]) -> str:
    return ", ".join(f"{'/'.join(names)} {version}" for version, names in sorted(hosts.items()))


def _closed(found: Found) -> list[str]:
    return [
        f"{each.host.name}: database {name} cannot be looked into ({why})"
        for each, postgres in read(found)
        for name, why in postgres.unread
    ]


def extensions(found: Found) -> Said:
    """What is in use must have its files on every host, of one version: catalogues are copied,
    files are not. An extension in a database may be older than the files: packages bring new ones,
    and ALTER EXTENSION comes later."""
    used = {
        (each.host.cluster, name, number, database.name)
        for each, postgres in read(found)
        for database in postgres.databases
        for name, number in database.extensions
    }
    wrong, doubtful = [], []
    for cluster, name, number, database in sorted(used):
        hosts = [(e.host.name, p) for e, p in read(found) if e.host.cluster == cluster]
        files = _files(hosts, name)
        bare = [host for host, _ in hosts if host not in files]
        unknown_to = [h for h, p in hosts if h in files and f"{name} {number}" not in p.available]
        used_by = f"{name} {number}, which database {database} uses"
        if bare:
            wrong.append(f"{', '.join(bare)} has no files of {used_by}")
        elif unknown_to and (len(unknown_to) < len(hosts) or len(set(files.values())) > 1):
            wrong.append(f"the files on {', '.join(unknown_to)} do not know {used_by}")
        elif unknown_to:
            version_there = next(iter(files.values()))
            doubtful.append(f"{used_by}, is older than the files of every host ({version_there})")
        elif len(set(files.values())) > 1:
            told = ", ".join(f"{host} {version_there}" for host, version_there in files.items())
            doubtful.append(f"files of different versions of {name}: {told}")
    names = sorted({f"{name} {number}" for _, name, number, _ in used})
    return of(
        f"{', '.join(names) or 'no extension'} on {len(read(found))} hosts",
        wrong=wrong,
        doubtful=list(dict.fromkeys(doubtful)),
        unseen=[*unread(found), *_closed(found)],
        unseen_fix=ON_CONTROLLER,
    )


def _files(hosts: list[tuple[HostName, PostgresFound]], extension: str) -> dict[str, str]:
    """Host → the version that its files of the extension are of; those without files are absent."""
    return {
        host: dict(postgres.extensions)[extension]
        for host, postgres in hosts
        if extension in dict(postgres.extensions)
    }


def _check(name: str, assumes: str, judge: Callable[[Found], Said], fix: str, source: str) -> Check:
    return Check(name, Subject.POSTGRESQL, assumes, fix, source, judge)


POSTGRESQL_CHECKS = (
    _check(
        "postgresql-answers",
        "The server of every database host answers the observers.",
        answers,
        "`systemctl status patroni` and Patroni's journal on that host.",
        "docs/architecture.md",
    ),
    _check(
        "replication-streaming",
        "Every standby receives WAL.",
        streaming,
        "`failover status`, and Patroni's journal on that host; `failover reseed` where its WAL is "
        "gone.",
        "docs/operations/reinstate.md",
    ),
    _check(
        "postgresql-version",
        "All servers of a cluster have the same version.",
        version,
        "Upgrade the standby site first, then move the group there, then the other.",
        "docs/operations/upgrade.md",
    ),
    _check(
        "postgresql-identity",
        "The hosts of both sites are copies of one cluster.",
        identity,
        "`failover reseed HOST` for the host that is not a copy.",
        "docs/architecture.md",
    ),
    _check(
        "rewind-ready",
        "Every server has checksums or `wal_log_hints`, and `full_page_writes`, so that a "
        "returning host can be rewound.",
        rewind,
        "Set wal_log_hints and full_page_writes to on, and restart the server.",
        "PostgreSQL's manual: pg_rewind",
    ),
    _check(
        "postgresql-settings",
        "What the scope's configuration says is in force in every server.",
        settings,
        "`patronictl reload SCOPE HOST`; where a restart is pending `patronictl restart SCOPE "
        "HOST`, standbys first, a primary after a switchover; `ALTER SYSTEM RESET` where "
        "postgresql.auto.conf says otherwise. What the role may not see: `SHOW` as a superuser.",
        "failover/render/templates/patroni.yml.j2",
    ),
    _check(
        "replication-slots",
        "The primary keeps WAL for the other site in a slot that is read, and the standby site "
        "keeps none.",
        replication_slots,
        "Patroni makes the slot of its configuration. `unreserved`: let its standby catch up now; "
        "`lost`: `failover reseed` for the host that read it. pg_drop_replication_slot() only for "
        "a slot that no standby will ever read again.",
        "docs/operations/reinstate.md",
    ),
    _check(
        "collations",
        "Both sites sort alike: indexes have the collation versions of every host's libraries.",
        collations,
        "Install the same libc and ICU on every host; where an index was built with another "
        "version, REINDEX and ALTER COLLATION … REFRESH VERSION.",
        "PostgreSQL's manual: ALTER COLLATION",
    ),
    _check(
        "extensions",
        "Every extension in use has its files on every host, of one version.",
        extensions,
        "Install the extension's package, in the same version, on every host; then ALTER EXTENSION "
        "… UPDATE in the databases.",
        "PostgreSQL's manual: CREATE EXTENSION",
    ),
)
