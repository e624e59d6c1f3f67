"""While the observer's password is replaced its file has two, and one of them is right."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import psycopg
import pytest

from failover.config import parse
from failover.sites.observer_connection import ObserverConnection, PasswordUnread
from failover.sites.postgres import ask_size

HOST = parse((Path(__file__).parents[2] / "tests/open.yaml").read_text()).clusters[0].hosts[0]


@dataclasses.dataclass
class Server:
    right: str
    tried: list[str] = dataclasses.field(default_factory=list)

    async def connect(self, *, password: str, **_: Any) -> object:
        self.tried.append(password)
        if password != self.right:
            raise psycopg.OperationalError("Kata sandi salah")
        return object()


@pytest.mark.parametrize(
    ("right", "tried"), [("new", ["new"]), ("old", ["new", "old"]), ("none", ["new", "old"])]
)
def test_the_new_one_is_tried_and_then_the_old_one(
    right: str, tried: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "observer.password"
    file.write_text("new\nold\n")
    server = Server(right)
    monkeypatch.setattr(psycopg.AsyncConnection, "connect", server.connect)
    connection = ObserverConnection(HOST, password_file=file, limit_s=1.0, application_name="test")
    if right == "none":
        with pytest.raises(psycopg.OperationalError):
            asyncio.run(connection._connected())
    else:
        asyncio.run(connection._connected())
    assert server.tried == tried


class Answering:
    """A connection to a server that answers every question with one row."""

    closed = False

    async def execute(self, *_: object) -> Answering:
        return self

    async def fetchall(self) -> list[dict[str, int]]:
        return [{"bytes": 640}]

    async def close(self) -> None:
        self.closed = True


def test_the_size_is_asked_with_either_and_the_server_gives_up_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a reseed: in the middle of a rotation, and nothing goes on there when it is over."""
    file = tmp_path / "observer.password"
    file.write_text("new\nold\n")
    asked: list[tuple[str, str]] = []
    connection = Answering()

    async def connect(*, password: str, options: str, **_: Any) -> Answering:
        asked.append((password, options))
        if password != "old":
            raise psycopg.OperationalError("Kata sandi salah")
        return connection

    monkeypatch.setattr(psycopg.AsyncConnection, "connect", connect)
    assert asyncio.run(ask_size(HOST, file)) == 640
    limit = "-c statement_timeout=30000"
    assert asked == [("new", limit), ("old", limit)]
    assert connection.closed


def test_without_its_file_nobody_is_asked_for_the_size(tmp_path: Path) -> None:
    with pytest.raises(PasswordUnread, match=r"not asked: .*No such file"):
        asyncio.run(ask_size(HOST, tmp_path / "observer.password"))
