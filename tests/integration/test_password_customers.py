"""A customer's password is replaced as docs/operations/passwords.md says, while two programs open
a connection after the other and change to the new one at different times."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import psycopg
import pytest
import yaml
from password_runbook import block
from residency_server import PASSWORD, RENDERED, START, execute
from single_container import lab_container

from failover.config import load
from failover.render import render

pytestmark = pytest.mark.lab

PATRONI_YML = PurePosixPath("jakarta/jkt-db1/etc/patroni/patroni.yml")
LIMIT_S = 30.0


def wait_for(so: Any) -> None:
    until = time.monotonic() + LIMIT_S
    while not so():
        assert time.monotonic() < until
        time.sleep(0.05)


@dataclass
class Program:
    """Opens a connection, looks who it is, makes a table of its own, and again."""

    address: str
    login: tuple[str, str] = ("marketplace", PASSWORD)
    opened: int = 0
    refused: list[str] = field(default_factory=list)
    owners: set[str] = field(default_factory=set)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.over.wait(0.01):
            user, password = self.login
            try:
                with psycopg.connect(
                    host=self.address,
                    user=user,
                    password=password,
                    dbname="marketplace",
                    connect_timeout=5,
                    client_encoding="utf-8",  # the server is SQL_ASCII
                ) as connection:
                    connection.execute("CREATE TABLE made (x int)")
                    query = "SELECT tableowner FROM pg_tables WHERE tablename = 'made'"
                    self.owners.add(str((connection.execute(query).fetchone() or ("",))[0]))
                    connection.rollback()
                self.opened += 1
            except psycopg.Error as error:
                self.refused.append(str(error))

    def more(self) -> None:
        enough = self.opened + 5
        wait_for(lambda: self.opened >= enough or self.refused)


@contextlib.contextmanager
def running(programs: list[Program]) -> Iterator[None]:
    threads = [threading.Thread(target=program.run) for program in programs]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for program in programs:
            program.over.set()
        for thread in threads:
            thread.join(LIMIT_S)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Any, str]]:
    """With the rendered line for customers, and no other that lets one in."""
    rules = yaml.safe_load(render(load(Path("tests/open.yaml")))[PATRONI_YML])["postgresql"][
        "pg_hba"
    ]
    words = next(rule.split() for rule in rules if "+marketplace" in rule)
    line = " ".join([*words[:3], "0.0.0.0/0", words[4]])
    start = START.replace(
        "as $bin/pg_ctl", f"echo '{line}' >> /tmp/data/pg_hba.conf\nas $bin/pg_ctl", 1
    )
    mount = {str(RENDERED): {"bind": "/rendered", "mode": "ro"}}
    with lab_container(["sh", "-c", start], mount) as (container, address):
        wait_for(lambda: b"ready" in container.logs())
        yield container, address


def as_postgres(container: Any, script: str) -> None:
    code, output = execute(container, ["--user", "postgres"], script)
    assert code == 0, output


def test_two_members_take_turns_and_no_connection_is_refused(server: tuple[Any, str]) -> None:
    container, address = server
    programs = [Program(address), Program(address)]
    before = "marketplace"
    with running(programs):
        for role in ("marketplace_a", "marketplace_b", "marketplace_a"):
            password = f"the-{role}-of-{before}"
            give = f"umask 077; echo {password} > /run/postgresql/next.password\n"
            text = block("Customers", "CREATE ROLE").replace("marketplace_a", role)
            as_postgres(container, give + text)
            for program in programs:
                program.more()
                program.login = (role, password)
                program.more()
            for program in programs:
                program.more()
            end = f"ALTER ROLE {before} PASSWORD NULL"
            as_postgres(container, f"psql -h /run/postgresql -Xc '{end}' postgres")
            for program in programs:
                program.more()
            before = role
    assert [program.refused for program in programs] == [[], []]
    assert [program.owners for program in programs] == [{"marketplace"}, {"marketplace"}]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(host=address, user="marketplace", password=PASSWORD, dbname="marketplace")
