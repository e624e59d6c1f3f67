"""Runs in a container: a primary and its standby part, the primary dies, and its branch is told.

Prints one JSON document: what clients were told, what the new primary has, and the receipts that
were made of the old branch, with its server standing there and without it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from failover.guard.receipt import Patience, ReceiptWriter
from failover.guard.receipt_rows import Server
from failover.guard.records import Places
from failover.guard.salvage import salvage
from failover.lab.workload.attempt import Outcome, Recorder, Via, read_attempts
from failover.lab.workload.client import Client, ClientSettings, Login, Target
from failover.lab.workload.inside import create_shop
from failover.lab.workload.survivors import read_survivors
from failover.model import ClusterName, Epoch, HostName, Lsn, SiteName
from failover.policy import ReceiptTable
from failover.receipt.compose import Origin
from failover.receipt.document import FromIs

BIN = Path("/usr/lib/postgresql/17/bin")
ROOT = Path("/tmp/story")
OLD, NEW = ROOT / "old", ROOT / "new"
RECORDS = ROOT / "records"
OLD_PORT, NEW_PORT = 5432, 5433
LOGIN = Login("marketplace", "marketplace", "unused")
JAKARTA = SiteName("jakarta")
CLIENTS = 4
SERVED = 200  # in each part of the story
RECEIVERS = "select count(*) from pg_stat_wal_receiver"
TABLES = tuple(
    ReceiptTable("marketplace", "public", name, key)
    for name, key in {
        "market_transaction": ("id",),
        "ledger_entry": ("transaction", "line"),
        "customer_order": ("id",),
        "Odd": ("The",),
    }.items()
)


def run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, stdout=sys.stderr)


def psql(port: int, *statements: str, dbname: str = "postgres") -> None:
    options = [part for one in statements for part in ("-c", one)]
    run("psql", "-h", ROOT, "-p", str(port), "-U", "postgres", "-d", dbname, "-q", *options)


def start(data: Path) -> None:
    run(BIN / "pg_ctl", "-D", data, "-w", "-l", ROOT / f"{data.name}.log", "start")


def kill(data: Path) -> None:
    run(BIN / "pg_ctl", "-D", data, "-m", "immediate", "stop")


def make_servers() -> None:
    ROOT.mkdir()
    run(BIN / "initdb", "-D", OLD, "-A", "trust", "-U", "postgres", "--encoding", "UTF8")
    with (OLD / "postgresql.conf").open("a") as conf:
        conf.write(f"listen_addresses = '127.0.0.1'\nunix_socket_directories = '{ROOT}'\n")
        conf.write("wal_log_hints = on\nmax_prepared_transactions = 5\n")
    start(OLD)
    psql(OLD_PORT, "create role marketplace login", "create database marketplace owner marketplace")
    run(BIN / "pg_basebackup", "-h", ROOT, "-U", "postgres", "-D", NEW, "-R", "-c", "fast")
    with (NEW / "postgresql.conf").open("a") as conf:
        conf.write(f"port = {NEW_PORT}\n")
    start(NEW)


def clients(stop: threading.Event, recorder: Recorder) -> list[threading.Thread]:
    target = Target("127.0.0.1", OLD_PORT)
    create_shop(target, LOGIN)
    made = [
        Client(
            ClientSettings(
                "story", f"client {seed}", JAKARTA, Via.DIRECT, (target,), LOGIN, 0.02, seed
            ),
            recorder,
            lambda address: JAKARTA if address else None,
        )
        for seed in range(CLIENTS)
    ]
    threads = [threading.Thread(target=one.run, args=(stop,)) for one in made]
    for thread in threads:
        thread.start()
    return threads


def wait_until(what: str, holds: Callable[[], bool], limit_s: float = 60.0) -> None:
    give_up_s = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < give_up_s, f"not within {limit_s:g} s: {what}"
        time.sleep(0.05)


def served_again_and_again() -> None:
    wanted = acknowledged() + SERVED
    wait_until(f"clients are served {SERVED} times", lambda: acknowledged() >= wanted)


def acknowledged() -> int:
    return sum(one.outcome is Outcome.ACKED for one in read_attempts(RECORDS))


def receivers() -> int:
    found = subprocess.run(
        ["psql", "-h", ROOT, "-p", str(NEW_PORT), "-U", "postgres", "-qXAtc", RECEIVERS],
        check=True,
        capture_output=True,
        timeout=10.0,
    )
    return int(found.stdout)


def lose_the_primary() -> None:
    """The standby stops receiving; the primary goes on for a while, and is killed at work."""
    stop = threading.Event()
    with Recorder(RECORDS / "story.jsonl") as recorder:
        threads = clients(stop, recorder)
        served_again_and_again()
        psql(NEW_PORT, "alter system set primary_conninfo = ''", "select pg_reload_conf()")
        wait_until("the standby receives nothing", lambda: receivers() == 0)
        psql(
            OLD_PORT,
            'create table "Odd" ("The" int primary key, secret text)',
            """insert into "Odd" values (1, 'never in a receipt'), (2, '')""",
            """delete from "Odd" where "The" = 2""",
            """begin; insert into "Odd" values (3, ''); rollback""",
            """begin; insert into "Odd" values (4, ''); prepare transaction 'p'""",
            "commit prepared 'p'",
            """begin; insert into "Odd" values (5, ''); savepoint s;
               insert into "Odd" values (6, ''); rollback to s; insert into "Odd" values (7, '');
               commit""",
            dbname="marketplace",
        )
        served_again_and_again()
        kill(OLD)
        stop.set()
        for thread in threads:
            thread.join()
    run(BIN / "pg_ctl", "-D", NEW, "-w", "promote")


def left_at() -> Lsn:
    """Where the new timeline began, from the new primary's own history file."""
    (history,) = (NEW / "pg_wal").glob("*.history")
    return Lsn.parse(history.read_text().split()[1])


def quarantined() -> None:
    (OLD / "standby.signal").touch()
    with (OLD / "postgresql.conf").open("a") as conf:
        conf.write("restore_command = 'false'\n")
    start(OLD)


def receipt(name: str, socket_dir: Path) -> tuple[str, float]:
    """Its text, and how many seconds it took."""
    places = Places(ClusterName("marketplace"), OLD, durable_dir=ROOT / "lib")
    copied = salvage(places, name, left_at(), 10**9)
    writer = ReceiptWriter(BIN, Server(str(socket_dir), OLD_PORT), TABLES)
    origin = Origin(name, ClusterName("marketplace"), HostName("jkt-db1"), JAKARTA, Epoch(2))
    began_s = time.monotonic()
    record = writer.write(
        origin, copied, FromIs.PROVEN_ON_NEW_SITE, left_at, Patience(30.0, lambda: False)
    )
    return Path(record.path).read_text(), time.monotonic() - began_s


def main() -> None:
    shutil.rmtree(ROOT, ignore_errors=True)
    make_servers()
    lose_the_primary()
    quarantined()
    with_server, took_s = receipt("2", ROOT)
    without, _ = receipt("3", Path("/nowhere"))
    import psycopg

    with psycopg.connect(
        host="127.0.0.1", port=NEW_PORT, user="marketplace", dbname="marketplace"
    ) as connection:
        survivors = read_survivors(connection)
    told = {
        "attempts": [asdict(one) for one in read_attempts(RECORDS)],
        "survivors": asdict(survivors),
        "receipt": with_server,
        "took_s": took_s,
        "receipt_without_server": without,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
