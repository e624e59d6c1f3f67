"""How old each cluster's newest backup is in reach of each data site, and where it is. Pure.

Where: by pgBackRest's own configuration on the database hosts, compared with what failover.yaml
declares. What the repository's host does with it later nobody here can see, nor a file system that
a host mounts from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from failover.checks.found import Found, HostFound
from failover.checks.host_report import REPOSITORY_HERE, BackupOnHost
from failover.checks.result import Check, Said, Subject, Verdict, listed, of, together
from failover.health.observation import NoAnswer
from failover.policy import BackupPromise, Cluster, Purpose, Site

CLOCKS_APART_S = 300.0
_HOUR_S = 3600.0
Told = tuple[Verdict, str]
Read = tuple[HostFound, BackupOnHost]


def backups(found: Found) -> Said:
    """Too old at every site is wrong; at one site a doubt: its loss of the other finds none."""
    told = [each for cluster in found.policy.clusters for each in _cluster(found, cluster)]

    def of_kind(verdict: Verdict) -> list[str]:
        return [text for kind, text in told if kind is verdict]

    return of(
        listed(of_kind(Verdict.OK)),
        wrong=of_kind(Verdict.FAILED),
        doubtful=of_kind(Verdict.WARNING),
        unseen=of_kind(Verdict.UNKNOWN),
    )


def _cluster(found: Found, cluster: Cluster) -> Iterator[Told]:
    if cluster.backup is None:
        yield Verdict.WARNING, f"nothing is declared of the backups of {cluster.name}"
        return
    hosts = [each for each in found.hosts if each.host.cluster == cluster.name]
    every = [(each, status) for each in hosts if (status := _status(each)) is not None]
    yield from ((Verdict.FAILED, text) for text in _abroad(found, every))
    seen = [(each, status) for each, status in every if not status.problem]
    blind = [(str(each.host.name), why) for each in hosts if (why := _why_blind(each))]
    yield from ((Verdict.UNKNOWN, t) for t in together(blind, "its backups are not known"))
    yield from _ages(found, cluster, cluster.backup, seen)


def _status(each: HostFound) -> BackupOnHost | None:
    return None if isinstance(each.report, NoAnswer) else each.report.backup


def _why_blind(each: HostFound) -> str:
    """Empty: it is not."""
    if isinstance(each.report, NoAnswer):
        return each.report.detail
    if each.report.backup is None:
        return "its guard is older, or read an older failover.yaml"
    return each.report.backup.problem


def _ages(
    found: Found, cluster: Cluster, promise: BackupPromise, seen: list[Read]
) -> Iterator[Told]:
    """Of each data site of which something was read: age and place of the newest."""
    late: list[str] = []
    young: list[str] = []
    for site in found.policy.data_sites:
        here = [(each, status) for each, status in seen if each.host.site == site.name]
        if not here:
            continue
        ends = [s.ended_unix_s for _, s in here if s.ended_unix_s is not None]
        age_s = found.view.now_unix_s - max(ends) if ends else None
        places = {_place(found, each, place) for each, s in here for place in s.places}
        where = ", ".join(sorted(text for text, _ in places))
        text = f"{cluster.name} in {site.name}: {_told(age_s, promise)} (at {where})"
        good = age_s is not None and -CLOCKS_APART_S <= age_s <= promise.max_age_s
        (young if good else late).append(text)
        if not any(site.name in sites for _, sites in places):
            yield Verdict.WARNING, f"{cluster.name}: no repository in {site.name}, only at {where}"
    yield from ((Verdict.OK, text) for text in young)
    unread = {site.name for site in found.policy.data_sites} - {e.host.site for e, _ in seen}
    kind = Verdict.WARNING if young else Verdict.UNKNOWN if unread else Verdict.FAILED
    yield from ((kind, text) for text in late)


def _told(age_s: float | None, promise: BackupPromise) -> str:
    if age_s is None:
        return "no good backup is known"
    if age_s < -CLOCKS_APART_S:
        return "the newest good backup ends in the future"
    limit_h = promise.max_age_s / _HOUR_S
    return f"the newest good backup ended {age_s / _HOUR_S:.1f} h ago, of {limit_h:g} h"


def _place(found: Found, each: HostFound, place: str) -> tuple[str, tuple[str, ...]]:
    """A repository with its site, and that site's name: more than one, or none, where its name
    stands for that."""
    if place == REPOSITORY_HERE:
        return f"{each.host.name} in {each.host.site}", (each.host.site,)
    name = _endpoints(found).get(place)
    addresses = {a for e in found.endpoints if e.name == name for a in e.addresses}
    sites = tuple(s.name for s in found.policy.sites if any(_stands_in(a, s) for a in addresses))
    return f"{place} in {' and '.join(sites) or 'no declared network'}", sites


def _stands_in(address: str, site: Site) -> bool:
    return any(ip_address(address) in network for network in site.networks)


def _endpoints(found: Found) -> dict[str, str]:
    """Names of the declared endpoints for backup, by their hosts."""
    declared = found.policy.residency.endpoints
    return {str(each.host): each.name for each in declared if each.purpose is Purpose.BACKUP}


def _abroad(found: Found, read: list[Read]) -> Iterator[str]:
    """Repositories that are no declared endpoint for backup, or one that is outside now."""
    names = _endpoints(found)
    outside = {each.name: each.outside for each in found.endpoints if each.outside}
    for place in sorted({p for _, status in read for p in status.places} - {REPOSITORY_HERE}):
        who = ", ".join(each.host.name for each, status in read if place in status.places)
        if place not in names:
            yield f"{who}: a repository is at {place}, which is declared nowhere for backup"
        elif addresses := outside.get(names[place]):
            yield f"{who}: the repository {place} stands in {', '.join(addresses)}, outside"


BACKUP_CHECKS = (
    Check(
        "backups",
        Subject.HOSTS,
        "Each cluster has, in reach of each data site, a good backup that is young enough, in a "
        "repository of that site that is declared for it.",
        "Say `clusters.CLUSTER.backup` where nothing is declared; else `pgbackrest check` at the "
        "active site, its timers, the pull at the other one: docs/operations/backups.md.",
        "docs/operations/backups.md",
        backups,
    ),
)
