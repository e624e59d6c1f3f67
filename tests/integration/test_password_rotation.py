"""Passwords of Patroni's are replaced while it runs: by a reload, nothing is restarted.

What a standby that reconnects in the middle sees is measured here too, not only hoped for.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
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

pytestmark = pytest.mark.lab

NEW = "another-one"


def sql(member: Member, statement: str) -> str:
    ask = f'psql -h /run/postgresql -XtAc "{statement}" postgres'
    return member.run(f"setpriv --reuid=postgres --regid=postgres --clear-groups {ask}").strip()


def receiver(member: Member) -> str:
    """The process that streams; empty where none does."""
    return sql(member, "SELECT pid FROM pg_stat_wal_receiver WHERE status = 'streaming'")


def give(member: Member, password: str) -> None:
    text = "".join(f"PATRONI_{name}_PASSWORD={password}\n" for name in ("REPLICATION", "RESTAPI"))
    member.run(f"install -d {ENVIRONMENT_FILE.parent}")
    member.put({str(ENVIRONMENT_FILE): (text.encode(), 0o644)})


def orders(pair: Pair, member: Member, password: str) -> bool:  # noqa: F811
    answer = order(pair.host(member, member.mode), password)
    return isinstance(answer, Ordered) and answer.accepted


@pytest.fixture
def midway(pair: Pair) -> Iterator[tuple[Member, Member]]:  # noqa: F811
    """Primary and standby; the server has the new password, hosts the file, nobody reloaded."""
    primary, standby = pair.leader()
    wait_for(lambda: receiver(standby) != "", standby)
    for member in pair.members:
        give(member, NEW)
    sql(primary, f"ALTER ROLE replicator PASSWORD '{NEW}'")
    yield primary, standby
    for member in pair.members:
        give(member, PASSWORD)
    sql(primary, f"ALTER ROLE replicator PASSWORD '{PASSWORD}'")
    for member in pair.members:
        member.reload()
    wait_for(lambda: all(orders(pair, member, PASSWORD) for member in pair.members))
    wait_for(lambda: receiver(standby) != "", standby)


def passfile(member: Member) -> str:
    return member.run("cat /run/patroni/pgpass")


def test_a_reload_takes_the_new_ones_and_the_receiver_stays(
    pair: Pair,  # noqa: F811
    midway: tuple[Member, Member],
) -> None:
    _, standby = midway
    before = receiver(standby)
    assert before
    assert orders(pair, standby, PASSWORD)
    for member in pair.members:
        member.reload()
    wait_for(lambda: NEW in passfile(standby), standby)
    for member in pair.members:
        wait_for(lambda member=member: orders(pair, member, NEW), member)  # type: ignore[misc]
        assert not orders(pair, member, PASSWORD)
    assert receiver(standby) == before
    standby.run(f"kill {before}")  # pg_terminate_backend takes no process of this kind
    wait_for(lambda: receiver(standby) not in ("", before), standby)


def test_who_reconnects_in_the_middle_streams_after_its_reload(
    midway: tuple[Member, Member],
) -> None:
    primary, standby = midway
    before = receiver(standby)
    standby.run(f"kill {before}")  # pg_terminate_backend takes no process of this kind
    wait_for(lambda: "password authentication failed" in standby.log() + primary.log(), standby)
    assert receiver(standby) == "", "one password for a role: the old one is refused"
    standby.reload()
    wait_for(lambda: receiver(standby) not in ("", before), standby)
