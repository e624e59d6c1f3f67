"""What a guard says of its own host, for ``failover check`` alone: nothing decides by it. Pure.

Apart from ``GuardSeen``, which controllers of another version read too and which forbids what it
does not know: here a field that the reader does not know is passed over.

Invariant: no secret is in it; of patroni.yml only the keys in ``PATRONI_KEYS``, of the environment
only names.
"""

from __future__ import annotations

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

_NUMBERS = ConfigDict(allow_inf_nan=False)

PATRONI_FILE = "/etc/patroni/patroni.yml"
BARRIER_DIRECTORY = "/usr/lib/failover/barrier"
# Each in its place, and the file of failover/guard/ that it has to be. In this order they are put
# there: what calls another comes after it (pg_ctl calls promote).
BARRIERS = {
    "postgres": "barrier.py",
    "promote": "barrier.py",
    "pg_rewind": "barrier.py",
    "pre_promote": "barrier.py",
    "recovery_end": "barrier.py",
    "pg_ctl": "pg_ctl.sh",
    "recovery_end.sh": "recovery_end.sh",
}

# Files of `failover config render` on a database host that are the same when they run: patroni.yml
# is compared key by key.
RENDERED_FILES = (
    "etc/failover/residency.nft",
    "etc/systemd/system.conf.d/60-failover-watchdog.conf",
    "etc/systemd/system/failover-fence.service",
    "etc/systemd/system/failover-guard-again.service",
    "etc/systemd/system/failover-guard.service",
    "etc/systemd/system/failover-residency.service",
    "etc/systemd/system/patroni.service",
    "usr/lib/failover/post-bootstrap",
    "usr/lib/failover/post-bootstrap.sql",
    "usr/lib/failover/residency.sql",
    "usr/local/bin/patronictl",
)

HOOK_KEYS = ("postgresql.pre_promote",)
BARRIER_KEYS = ("postgresql.bin_name",)
PATRONI_KEYS = (
    "scope",
    "namespace",
    "name",
    "restapi.listen",
    "restapi.connect_address",
    "restapi.authentication.username",
    "restapi.certfile",
    "restapi.keyfile",
    "restapi.cafile",
    "restapi.verify_client",
    "ctl.cacert",
    "ctl.certfile",
    "ctl.keyfile",
    "zookeeper.hosts",
    "zookeeper.use_ssl",
    "zookeeper.verify",
    "zookeeper.cacert",
    "zookeeper.cert",
    "zookeeper.key",
    "postgresql.listen",
    "postgresql.connect_address",
    "postgresql.bin_dir",
    "postgresql.data_dir",
    "postgresql.use_unix_socket",
    "postgresql.use_unix_socket_repl",
    "postgresql.use_pg_rewind",
    "postgresql.authentication.superuser.username",
    "postgresql.authentication.replication.username",
    "postgresql.authentication.rewind.username",
    "postgresql.authentication.replication.sslmode",
    "postgresql.authentication.replication.sslrootcert",
    "postgresql.authentication.rewind.sslmode",
    "postgresql.authentication.rewind.sslrootcert",
    "postgresql.parameters.ssl",
    "postgresql.parameters.ssl_cert_file",
    "postgresql.parameters.ssl_key_file",
    "postgresql.parameters.ssl_min_protocol_version",
    "postgresql.remove_data_directory_on_rewind_failure",
    "postgresql.remove_data_directory_on_diverged_timelines",
    *BARRIER_KEYS,
    *HOOK_KEYS,
    "watchdog.mode",
    "tags",
)


@dataclass(frozen=True, slots=True, config=_NUMBERS)
class Disk:
    """``what``: data, wal, salvage."""

    what: str
    path: str
    size_bytes: int
    free_bytes: int  # for ordinary users


@dataclass(frozen=True, slots=True, config=_NUMBERS)
class PatroniOnHost:
    """Patroni's file as it is now, and the process. ``settings``: the file's, flat.

    ``environment``: names of the ``PATRONI_*`` variables that the process has; None: there is no
    process, or it cannot be looked into. ``by_guard``: it was started by ``failover guard
    patroni``.
    """

    problem: str  # why the file cannot be read; empty where it can
    settings: tuple[tuple[str, str], ...]
    changed_unix_s: float | None
    started_unix_s: float | None  # of the process; None: there is none
    by_guard: bool | None
    environment: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, config=_NUMBERS)
class Asked:
    """Who asked whether this host may take writes, and how long ago last."""

    address: str
    ago_s: float


@dataclass(frozen=True, slots=True, config=_NUMBERS)
class OwnCertificate:
    """What the guard's user, who is PostgreSQL's, would prove itself with if it were started now.

    ``problem``: why it would have nothing; empty where it is in order.
    """

    file: str
    problem: str
    until_unix_s: float | None


REPOSITORY_HERE = "this host"
EGRESS_OFF = "failover-residency.service is not enabled"


@dataclass(frozen=True, slots=True, config=_NUMBERS)
class BackupOnHost:
    """The newest good backup that this host knows of, and where its pgBackRest has repositories:
    by their hosts' names, or ``REPOSITORY_HERE``.

    ``problem``: why nothing is known; empty where something is. ``ended_unix_s``: None: there is
    none.
    """

    problem: str
    label: str
    ended_unix_s: float | None
    places: tuple[str, ...]


@dataclass(frozen=True, slots=True, config=_NUMBERS)
class HostReport:
    """One database host as its guard sees it. ``barriers_missing``: name and why it is no barrier;
    ``barriers``: SHA-256 of those that can be read.

    ``door_problem``: why the barriers' own door does not answer; empty where it does.
    ``files``: SHA-256 of ``RENDERED_FILES``; those that are not there are absent.
    ``certificate``: None where no wire of `tls` is on, and of an older guard. ``backup``: None
    where failover.yaml promises none, and of an older guard. ``read_only``: where a server that
    Patroni starts would have to write, and could not; None: nobody could look. ``egress``: why the
    kernel does not keep packets within the declared networks (``EGRESS_OFF``: it is not meant to);
    empty where it does; None: nobody could look, and of an older guard.
    """

    at_unix_s: float
    version: str
    session_ms: int
    deadline_s: float
    configuration_loaded_sha256: str
    configuration_sha256: str  # of the file as it is now; empty: cannot be read
    disks: tuple[Disk, ...]
    salvage_held_bytes: int
    barriers_missing: tuple[tuple[str, str], ...]
    door_problem: str
    patroni: PatroniOnHost
    files: tuple[tuple[str, str], ...]
    asked: tuple[Asked, ...] = ()
    barriers: tuple[tuple[str, str], ...] = ()
    certificate: OwnCertificate | None = None
    backup: BackupOnHost | None = None
    read_only: tuple[str, ...] | None = None
    egress: str | None = None
