"""What a database still has: the ids of its transactions, and whether its money adds up.

Read-only: one repeatable-read transaction, sequential scans only (an index is not evidence).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any

import psycopg

from failover.clock import boottime_s


@dataclass(frozen=True, slots=True)
class Survivors:
    """The surviving database at one instant."""

    taken_s: float  # boot time, just before
    server: str
    ids: dict[str, int]  # how often each transaction's id is there; 1, or something is wrong
    money: dict[str, int]  # every rule and by how much it fails; all zero: it adds up

    @property
    def money_problems(self) -> tuple[str, ...]:
        return tuple(f"{rule}: {off}" for rule, off in self.money.items() if off)


def read_survivors(connection: psycopg.Connection[Any]) -> Survivors:
    """Every id and the state of the money. psycopg.Error when the database does not answer."""
    taken_s = boottime_s()  # before the snapshot: what ended by now must be in it
    money_sql = resources.files(__package__).joinpath("money.sql").read_bytes()
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("set transaction isolation level repeatable read, read only")
        cursor.execute("set local enable_indexscan = off")
        cursor.execute("set local enable_indexonlyscan = off")
        cursor.execute("set local enable_bitmapscan = off")
        cursor.execute("select host(inet_server_addr())")
        (server,) = cursor.fetchone() or ("",)
        cursor.execute("select id::text, count(*) from market_transaction group by id")
        ids = dict(cursor.fetchall())
        cursor.execute(money_sql)
        money = dict(cursor.fetchall())
    return Survivors(taken_s, server or "", ids, money)


def encode_survivors(survivors: Survivors) -> str:
    return json.dumps(asdict(survivors), separators=(",", ":"))


def decode_survivors(text: str) -> Survivors:
    """What ``encode_survivors`` wrote. ValueError or TypeError when it is not that."""
    return Survivors(**json.loads(text))
