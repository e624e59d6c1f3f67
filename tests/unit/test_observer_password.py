"""While the observer's password is replaced its file has two, and one of them is right."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import psycopg
import pytest

from failover.config import parse
from failover.sites.observer_connection import ObserverConnection

HOST = parse((Path(__file__).parents[2] / "deploy/failover.yaml").read_text()).clusters[0].hosts[0]


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
