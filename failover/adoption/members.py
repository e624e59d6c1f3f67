"""Every member: versions, tags, its own patroni.yml, and our roles in its database. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator

from failover.adoption.difference import UNKNOWN, Difference, Wanted
from failover.adoption.facts import Member, Scope, Snapshot
from failover.adoption.needs import Effect, When
from failover.checks.flat import Flat
from failover.checks.host_report import BARRIER_KEYS, HOOK_KEYS
from failover.model import HostName, SiteName

GUIDE = "docs/operations/adopt.md"
CHECKS = "docs/checks.md"
POSTGRESQL_MAJOR = 17  # the guard's and the barriers' paths
PATRONI = "4.1.5"  # of the wheel; requirements-hosts.lock
_WELL = ("running", "streaming", "in archive recovery")
_BARS = ("nofailover", "nostream")  # such a host is never promoted
_USUAL_TAGS = (("failover_priority", "1"), ("sync_priority", "1"))
_OTHER_DCS = "docs/operations/etcd-to-zookeeper.md"
# What a change of the file costs, where it is more than a reload.
_RESTARTS = ("scope", "namespace", "name", "zookeeper", "postgresql.data_dir", "postgresql.bin_dir")
_ARMING = (
    *("scope", "namespace", "name", "postgresql.data_dir", "postgresql.bin_dir"),
    "restapi.authentication.username",
)
_OPTIONAL = "postgresql.use_pg_rewind"  # set in the dynamic configuration as well


def of_members(
    scope: Scope, site: SiteName, snapshot: Snapshot, wanted: Wanted
) -> Iterator[Difference]:
    known = {host.name: host for host in wanted.cluster.at(site)}
    for name in sorted(set(known) - {member.name for member in scope.members}):
        wanted_as = f"a member of {scope.name}"
        yield _arm(str(name), "member", "not a member", wanted_as, "it is in failover.yaml")
    for member in scope.members:
        if member.name not in known:
            why = f"not among the hosts at {site}"
            yield _arm(member.name, "host", why, "in failover.yaml", "guards go by it")
            continue
        yield from _of_member(member, scope, snapshot)
        yield from _file(member, scope, wanted)
    leader = scope.leader
    if leader is not None and scope is snapshot.primary:
        yield from _database(leader)
    if len(scope.members) == 1:
        yield Difference(
            scope.name,
            "members",
            "1",
            "2",
            When.LATER,
            Effect.COPY,
            "with one host a site the loss of a host is the loss of the site",
            "docs/operations/install.md",
        )


def _arm(
    where: str, key: str, found: str, wanted: str, why: str, effect: Effect = Effect.NONE
) -> Difference:
    return Difference(where, key, found, wanted, When.ARM, effect, why, GUIDE)


# --------------------------------------------------------------------------- what it says of itself


def _of_member(member: Member, scope: Scope, snapshot: Snapshot) -> Iterator[Difference]:
    if member.problem:
        found = f"{UNKNOWN}: {member.problem}"
        yield _arm(member.name, "Patroni", found, "it answers", "it is asked all the time")
        return
    if member.state not in _WELL:
        yield _arm(member.name, "state", member.state, "running or streaming", "it serves nobody")
    yield from _versions(member, snapshot)
    yield from _identity(member, snapshot)
    yield from _tags(member)
    if member.pending_restart:
        yield Difference(
            member.name,
            "pending_restart",
            ", ".join(member.pending_restart),
            "none",
            When.AUTOMATION,
            Effect.POSTGRESQL,
            "what is configured is not in force",
            CHECKS,
            do=(f"patronictl restart {scope.name} {member.name}: a primary when it suits",),
        )


def _versions(member: Member, snapshot: Snapshot) -> Iterator[Difference]:
    version = member.server_version
    if version is not None and version // 10000 != POSTGRESQL_MAJOR:
        yield Difference(
            member.name,
            "PostgreSQL",
            f"{version // 10000}.{version % 10000}",
            str(POSTGRESQL_MAJOR),
            When.ARM,
            Effect.MOVE,
            "guard and barriers know the programs of /usr/lib/postgresql/17/bin alone",
            GUIDE,
            do=("upgrade the pair first",),
        )
    newest = max((m.server_version or 0 for m in snapshot.members), default=0)
    if version is not None and version // 10000 == newest // 10000 and version != newest:
        yield Difference(
            member.name,
            "PostgreSQL",
            f"{version // 10000}.{version % 10000}",
            f"{newest // 10000}.{newest % 10000}",
            When.LATER,
            Effect.POSTGRESQL,
            "all servers of a cluster have one version",
            "docs/operations/upgrade.md",
        )
    if member.patroni_version and member.patroni_version != PATRONI:
        yield Difference(
            member.name,
            "Patroni",
            member.patroni_version,
            PATRONI,
            When.KNOW,
            Effect.PATRONI,
            "the rendered unit starts the Patroni of the wheel, with a connection to ZooKeeper "
            "that leaves a silent server in time",
            "docs/decisions/0006-patroni-leaves-silent-servers.md",
        )


def _identity(member: Member, snapshot: Snapshot) -> Iterator[Difference]:
    leader = snapshot.primary.leader
    if leader is None or not (leader.system_identifier and member.system_identifier):
        return
    if member.system_identifier != leader.system_identifier:
        found, want = member.system_identifier, leader.system_identifier
        why = f"it is not a copy of {leader.name}"
        yield _arm(member.name, "system identifier", found, want, why, Effect.COPY)


def _tags(member: Member) -> Iterator[Difference]:
    for tag, value in member.tags:
        if value in ("off", "") or (tag, value) in _USUAL_TAGS:
            continue
        barred = tag in _BARS or (tag == "failover_priority" and value == "0")
        yield Difference(
            member.name,
            f"tags.{tag}",
            value,
            "not set",
            When.AUTOMATION if barred else When.LATER,
            Effect.RELOAD,
            "such a host is never promoted, and a takeover may need it"
            if barred
            else "hosts of a site are alike; `failover check` warns of it",
            CHECKS,
            do=("take it out of patroni.yml; patronictl reload",),
        )


def _database(leader: Member) -> Iterator[Difference]:
    if leader.narrow is True:
        return
    yield Difference(
        leader.name,
        "roles and functions",
        "none of ours" if leader.narrow is False else f"{UNKNOWN}: {leader.settings_problem}",
        "failover_observer and the functions of schema failover",
        When.ARM,
        Effect.NONE,
        "controllers look at replication as a role that can read no row",
        "docs/architecture.md#invariants",
        do=("on the primary: failover adopt sql | psql -X -v ON_ERROR_STOP=1 postgres",),
    )


# --------------------------------------------------------------------------- its own file


def _file(member: Member, scope: Scope, wanted: Wanted) -> Iterator[Difference]:
    if member.file is None:
        yield Difference(
            member.name,
            "patroni.yml",
            f"{UNKNOWN}: its file was not given",
            "as rendered, your own parts kept",
            When.ARM,
            Effect.PATRONI,
            "barriers, hook, pg_hba and the store are said there",
            GUIDE + "#4-the-hosts",
            do=("give a copy of it: --patroni-yml FILE",),
        )
        return
    if member.dcs not in ("zookeeper", ""):
        why = "takeover is one transaction of ZooKeeper over both scopes"
        yield Difference(
            member.name,
            "store",
            member.dcs,
            "zookeeper",
            When.ARM,
            Effect.MOVE,
            why,
            _OTHER_DCS,
            do=(f"under Patroni's pause: {_OTHER_DCS}",),
        )
    rendered = wanted.expected.host(HostName(member.name))
    yield from _barriers(member, rendered.patroni)
    yield from _written(member, rendered.patroni)
    yield from _hba(member, scope)
    for key, program in member.file:
        if key.startswith(("postgresql.callbacks.", "postgresql.before_stop")):
            yield Difference(
                member.name,
                key,
                program,
                "yours",
                When.KNOW,
                Effect.NONE,
                "it goes on being called; what it waits for, a failover waits for",
                GUIDE,
            )


def _barriers(member: Member, rendered: Flat) -> Iterator[Difference]:
    keys = [key for key in rendered if key.startswith(BARRIER_KEYS) or key in HOOK_KEYS]
    wrong = [key for key in keys if not _is_ours(member.written(key), rendered[key])]
    if not wrong:
        return
    own = [f"{key} is {member.written(key)}" for key in wrong if member.written(key)]
    yield Difference(
        member.name,
        "barriers",
        ", ".join(own) or "none",
        "postgres, pg_ctl, pg_rewind and pre_promote are the guard's",
        When.ARM,
        Effect.RELOAD,
        "nothing starts, promotes or rewinds there without the guard"
        + (": what you call in their place goes, or moves to a callback" if own else ""),
        "docs/architecture.md#becoming-and-staying-writable",
        do=(
            "with the guard running: these lines of the rendered patroni.yml, patronictl reload",
            *(f"{key}: {rendered[key]}" for key in keys),
        ),
    )


def _is_ours(written: str | None, rendered: str) -> bool:
    """Of a program with arguments only the program was read."""
    return written is not None and written.partition(" ")[0] == rendered.partition(" ")[0]


def _written(member: Member, rendered: Flat) -> Iterator[Difference]:
    for key, value in rendered.items():
        found = member.written(key)
        barrier = key.startswith(BARRIER_KEYS) or key in HOOK_KEYS
        if barrier or found == value or (found is None and value in ("off", "{}")):
            continue
        if key == _OPTIONAL and found is None:
            continue
        restarts = key.split(".hosts")[0] in _RESTARTS
        yield Difference(
            member.name,
            key,
            found or "not set",
            value,
            When.ARM if key in _ARMING else When.AUTOMATION,
            Effect.PATRONI if restarts else Effect.RELOAD,
            _why(key),
            CHECKS,
            do=_how(key, found, value),
        )


def _why(key: str) -> str:
    if key == "restapi.authentication.username":
        return "whoever reaches the port could delete a data directory (POST /reinitialize)"
    if key == "zookeeper.hosts":
        return "never the witness: dialling a dead one cost a healthy primary its lease"
    if key == "postgresql.data_dir":
        return "guard and barriers know the data by this path; a link to where it is will do"
    if key.startswith("postgresql.authentication."):
        return "pg_hba and the roles' checks name it"
    return "`failover check` holds it against the rendered patroni.yml"


def _how(key: str, found: str | None, value: str) -> tuple[str, ...]:
    if key == "postgresql.data_dir" and found:
        return (f"ln -s {found} {value}", f"{key}: {value}")
    return (f"{key}: {value}",)


def _hba(member: Member, scope: Scope) -> Iterator[Difference]:
    lines = _lines(member.written("postgresql.pg_hba"))
    lines += _lines(scope.settings.get("postgresql.pg_hba"))
    words = [line.split() for line in lines]
    observers = any(len(each) > 2 and each[2] == "failover_observer" for each in words)
    local = any(_lets_postgres_in(each) for each in words)
    if not words:
        found = f"{UNKNOWN}: none in patroni.yml nor in the dynamic configuration"
    else:
        missing = [name for name, has in (("controllers", observers), ("guard", local)) if not has]
        if not missing:
            return
        found = f"no line for: {', '.join(missing)}"
    yield Difference(
        member.name,
        "postgresql.pg_hba",
        found,
        "the rendered lines for failover_observer, and postgres by peer on the unix socket",
        When.ARM,
        Effect.RELOAD,
        "controllers look at every server; the guard asks its own one where its WAL ends",
        CHECKS,
        do=("add them from the rendered patroni.yml, before lines that refuse; patronictl reload",),
    )


def _lines(text: str | None) -> list[str]:
    try:
        found = json.loads(text or "[]")
    except ValueError:
        return []
    return [str(line) for line in found] if isinstance(found, list) else []


def _lets_postgres_in(words: list[str]) -> bool:
    """The first matching line counts; a reject in front of it nobody writes for postgres."""
    return (
        len(words) >= 4
        and words[0] == "local"
        and words[1] in ("all", "postgres")
        and words[2] in ("all", "postgres")
        and words[3] in ("peer", "trust")
    )
