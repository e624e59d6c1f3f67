"""Every known way out of a PostgreSQL server: how it is seen, with which privilege, how it is cut.

Invariant: a way that nobody here can see is in the table too, with what closes it instead. The
codes are those of findings, in metrics and in ``residency.accepted`` of failover.yaml. Sources: the
PostgreSQL 17 manual (protocol-replication, catalogs, functions-admin, event-triggers, predefined
roles), and what was tried on it (docs/residency.md). Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Seen(StrEnum):
    """How often it is looked at."""

    EVERY_SECOND = "every second"
    EVERY_LOOK = "every 20 s, in every database"
    NEVER = "unobservable from here"


@dataclass(frozen=True, slots=True)
class Way:
    """One way out. ``cut``: what the scanner does about it by itself, empty: a finding, no more."""

    code: str
    what: str
    indonesian: str
    seen: Seen
    how: str
    privilege: str
    cut: str = ""
    closed_by: str = ""


_FUNCTIONS = "EXECUTE on a narrow function"
_CATALOGUE = "CONNECT; the catalogue is public"
_FIREWALL = "the rendered firewall of the host"
_TRIGGER = "the event trigger; the rendered firewall"
_HBA = "the rendered pg_hba lines; the rendered firewall"
_ENDED = "the session is ended, its slot dropped"

WAYS: tuple[Way, ...] = (
    Way(
        "walsender",
        "WAL is streamed to an address outside",
        "WAL dialirkan ke alamat di luar daftar",
        Seen.EVERY_SECOND,
        "failover.sessions()",
        _FUNCTIONS,
        _ENDED,
        _HBA,
    ),
    Way(
        "base_backup",
        "a base backup is sent to an address outside",
        "base backup dikirim ke alamat di luar daftar",
        Seen.EVERY_SECOND,
        "failover.sessions(), pg_stat_progress_basebackup",
        _FUNCTIONS,
        _ENDED,
        _HBA,
    ),
    Way(
        "local_walsender",
        "a walsender sends through the local socket or loopback: a tunnel, or a copy by hand",
        "walsender mengirim lewat soket lokal atau loopback: terowongan atau salinan manual",
        Seen.EVERY_SECOND,
        "failover.sessions(): no address, or loopback",
        _FUNCTIONS,
        _ENDED,
        _FIREWALL,
    ),
    Way(
        "client",
        "a client is connected from an address outside",
        "klien terhubung dari alamat di luar daftar",
        Seen.EVERY_SECOND,
        "failover.sessions()",
        _FUNCTIONS,
        "the session is ended",
        f"{_HBA}; HAProxy's list",
    ),
    Way(
        "physical_slot",
        "a physical replication slot that nobody declared",
        "slot replikasi fisik yang tidak dideklarasikan",
        Seen.EVERY_SECOND,
        "pg_replication_slots",
        "none: the view is public",
        "dropped where it was held by a session that was ended",
        "a slot alone moves nothing",
    ),
    Way(
        "logical_slot",
        "a logical replication slot that nobody declared",
        "slot replikasi logis yang tidak dideklarasikan",
        Seen.EVERY_SECOND,
        "pg_replication_slots",
        "none: the view is public",
        "dropped where it was held by a session that was ended",
        "wal_level replica: none can be made",
    ),
    Way(
        "hba_line",
        "a line of pg_hba.conf lets in an address outside",
        "baris pg_hba.conf mengizinkan alamat di luar daftar",
        Seen.EVERY_SECOND,
        "failover.hba_rules(): the file, loaded or not",
        _FUNCTIONS,
        "",
        f"{_FIREWALL}; who comes in is cut",
    ),
    Way(
        "hba_trust",
        "a line of pg_hba.conf lets in over the network without a password",
        "baris pg_hba.conf mengizinkan koneksi jaringan tanpa kata sandi",
        Seen.EVERY_SECOND,
        "failover.hba_rules()",
        _FUNCTIONS,
    ),
    Way(
        "hba_unreadable",
        "pg_hba.conf has a mistake: an older version of it is in force, which nobody can see",
        "pg_hba.conf salah: versi lama yang tidak terlihat masih berlaku",
        Seen.EVERY_SECOND,
        "failover.hba_rules()",
        _FUNCTIONS,
    ),
    Way(
        "upstream",
        "the server receives from, or is told to receive from, a host outside",
        "server menerima, atau diperintah menerima, dari host di luar daftar",
        Seen.EVERY_SECOND,
        "failover.upstreams(): primary_conninfo, pg_stat_wal_receiver",
        _FUNCTIONS,
        "",
        _FIREWALL,
    ),
    Way(
        "setting",
        "a setting runs a command, loads a library or names a place that nobody declared",
        "setelan menjalankan perintah, memuat pustaka, atau menunjuk tempat tanpa deklarasi",
        Seen.EVERY_SECOND,
        "failover.out_settings(): a fingerprint; pg_db_role_setting",
        _FUNCTIONS,
        "",
        _FIREWALL,
    ),
    Way(
        "replication_role",
        "a role with REPLICATION that nobody declared: it can copy the cluster",
        "peran dengan REPLICATION yang tidak dideklarasikan: dapat menyalin klaster",
        Seen.EVERY_LOOK,
        "pg_roles",
        _CATALOGUE,
        "",
        _HBA,
    ),
    Way(
        "superuser_role",
        "a superuser that nobody declared, or a role that may become one by SET ROLE: nothing in "
        "the database holds it",
        "superuser yang tidak dideklarasikan, atau peran yang dapat menjadi superuser lewat SET "
        "ROLE: tidak ada yang membatasinya di basis data",
        Seen.EVERY_LOOK,
        "pg_roles, pg_auth_members",
        _CATALOGUE,
        "",
        _HBA,
    ),
    Way(
        "program_role",
        "a role may run programs or read and write files as the server (COPY … PROGRAM)",
        "peran boleh menjalankan program atau membaca dan menulis berkas sebagai server",
        Seen.EVERY_LOOK,
        "pg_auth_members of pg_execute_server_program, pg_write_server_files, pg_read_server_files",
        _CATALOGUE,
        "",
        _FIREWALL,
    ),
    Way(
        "publication",
        "a publication: rows are offered to subscribers",
        "publikasi: baris ditawarkan kepada pelanggan",
        Seen.EVERY_LOOK,
        "pg_publication",
        _CATALOGUE,
        "",
        "wal_level replica; the event trigger",
    ),
    Way(
        "subscription",
        "a subscription: a worker dials another server",
        "langganan: worker menghubungi server lain",
        Seen.EVERY_LOOK,
        "pg_subscription; its workers every second in failover.sessions()",
        _CATALOGUE,
        "",
        _TRIGGER,
    ),
    Way(
        "foreign_server",
        "a foreign server: rows can be written to another server by SQL",
        "foreign server: baris dapat ditulis ke server lain lewat SQL",
        Seen.EVERY_LOOK,
        "pg_foreign_server, pg_user_mappings",
        _CATALOGUE,
        "",
        _TRIGGER,
    ),
    Way(
        "extension",
        "an extension on the deny list: it reaches other hosts, files or programs",
        "ekstensi dalam daftar larangan: menjangkau host lain, berkas, atau program",
        Seen.EVERY_LOOK,
        "pg_extension",
        _CATALOGUE,
        "",
        _TRIGGER,
    ),
    Way(
        "untrusted_language",
        "an untrusted language: functions in it do whatever the server's user may",
        "bahasa tak tepercaya: fungsinya bebas bertindak sebagai pengguna server",
        Seen.EVERY_LOOK,
        "pg_language",
        _CATALOGUE,
        "",
        _TRIGGER,
    ),
    Way(
        "c_function",
        "a function in C that belongs to no extension",
        "fungsi C yang bukan milik ekstensi",
        Seen.EVERY_LOOK,
        "pg_proc",
        _CATALOGUE,
        "",
        _FIREWALL,
    ),
    Way(
        "trigger_missing",
        "the event trigger that refuses such DDL is missing or off in a database",
        "event trigger yang menolak DDL tersebut hilang atau mati di sebuah basis data",
        Seen.EVERY_LOOK,
        "pg_event_trigger",
        _CATALOGUE,
    ),
    Way(
        "endpoint",
        "a declared endpoint's name resolves to an address outside, or to nothing",
        "nama endpoint terdeklarasi menunjuk ke alamat di luar daftar, atau tidak ke mana pun",
        Seen.EVERY_LOOK,
        "the controller's own resolver",
        "none",
        "",
        "the rendered firewall knows networks alone, no names",
    ),
    Way(
        "host_outside",
        "a database host stands in no network that counts now: it is no candidate, and not dialled",
        "host basis data tidak berada di jaringan yang berlaku: bukan kandidat, tidak dihubungi",
        Seen.EVERY_SECOND,
        "failover.yaml and the date",
        "none",
    ),
    Way(
        "unseen",
        "a host or a database could not be looked at: what is there is not known",
        "host atau basis data tidak dapat diperiksa: isinya tidak diketahui",
        Seen.EVERY_SECOND,
        "the scan itself",
        "none",
        "",
        _FIREWALL,
    ),
    Way(
        "copy_to_program",
        "COPY … TO PROGRAM or TO a file, by a superuser or a member of the roles above",
        "COPY … TO PROGRAM atau ke berkas, oleh superuser atau anggota peran di atas",
        Seen.NEVER,
        "who may do it is seen (program_role, superuser_role), that it is done is not",
        "would take other sessions' query texts",
        "",
        _FIREWALL,
    ),
    Way(
        "dblink_call",
        "a call of dblink or of a foreign table, once the extension is there",
        "pemanggilan dblink atau foreign table, setelah ekstensinya ada",
        Seen.NEVER,
        "the extension and the server are seen, the call is not",
        "would take other sessions' query texts",
        "",
        _TRIGGER,
    ),
    Way(
        "tunnel",
        "a tunnel or a relay inside: to PostgreSQL it is a client in a declared network",
        "terowongan atau relai di dalam: bagi PostgreSQL ia klien di jaringan terdeklarasi",
        Seen.NEVER,
        "sessions through loopback or the socket that replicate are seen",
        "none helps",
        "",
        "the rendered firewall, on the relay's host too",
    ),
    Way(
        "file_copy",
        "files copied by root or by the server's user: the data directory, a disk, a snapshot",
        "berkas disalin oleh root atau pengguna server: direktori data, disk, snapshot",
        Seen.NEVER,
        "outside PostgreSQL",
        "none helps",
        "",
        f"{_FIREWALL}; encrypted disks; who has root",
    ),
)

BY_CODE = {way.code: way for way in WAYS}
# Found by the look of every second and in the catalogues: settings of the server and of a role,
# workers and subscriptions, a server and a database that cannot be looked at.
SEEN_BY_BOTH = frozenset({"setting", "subscription", "unseen"})
ACCEPTABLE = tuple(way.code for way in WAYS if way.seen is not Seen.NEVER)

# Settings whose value has to be what failover.yaml says. The second: values that need no saying.
SETTINGS: dict[str, tuple[str, ...]] = {
    "archive_command": ("",),
    "archive_library": ("",),
    "archive_cleanup_command": ("",),
    "recovery_end_command": ("",),
    "restore_command": ("", "false"),  # the quarantine's
    "ssl_passphrase_command": ("",),
    "shared_preload_libraries": ("",),
    "session_preload_libraries": ("",),
    "local_preload_libraries": ("",),
    "log_destination": ("stderr", "csvlog", "jsonlog"),  # syslog may go anywhere
    "log_directory": ("log",),
    "dynamic_library_path": ("$libdir",),
}

DENIED_EXTENSIONS = (
    *("dblink", "postgres_fdw", "file_fdw", "mysql_fdw", "oracle_fdw", "tds_fdw", "mongo_fdw"),
    *("redis_fdw", "jdbc_fdw", "odbc_fdw", "sqlite_fdw", "multicorn", "parquet_s3_fdw"),
    *("http", "pg_net", "pgsql_http", "aws_s3", "aws_lambda", "pg_curl", "pg_amqp"),
    *("pglogical", "pg_tle", "plproxy", "adminpack"),
    *("plpython3u", "plpythonu", "plperlu", "pltclu", "plsh", "pljava", "plr", "pllua"),
)

REFUSED_TAGS = (
    *("CREATE SUBSCRIPTION", "ALTER SUBSCRIPTION", "CREATE PUBLICATION", "ALTER PUBLICATION"),
    *("CREATE SERVER", "ALTER SERVER", "CREATE USER MAPPING", "ALTER USER MAPPING"),
    *("CREATE FOREIGN DATA WRAPPER", "ALTER FOREIGN DATA WRAPPER", "CREATE FOREIGN TABLE"),
    *("ALTER FOREIGN TABLE", "IMPORT FOREIGN SCHEMA"),
)

TRIGGERS = ("failover_refuse_way_out", "failover_refuse_extension")
