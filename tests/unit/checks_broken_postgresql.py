"""What the checks of PostgreSQL and of its roles and functions are to find.

Each row breaks one assumption of a world in order, and names the check that has to say so, and how.
"""

from __future__ import annotations

from dataclasses import replace

from checks_world import (
    Break,
    Broken,
    read_as,
    seen_as,
    setting,
)
from cli_world import REFUSED

from failover.checks.found import (
    CollationFound,
    Found,
    FunctionFound,
    PostgresFound,
    RoleFound,
    SlotFound,
)
from failover.checks.privileges import OBSERVER, SEARCH_PATH
from failover.checks.result import Verdict

F, W, U = Verdict.FAILED, Verdict.WARNING, Verdict.UNKNOWN


def role(name: str, attributes: tuple[str, ...], member_of: tuple[str, ...] = ()) -> Break:
    def made(postgres: PostgresFound) -> PostgresFound:
        others = tuple(r for r in postgres.roles if r.name != name)
        return replace(postgres, roles=(*others, RoleFound(name, attributes, member_of)))

    return read_as("jkt-db1", made)


def database(**changes: object) -> Break:
    def made(postgres: PostgresFound) -> PostgresFound:
        inside = replace(postgres.databases[0], **changes)  # type: ignore[arg-type]
        return replace(postgres, databases=(inside, *postgres.databases[1:]))

    return read_as("jkt-db1", made)


def narrow(name: str, **changes: object) -> Break:
    """Breaks one of the functions through which controllers look."""

    def made(postgres: PostgresFound) -> PostgresFound:
        *others, theirs = postgres.databases
        functions = tuple(
            replace(f, **changes) if f.signature.startswith(name) else f  # type: ignore[arg-type]
            for f in theirs.functions
        )
        return replace(postgres, databases=(*others, replace(theirs, functions=functions)))

    return read_as("jkt-db1", made)


def one_more(signature: str, owner: str = "failover_functions", **changes: object) -> Break:
    """A function with its owner's rights that the controllers may call, in the group's database."""
    made = FunctionFound(
        *(signature, owner, False, True, True, (OBSERVER,), (SEARCH_PATH,)), sha256="0" * 64
    )
    return database(functions=(replace(made, **changes),))  # type: ignore[arg-type]


def older_files(*names: str) -> Break:
    """The files of these hosts do not know the version of pg_trgm that is in use."""
    older = (("plpgsql", "1.0"), ("pg_trgm", "1.5"))
    known = frozenset({"plpgsql 1.0", "pg_trgm 1.5"})

    def made(found: Found) -> Found:
        for name in names:
            found = read_as(name, lambda p: replace(p, available=known, extensions=older))(found)
        return found

    return made


def sorted_by(**versions: str | None) -> Break:
    """A database with no version of its collation on record; what each host's libraries have."""

    def made(found: Found) -> Found:
        for name, version in versions.items():
            collations = (CollationFound("database x", None, version),)
            host = name.replace("_", "-")
            found = read_as(host, lambda p, c=collations: replace(p, collations=c))(found)  # type: ignore[misc]
        return found

    return made


def slots(*found: SlotFound, host: str = "jkt-db1") -> Break:
    return read_as(host, lambda p: replace(p, slots=found))


POSTGRESQL: list[Broken] = [
    (
        "postgresql-answers",
        "refused",
        F,
        seen_as("mks-db2", lambda h: replace(h, postgres=REFUSED)),
    ),
    (
        "replication-streaming",
        "no receiver",
        F,
        seen_as(
            "mks-db2", lambda h: replace(h, postgres=replace(h.postgres, receiver_streaming=False))
        ),  # type: ignore[type-var]
    ),
    (
        "postgresql-version",
        "minor",
        W,
        read_as("mks-db1", lambda p: replace(p, version="17.5", version_number=170005)),
    ),
    (
        "postgresql-version",
        "major",
        F,
        read_as("mks-db1", lambda p: replace(p, version="18.1", version_number=180001)),
    ),
    (
        "postgresql-identity",
        "another cluster",
        F,
        seen_as(
            "mks-db2", lambda h: replace(h, postgres=replace(h.postgres, system_identifier="9"))
        ),  # type: ignore[type-var]
    ),
    ("rewind-ready", "full_page_writes", F, setting("full_page_writes", "off", "")),
    (
        "rewind-ready",
        "neither",
        F,
        lambda f: setting("data_checksums", "off", "")(setting("wal_log_hints", "off", "")(f)),
    ),
    ("postgresql-settings", "not in force", F, setting("wal_sender_timeout", "60000", "ms")),
    ("replication-slots", "none", F, slots()),
    (
        "replication-slots",
        "lost",
        F,
        slots(SlotFound("failover_makassar", False, True, "lost", None)),
    ),
    (
        "replication-slots",
        "unused",
        W,
        slots(SlotFound("failover_makassar", False, False, "reserved", None)),
    ),
    (
        "replication-slots",
        "on a standby",
        F,
        slots(SlotFound("failover_jakarta", False, False, "reserved", None), host="mks-db1"),
    ),
    (
        "replication-slots",
        "logical",
        F,
        slots(
            SlotFound("failover_makassar", False, True, "reserved", None),
            SlotFound("out", True, False, "reserved", None),
        ),
    ),
    (
        "collations",
        "another ICU",
        F,
        database(collations=(CollationFound("collation und-x-icu", "153.128", "153.14"),)),
    ),
    (
        "collations",
        "another libc",
        F,
        read_as(
            "mks-db1",
            lambda p: replace(p, collations=(CollationFound("database x", "2.36", "2.41"),)),
        ),
    ),
    (
        "extensions",
        "no files",
        F,
        read_as(
            "mks-db2",
            lambda p: replace(
                p, available=frozenset({"plpgsql 1.0"}), extensions=(("plpgsql", "1.0"),)
            ),
        ),
    ),
    ("extensions", "older files at one site", F, older_files("mks-db1", "mks-db2")),
    (
        "extensions",
        "newer files everywhere",
        W,
        older_files("jkt-db1", "jkt-db2", "mks-db1", "mks-db2"),
    ),
    (
        "extensions",
        "newer files at one site",
        W,
        read_as(
            "mks-db1",
            lambda p: replace(p, extensions=(("plpgsql", "1.0"), ("pg_trgm", "1.7"))),
        ),
    ),
    (
        "collations",
        "no version on record, and hosts differ",
        F,
        sorted_by(jkt_db1="2.36", jkt_db2="2.36", mks_db1="2.41", mks_db2="2.41"),
    ),
    ("observer-privileges", "reads", F, database(readable=((OBSERVER, "public.customer_order"),))),
    ("observer-privileges", "role", F, role(OBSERVER, ("login",), ("pg_read_all_data",))),
    ("observer-privileges", "superuser", F, role(OBSERVER, ("login", "superuser"))),
    (
        "observer-privileges",
        "borrowed rights",
        F,
        one_more("public.all_orders()", "marketplace"),
    ),
    ("role-privileges", "createdb", F, role("rewinder", ("login", "createdb"))),
    ("role-privileges", "member", F, role("marketplace", ("login",), ("pg_monitor",))),
    ("role-privileges", "let in", W, role("shop", ("login", "createdb"), ("marketplace",))),
    ("role-privileges", "reads", F, database(readable=(("replicator", "public.customer_order"),))),
    ("role-privileges", "lacks one", F, role("failover_functions", (), ("pg_read_all_stats",))),
    ("narrow-functions", "public", F, narrow("failover.walsenders()", public=True)),
    ("narrow-functions", "others", F, narrow("failover.walsenders()", callers=(OBSERVER, "shop"))),
    ("narrow-functions", "nobody", F, narrow("failover.walsenders()", observer=False)),
    ("narrow-functions", "a superuser's", F, narrow("failover.walsenders()", owner="postgres")),
    ("narrow-functions", "its caller's", F, narrow("failover.walsenders()", definer=False)),
    ("narrow-functions", "search_path", F, narrow("failover.walsenders()", settings=())),
    ("narrow-functions", "another text", F, narrow("failover.walsenders()", sha256="0" * 64)),
    (
        "narrow-functions",
        "other arguments",
        F,
        narrow("failover.end_sessions(inet,boolean,text[])", signature="failover.end_sessions()"),
    ),
    ("narrow-functions", "gone", F, narrow("failover.walsenders()", signature="failover.x()")),
    ("narrow-functions", "left over", W, one_more("failover.old()")),
    ("narrow-functions", "left over and wide", F, one_more("failover.old()", public=True)),
]
