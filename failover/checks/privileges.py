"""What each role may do: the controllers' cannot read a row (I7), and nobody has more than he
needs.

Pure. Superusers and roles with REPLICATION that nobody declared are ``residency``'s as well.
"""

from __future__ import annotations

from collections.abc import Iterator

from failover.checks.found import (
    ExpectedFunction,
    Found,
    FunctionFound,
    HostFound,
    PostgresFound,
    RoleFound,
)
from failover.checks.postgresql import ON_CONTROLLER, read, unread
from failover.checks.result import Check, Said, Subject, of

OBSERVER = "failover_observer"
# Two that take turns when a password is replaced: docs/operations/passwords.md.
REPLICATORS = ("replicator", "replicator_2")
REWINDERS = ("rewinder", "rewinder_2")
FUNCTION_OWNERS = ("failover_functions", "failover_cutter")
BLIND = (OBSERVER, *FUNCTION_OWNERS, *REPLICATORS)  # none of them reads a customer's row
SCHEMA = "failover."
DATABASE = "postgres"  # where they are: residency.sql and post-bootstrap.sql
SEARCH_PATH = "search_path=pg_catalog, pg_temp"

# Role → attributes and memberships that it is meant to have; a cluster's client role is added.
MEANT: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    OBSERVER: (("login",), ("pg_use_reserved_connections",)),
    "failover_functions": ((), ("pg_checkpoint", "pg_read_all_settings", "pg_read_all_stats")),
    "failover_cutter": (("replication",), ("pg_read_all_stats", "pg_signal_backend")),
    **dict.fromkeys(REPLICATORS, (("login", "replication"), ())),
    **dict.fromkeys(REWINDERS, (("login",), ())),
}
NEEDED = (OBSERVER, "failover_functions", "failover_cutter")


def observer(found: Found) -> Said:
    """The narrow role: no table, no powerful role, only functions of ours."""
    wrong = [
        f"{each.host.name}: {text}"
        for each, postgres in primaries(found)
        for text in _observer(postgres)
    ]
    tables = sum(len(p.databases) for _, p in primaries(found))
    return of(
        f"{OBSERVER} may select from nothing in {tables} databases, and calls functions of ours "
        f"alone",
        wrong=wrong,
        unseen=[*_no_primary(found), *_closed(found)],
        unseen_fix=ON_CONTROLLER,
    )


def _observer(postgres: PostgresFound) -> Iterator[str]:
    for role in postgres.roles:
        if role.name == OBSERVER:
            yield from _beyond(role, *MEANT[OBSERVER])
    for database in postgres.databases:
        mine = [relation for role, relation in database.readable if role == OBSERVER]
        if mine:
            yield f"{OBSERVER} may read {_few(mine)} in {database.name}"
        for function in database.functions:
            beyond = function.definer and not function.signature.startswith(SCHEMA)
            if function.observer and beyond:
                yield (
                    f"{OBSERVER} may call {function.signature} in {database.name}, with the rights "
                    f"of {function.owner}"
                )


def roles(found: Found) -> Said:
    wrong, doubtful, count = [], [], 0
    for each, postgres in primaries(found):
        name = each.host.name
        meant = {**MEANT, each.host.cluster: (("login",), ())}
        there = {role.name: role for role in postgres.roles}
        for missing in sorted(set(NEEDED) - set(there)):
            wrong.append(f"{name}: there is no role {missing}")
        for role_name, (attributes, member_of) in meant.items():
            if role_name in there and role_name != OBSERVER:
                count += 1
                wrong += [f"{name}: {t}" for t in _beyond(there[role_name], attributes, member_of)]
            if role_name in there and role_name in FUNCTION_OWNERS:
                lacking = sorted(set(member_of) - set(there[role_name].member_of))
                wrong += [f"{name}: {role_name} is no member of {each}" for each in lacking]
        doubtful += [f"{name}: {text}" for text in _let_in(postgres, each.host.cluster)]
        for database in postgres.databases:
            for role_name in BLIND[1:]:
                mine = [relation for role, relation in database.readable if role == role_name]
                if mine:
                    wrong.append(f"{name}: {role_name} may read {_few(mine)} in {database.name}")
    return of(
        f"{count} roles have what they need and no more",
        wrong=wrong,
        doubtful=doubtful,
        unseen=[*_no_primary(found), *_closed(found)],
        unseen_fix=ON_CONTROLLER,
    )


def _let_in(postgres: PostgresFound, cluster: str) -> Iterator[str]:
    """pg_hba lets the members of the clients' role in, of whatever it is a member besides."""
    members, before = {cluster}, set[str]()
    while members != before:
        before = members
        members = before | {role.name for role in postgres.roles if before & set(role.member_of)}
    for role in postgres.roles:
        if role.name in members - {cluster}:
            beyond = _beyond(role, ("login",), (cluster,))
            yield from (f"{text}, and is let in as a member of {cluster}" for text in beyond)


def functions(found: Found) -> Said:
    """Those of this version, each as it is rendered; others in our schema have to be narrow."""
    wrong, doubtful, count = [], [], 0
    for each, postgres in primaries(found):
        expected = {f.signature: f for f in found.expected.host(each.host.name).functions}
        there = dict(_ours(postgres))
        count += len(expected)
        for wanted in expected.values():
            function = there.get((DATABASE, wanted.signature))
            if function is not None:
                wrong += [f"{each.host.name}: {t}" for t in _as_rendered(function, wanted)]
            elif DATABASE not in dict(postgres.unread):
                wrong.append(f"{each.host.name}: {wanted.signature} is not there")
        for (database, signature), function in there.items():
            if function.definer and not (database == DATABASE and signature in expected):
                where = f"{each.host.name}: {signature} in {database}"
                wrong += [f"{where} {text}" for text in _too_wide(function)]
                doubtful.append(f"{where} is none of this version's")
    return of(
        f"{count} functions are as rendered, with the rights of roles that nobody logs in as",
        wrong=wrong,
        doubtful=doubtful,
        unseen=[*_no_primary(found), *_closed(found)],
        unseen_fix=ON_CONTROLLER,
    )


def _ours(postgres: PostgresFound) -> Iterator[tuple[tuple[str, str], FunctionFound]]:
    """By database and signature."""
    for database in postgres.databases:
        for function in database.functions:
            if function.signature.startswith(SCHEMA):
                yield (database.name, function.signature), function


def _as_rendered(function: FunctionFound, wanted: ExpectedFunction) -> Iterator[str]:
    name = wanted.signature
    if not function.definer:
        yield f"{name} has not its owner's rights (SECURITY DEFINER)"
    if function.owner != wanted.owner:
        yield f"{name} has the rights of {function.owner}, not {wanted.owner}"
    if function.settings != (SEARCH_PATH,):
        yield f"{name} runs with {', '.join(function.settings) or 'no search_path'}"
    if function.sha256 != wanted.sha256:
        yield f"{name} is not that of this version"
    if not function.observer:
        yield f"{OBSERVER} may not call {name}"
    yield from (f"{name} {text}" for text in _called_by_others(function))


def _called_by_others(function: FunctionFound) -> Iterator[str]:
    if function.public:
        yield "may be called by everybody"
    if others := sorted(set(function.callers) - {OBSERVER}):
        yield f"may be called by {_few(others)}"


def _too_wide(function: FunctionFound) -> Iterator[str]:
    if function.owner not in FUNCTION_OWNERS:
        yield f"has the rights of {function.owner}"
    yield from _called_by_others(function)


def _beyond(
    role: RoleFound, attributes: tuple[str, ...], member_of: tuple[str, ...]
) -> Iterator[str]:
    for attribute in sorted(set(role.attributes) - set(attributes)):
        yield f"{role.name} has {attribute.upper()}"
    for granted in sorted(set(role.member_of) - set(member_of)):
        yield f"{role.name} is a member of {granted}"


def primaries(found: Found) -> tuple[tuple[HostFound, PostgresFound], ...]:
    """Catalogues are the same on every copy: the primary's are the newest."""
    return tuple((each, postgres) for each, postgres in read(found) if not postgres.in_recovery)


def _no_primary(found: Found) -> list[str]:
    seen = {each.host.cluster for each, _ in primaries(found)}
    missing = [c.name for c in found.policy.clusters if c.name not in seen]
    if missing and (silent := unread(found)):
        return silent
    return [f"{name}: no primary was asked" for name in missing]


def _closed(found: Found) -> list[str]:
    return [
        f"{each.host.name}: database {name} cannot be looked into ({why})"
        for each, postgres in primaries(found)
        for name, why in postgres.unread
    ]


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


PRIVILEGE_CHECKS = (
    Check(
        "observer-privileges",
        Subject.PRIVILEGES,
        "The controllers' role cannot read a row, and is in no role that could.",
        f"REVOKE it from {OBSERVER}. Where PUBLIC has it, GRANT it first to the roles of the "
        "applications that use it, then REVOKE it from PUBLIC.",
        "invariant I7",
        observer,
    ),
    Check(
        "role-privileges",
        Subject.PRIVILEGES,
        "The other roles of this program, Patroni's and the clients' have what they need and no "
        "more.",
        "REVOKE or GRANT the membership, or ALTER ROLE … NO…; post-bootstrap.sql has what each "
        "needs.",
        "failover/render/templates/post-bootstrap.sql.j2",
        roles,
    ),
    Check(
        "narrow-functions",
        Subject.PRIVILEGES,
        "The functions through which controllers look are those of this version, with narrow "
        "owners, their own search_path and no other callers.",
        "Run the rendered residency.sql again on the primary; of post-bootstrap.sql, which makes "
        "roles and cannot be run twice, the CREATE FUNCTION (OR REPLACE), ALTER FUNCTION, REVOKE "
        "and GRANT of what is named, its owner's too. DROP FUNCTION for what is left of another "
        "version.",
        "failover/render/templates/residency.sql.j2",
        functions,
    ),
)
