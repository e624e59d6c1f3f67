"""Patroni's passwords are replaced while it runs, as docs/operations/passwords.md says.

All the while the standby's receiver is made to connect again and again: nobody may refuse it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from password_runbook import block
from test_transport_patroni import (
    PASSWORD,
    Member,
    Ordered,
    Pair,
    order,
    pair,  # noqa: F401  # a fixture
    wait_for,
)

from failover.coordination.patroni import ENVIRONMENT_FILE
from failover.host_secrets import DATABASE_FILES, finish_password, generate, rotate_password

pytestmark = pytest.mark.lab

REFUSED = ("password authentication failed", "no password supplied", "no pg_hba.conf entry")
AS_POSTGRES = "setpriv --reuid=postgres --regid=postgres --clear-groups"


def sql(member: Member, statement: str) -> str:
    ask = f'psql -h /run/postgresql -XtAc "{statement}" postgres'
    return member.run(f"{AS_POSTGRES} {ask}").strip()


def run_block(member: Member, text: str) -> None:
    member.put({"/tmp/block.sh": (text.encode(), 0o644)})
    member.run(f"{AS_POSTGRES} sh -e /tmp/block.sh")


def receiver(member: Member) -> str:
    """The process that streams; empty where none does."""
    return sql(member, "SELECT pid FROM pg_stat_wal_receiver WHERE status = 'streaming'")


def streams_as(member: Member) -> str:
    return sql(member, "SELECT DISTINCT usename FROM pg_stat_replication")


def refusals(pair: Pair) -> list[str]:  # noqa: F811
    lines = [line for m in pair.members for line in m.container.logs().decode().splitlines()]
    return [line for line in lines if any(text in line for text in REFUSED)]


def copy(member: Member, made: Path) -> None:
    """Whole files at once, readable by the service."""
    place = str(ENVIRONMENT_FILE.parent)
    member.run(f"install -d -o postgres {place}")
    files = {f"{place}/{name}": ((made / name).read_bytes(), 0o644) for name in DATABASE_FILES}
    member.put(files)


def orders(pair: Pair, member: Member, password: str) -> bool:  # noqa: F811
    answer = order(pair.host(member, member.mode), password)
    return isinstance(answer, Ordered) and answer.accepted


@contextlib.contextmanager
def reconnecting(standby: Member) -> Iterator[list[str]]:
    """Ends the receiver whenever a new one streams; their processes so far."""
    seen: list[str] = []
    over = threading.Event()

    def end_it() -> None:
        while not over.wait(0.05):
            pid = receiver(standby)
            if pid and pid not in seen:
                seen.append(pid)
                standby.run(f"kill {pid} || true")  # pg_terminate_backend takes none of this kind

    thread = threading.Thread(target=end_it)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join(60)


@pytest.fixture(scope="module")
def made(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """The secrets as they were made for these two."""
    directory = tmp_path_factory.mktemp("secrets")
    generate(directory)
    for name in ("superuser", "replication", "rewinder", "patroni-rest"):
        (directory / f"{name}.password").write_text(f"{PASSWORD}\n")
    generate(directory)
    for member in pair.members:
        copy(member, directory)
    return directory


def word(made: Path, name: str) -> str:
    return (made / f"{name}.password").read_text().split()[0]


def turn(pair: Pair, made: Path, reconnects: list[str] | None = None) -> None:  # noqa: F811
    """The steps of the page, in its order; with ``reconnects`` some happen between each two."""
    primary, standby = pair.leader()

    def between() -> None:
        if reconnects is not None:
            enough = len(reconnects) + 3
            wait_for(lambda: len(reconnects) >= enough, primary, standby)

    between()
    rotate_password(made, "replication")
    for member in pair.members:
        copy(member, made)
    between()
    run_block(primary, block("Replication", "CREATE ROLE"))
    role = (made / "replication.role").read_text().strip()
    there = f"SELECT rolreplication FROM pg_roles WHERE rolname = '{role}'"
    wait_for(lambda: sql(standby, there) == "t", standby)
    between()
    finish_password(made, "replication")
    for member in pair.members:
        copy(member, made)
        between()
        member.reload()
        between()
    wait_for(lambda: streams_as(primary) == role, primary, standby)
    old = {"replicator": "replicator_2", "replicator_2": "replicator"}[role]
    for each in (role, old):  # as a receiver that connects before PostgreSQL has reloaded
        where = f"host={primary.address} user={each} replication=1"
        ask = f"env PGPASSFILE=/run/patroni/pgpass psql -w '{where}' -c IDENTIFY_SYSTEM"
        standby.run(f"{AS_POSTGRES} {ask}")
    run_block(primary, block("Replication", "PASSWORD NULL"))
    between()


def test_replication_turns_and_the_receiver_that_reconnects_is_never_refused(
    pair: Pair,  # noqa: F811
    made: Path,
) -> None:
    primary, standby = pair.leader()
    wait_for(lambda: receiver(standby) != "", standby)
    before = len(refusals(pair))
    slot = sql(primary, "SELECT slot_name FROM pg_replication_slots WHERE active")
    with reconnecting(standby) as reconnects:
        for role in ("replicator_2", "replicator"):  # there and back
            turn(pair, made, reconnects)
            assert streams_as(primary) in ("", role)
    assert len(reconnects) > 20
    assert refusals(pair)[before:] == []
    wait_for(lambda: receiver(standby) != "", standby)
    now = sql(primary, "SELECT slot_name FROM pg_replication_slots WHERE active")
    assert now == slot, "slots belong to no role"


def test_the_role_before_is_refused_at_the_end_and_the_log_says_so(
    pair: Pair,  # noqa: F811
    made: Path,
) -> None:
    """Or the test above would see nothing."""
    primary, _ = pair.leader()
    old, role = word(made, "replication"), streams_as(primary)
    asked = f"PGPASSWORD={old} psql 'host={primary.address} user={role} replication=1'"
    primary.run(f"{asked} -c IDENTIFY_SYSTEM")
    turn(pair, made)
    before = len(refusals(pair))
    primary.run(f"! {asked} -c IDENTIFY_SYSTEM")
    wait_for(lambda: len(refusals(pair)) > before, primary)


def test_the_rewinder_turns_and_a_rewind_would_be_let_in(
    pair: Pair,  # noqa: F811
    made: Path,
) -> None:
    primary, standby = pair.leader()

    def reads(role: str, password: str) -> str:
        read = "length(pg_read_binary_file('PG_VERSION', 0, 2, true))"
        where = f"host={primary.address} user={role} dbname=postgres"
        return standby.run(f"PGPASSWORD={password} psql '{where}' -XtAc \"select {read}\"").strip()

    before = len(refusals(pair))
    assert reads("rewinder", word(made, "rewinder")) == "2"
    rotate_password(made, "rewinder")
    for member in pair.members:
        copy(member, made)
    run_block(primary, block("Rewinder", "CREATE ROLE"))
    assert reads("rewinder", PASSWORD) == reads("rewinder_2", word(made, "rewinder")) == "2"
    finish_password(made, "rewinder")
    for member in pair.members:
        copy(member, made)
        member.reload()
    run_block(primary, block("Rewinder", "PASSWORD NULL"))
    pair.switchover()  # Patroni looks at its leader's history with it
    assert refusals(pair)[before:] == []
    with pytest.raises(AssertionError, match="password authentication failed"):
        reads("rewinder", PASSWORD)


def test_the_rest_interface_takes_the_new_one_at_a_reload(
    pair: Pair,  # noqa: F811
    made: Path,
) -> None:
    _, standby = pair.leader()
    wait_for(lambda: receiver(standby) != "", standby)
    before = receiver(standby)
    rotate_password(made, "patroni-rest")
    for member in pair.members:
        copy(member, made)
        assert orders(pair, member, PASSWORD)
        member.reload()
    new = word(made, "patroni-rest")
    for member in pair.members:
        wait_for(lambda member=member: orders(pair, member, new), member)  # type: ignore[misc]
        assert not orders(pair, member, PASSWORD)
    assert receiver(standby) == before
