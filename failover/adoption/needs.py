"""What this design needs of a Patroni pair, and why: the table of ``failover adopt differences``.

The values themselves are those of ``failover config render``; here stands only what a key is for,
when it has to be right, and what a change of it costs. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class When(StrEnum):
    """By when a difference has to be gone."""

    ARM = "before arming"  # armed with it, something could be lost or stopped
    AUTOMATION = "before automation"  # armed it works; a takeover would be late, or not come
    LATER = "at leisure"  # works, and less well
    KNOW = "to know"  # nothing has to change


class Effect(StrEnum):
    """What putting it right costs."""

    RELOAD = "reload"
    PATRONI = "Patroni restart"  # in its pause: PostgreSQL goes on
    POSTGRESQL = "PostgreSQL restart"
    ZOOKEEPER = "ZooKeeper restart"  # server by server, followers first
    COPY = "new copy"  # of the data
    MOVE = "migration"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Need:
    """Of one key of Patroni's dynamic configuration. ``absent``: what Patroni and PostgreSQL take
    where it is not set; None: nothing counts as it."""

    key: str
    when: When
    why: str
    doc: str
    absent: str | None = None
    effect: Effect = Effect.RELOAD


_LEASE = "docs/decisions/0002-lease-arithmetic.md"
_CHECKS = "docs/checks.md"
_P = "postgresql.parameters."

NEEDS: tuple[Need, ...] = (
    Need(
        "ttl",
        When.ARM,
        "the lease arithmetic: Patroni's key has to end within a known time of the guard's claim",
        _LEASE,
        "30",
    ),
    Need(
        "loop_wait",
        When.ARM,
        "the lease arithmetic: Patroni looks once a second, so that it follows a takeover at once",
        _LEASE,
        "10",
    ),
    Need(
        "retry_timeout",
        When.ARM,
        "the lease arithmetic: it outlasts an election of the ensemble, and ends before the lease",
        _LEASE,
        "10",
    ),
    Need(
        "failsafe_mode",
        When.ARM,
        "it lets a primary that is cut off from ZooKeeper go on, which is what the lease ends",
        _CHECKS,
        "off",
    ),
    Need(
        "synchronous_mode",
        When.ARM,
        "synchronous_standby_names is the controllers' (`failover protection`): two may not set it",
        "docs/decisions/0014-protection-modes.md",
        "off",
    ),
    Need(
        "primary_start_timeout",
        When.AUTOMATION,
        "a killed server is started in place once, and after that the local replica is promoted",
        _CHECKS,
        "300",
    ),
    Need(
        "maximum_lag_on_failover",
        When.AUTOMATION,
        "inside a site too nobody is promoted who lacks more than the loss budget",
        _CHECKS,
        "1048576",
    ),
    Need(
        "postgresql.use_slots",
        When.ARM,
        "WAL is kept for the other site in a slot",
        _CHECKS,
        "on",
    ),
    Need(
        "postgresql.use_pg_rewind",
        When.ARM,
        "a host that returns is salvaged, and then rewound; else its data would be copied anew",
        "docs/operations/reinstate.md",
        "off",
    ),
    Need(
        "postgresql.remove_data_directory_on_rewind_failure",
        When.ARM,
        "what a lost site has alone is evidence, and may be the only copy of a payment",
        "docs/operations/reinstate.md",
        "off",
    ),
    Need(
        "postgresql.remove_data_directory_on_diverged_timelines",
        When.ARM,
        "what a lost site has alone is evidence, and may be the only copy of a payment",
        "docs/operations/reinstate.md",
        "off",
    ),
    Need(
        _P + "max_slot_wal_keep_size",
        When.AUTOMATION,
        "a lost site's slot must not fill the disk of the one that goes on",
        _CHECKS,
        "-1",
    ),
    Need(
        _P + "wal_sender_timeout",
        When.AUTOMATION,
        "a fast shutdown waits so long for a receiver that cannot be reached",
        _CHECKS,
        "60s",
    ),
    Need(
        _P + "wal_receiver_timeout",
        When.AUTOMATION,
        "longer than a lease: a standby leader that has lost its receiver dials a black hole, and "
        "a takeover waits for that",
        _CHECKS,
        "60s",
    ),
    Need(
        _P + "wal_retrieve_retry_interval",
        When.AUTOMATION,
        "a standby that was cut off streams again half a second after the link is back",
        _CHECKS,
        "5s",
    ),
    Need(
        _P + "wal_log_hints",
        When.AUTOMATION,
        "pg_rewind needs it, or data checksums",
        _CHECKS,
        "on",  # Patroni's own default
        Effect.POSTGRESQL,
    ),
    Need(
        _P + "hot_standby",
        When.ARM,
        "standbys are asked how far they are",
        _CHECKS,
        "on",
        Effect.POSTGRESQL,
    ),
    Need(
        _P + "reserved_connections",
        When.LATER,
        "controllers get in also while clients that wait for a lost standby have all connections",
        _CHECKS,
        "0",
        Effect.POSTGRESQL,
    ),
    Need(
        _P + "max_prepared_transactions",
        When.LATER,
        "a prepared transaction outlives the session that would end it, across a takeover",
        _CHECKS,
        "0",
        Effect.POSTGRESQL,
    ),
    Need(
        _P + "archive_mode",
        When.LATER,
        "on where failover.yaml has `clusters.CLUSTER.backup`, else off: an archive is a way out "
        "of the country, so it is declared, with its endpoint, or ended. With it Patroni keeps its "
        "key after a demotion (no takeover waits for that)",
        "docs/operations/backups.md",
        "off",
        Effect.POSTGRESQL,
    ),
    Need(
        _P + "wal_level",
        When.LATER,
        "logical decoding reads rows and is a way out; `failover residency check` names each slot",
        "docs/residency.md",
        "replica",
        Effect.POSTGRESQL,
    ),
    Need(
        _P + "logging_collector",
        When.KNOW,
        "the rendered units have standard error in the journal; a log of your own is as good",
        "docs/logs.md",
        "off",
        Effect.POSTGRESQL,
    ),
)
BY_KEY: Mapping[str, Need] = {need.key: need for need in NEEDS}
PARAMETERS = tuple(need.key.removeprefix(_P) for need in NEEDS if need.key.startswith(_P))
# Asked of a server itself, besides.
ASKED = (*PARAMETERS, "data_checksums", "full_page_writes", "synchronous_standby_names")
