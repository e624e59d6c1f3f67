"""What stands in the catalogues of every database of a server, against the rule. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from failover.model import HostName
from failover.residency.facts import Catalogues, DatabaseFacts, SharedFacts
from failover.residency.findings import Finding
from failover.residency.judge import limited
from failover.residency.ways import DENIED_EXTENSIONS, SETTINGS, TRIGGERS

SUPERUSERS = ("postgres",)
REPLICATION_ROLES = (*SUPERUSERS, "replicator", "replicator_2", "failover_cutter")
PROGRAM_ROLES = (
    "pg_execute_server_program",
    "pg_write_server_files",
    "pg_read_server_files",
    "pg_create_subscription",
)


def judge_catalogues(host: HostName, facts: Catalogues) -> tuple[Finding, ...]:
    """Everything that one look into the databases shows of one server."""
    found = [*_shared(host, facts.shared)]
    for database in facts.databases:
        found += _database(host, database)
    for name, why in facts.unread:
        found.append(Finding("unseen", host, f"database {name}", why))
    return limited(found)


def _shared(host: HostName, facts: SharedFacts) -> Iterator[Finding]:
    for role in facts.roles:
        if role.superuser and role.name not in SUPERUSERS:
            yield Finding("superuser_role", host, role.name, "")
        elif role.replication and role.name not in REPLICATION_ROLES:
            yield Finding("replication_role", host, role.name, "")
    superusers = {*SUPERUSERS, *(role.name for role in facts.roles if role.superuser)}
    for granted, member in facts.members:
        if granted in superusers:  # SET ROLE makes one of him
            yield Finding("superuser_role", host, f"{member} in {granted}", "")
        elif granted in PROGRAM_ROLES:
            yield Finding("program_role", host, f"{member} in {granted}", "")
    for database, name in facts.subscriptions:
        yield Finding("subscription", host, f"{database}/{name}", "")
    for database, role_name, name in facts.settings:
        if name in SETTINGS:
            where = f"database {database or 'any'}, role {role_name or 'any'}"
            yield Finding("setting", host, f"{name} of {where}", "")


def _database(host: HostName, facts: DatabaseFacts) -> Iterator[Finding]:
    at = facts.name
    for name in facts.publications:
        yield Finding("publication", host, f"{at}/{name}", "")
    for name, wrapper, points_to in facts.servers:
        yield Finding("foreign_server", host, f"{at}/{name}", f"{wrapper} {points_to}".strip())
    for name in facts.mappings:
        yield Finding("foreign_server", host, f"{at}/{name}", "user mapping")
    for name in facts.extensions:
        if name in DENIED_EXTENSIONS:
            yield Finding("extension", host, f"{at}/{name}", "")
    for name in facts.languages:
        yield Finding("untrusted_language", host, f"{at}/{name}", "")
    for name in facts.c_functions:
        yield Finding("c_function", host, f"{at}/{name}", "")
    for name in TRIGGERS:
        if name not in facts.triggers:
            yield Finding("trigger_missing", host, f"{at}/{name}", "")
