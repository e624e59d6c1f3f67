"""How old each cluster's newest backup is in reach of each data site, and where it is. Pure.

Where: by pgBackRest's own configuration on the database hosts, compared with what failover.yaml
declares. What the repository's host does with it later nobody here can see.
"""

from __future__ import annotations

from collections.abc import Iterator

from failover.checks.found import Found, HostFound
from failover.checks.host_report import REPOSITORY_HERE, BackupOnHost
from failover.checks.result import Check, Said, Subject, listed, of, together, warning
from failover.health.observation import NoAnswer
from failover.policy import BackupPromise, Cluster, Purpose

CLOCKS_APART_S = 300.0
_HOUR_S = 3600.0
_UNDECLARED = (
    "Say `clusters.CLUSTER.backup` in failover.yaml, as docs/operations/backups.md has it."
)


def backups(found: Found) -> Said:
    """Too old at every site is wrong; at one site a doubt: its loss of the other finds none."""
    silent = [c.name for c in found.policy.clusters if c.backup is None]
    wrong: list[str] = []
    doubtful: list[str] = []
    unseen: list[str] = []
    told: list[str] = []
    for cluster in found.policy.clusters:
        if cluster.backup is not None:
            _cluster(found, cluster, cluster.backup, wrong, doubtful, unseen, told)
    undeclared = [f"nothing is declared of the backups of {listed(silent)}"] if silent else []
    if undeclared and not (wrong or doubtful or unseen):
        return warning(undeclared[0], _UNDECLARED)
    return of(listed(told), wrong=wrong, doubtful=[*doubtful, *undeclared], unseen=unseen)


def _cluster(
    found: Found,
    cluster: Cluster,
    promise: BackupPromise,
    wrong: list[str],
    doubtful: list[str],
    unseen: list[str],
    told: list[str],
) -> None:
    hosts = [each for each in found.hosts if each.host.cluster == cluster.name]
    seen, blind = _read(hosts)
    late, young = [], []
    for site in found.policy.data_sites:
        here = [status for each, status in seen if each.host.site == site.name]
        if not here:
            continue
        newest = max((s.ended_unix_s for s in here if s.ended_unix_s is not None), default=None)
        age_s = None if newest is None else found.view.now_unix_s - newest
        where = ", ".join(sorted({place for status in here for place in status.places}))
        text = f"{cluster.name} in {site.name}: {_told(age_s, promise)} (on {where})"
        good = age_s is not None and -CLOCKS_APART_S <= age_s <= promise.max_age_s
        (young if good else late).append(text)
    told += young
    blind_sites = {each.host.site for each in hosts} - {each.host.site for each, _ in seen}
    (doubtful if young else unseen if blind_sites else wrong).extend(late)
    unseen += together(blind, "its backups are not known")
    wrong += _abroad(found, seen)


def _read(
    hosts: list[HostFound],
) -> tuple[list[tuple[HostFound, BackupOnHost]], list[tuple[str, str]]]:
    """What was read; and (host, why) of those that know nothing."""
    seen, blind = [], []
    for each in hosts:
        if isinstance(each.report, NoAnswer):
            blind.append((str(each.host.name), each.report.detail))
        elif (status := each.report.backup) is None:
            blind.append(
                (str(each.host.name), "its guard is older, or read an older failover.yaml")
            )
        elif status.problem:
            blind.append((str(each.host.name), status.problem))
        else:
            seen.append((each, status))
    return seen, blind


def _told(age_s: float | None, promise: BackupPromise) -> str:
    limit = f"{promise.max_age_s / _HOUR_S:.0f} h"
    if age_s is None:
        return "no good backup is known"
    if age_s < -CLOCKS_APART_S:
        return "the newest good backup ends in the future"
    return f"the newest good backup ended {age_s / _HOUR_S:.1f} h ago, of {limit}"


def _abroad(found: Found, seen: list[tuple[HostFound, BackupOnHost]]) -> Iterator[str]:
    """Repositories that are no declared endpoint for backup, or one that is outside now."""
    endpoints = found.policy.residency.endpoints
    names = {str(each.host): each.name for each in endpoints if each.purpose is Purpose.BACKUP}
    outside = {each.name: each.outside for each in found.endpoints if each.outside}
    for place in sorted({p for _, status in seen for p in status.places} - {REPOSITORY_HERE}):
        who = ", ".join(each.host.name for each, status in seen if place in status.places)
        if place not in names:
            yield f"{who}: a repository is at {place}, which is declared nowhere for backup"
        elif addresses := outside.get(names[place]):
            yield f"{who}: the repository {place} stands in {', '.join(addresses)}, outside"


BACKUP_CHECKS = (
    Check(
        "backups",
        Subject.HOSTS,
        "Each cluster has, in reach of each data site, a good backup that is young enough, in a "
        "repository that is declared for it.",
        "`pgbackrest check` at the active site, then its timers and the pull at the other one: "
        "docs/operations/backups.md.",
        "docs/operations/backups.md",
        backups,
    ),
)
