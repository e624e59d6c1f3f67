"""The shop on a real PostgreSQL: every kind of transaction, and planted errors in its money."""

from __future__ import annotations

import contextlib
import random
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from single_container import _lab_image

from failover.lab.workload.attempt import Attempt, Outcome, Recorder, Via, read_attempts
from failover.lab.workload.checker import judge
from failover.lab.workload.client import Client, ClientSettings, Login, Target, connect
from failover.lab.workload.inside import create_shop, run_clients
from failover.lab.workload.marketplace import STATEMENTS, Kind
from failover.lab.workload.survivors import decode_survivors, encode_survivors, read_survivors
from failover.model import SiteName

pytestmark = pytest.mark.lab

LOGIN = Login("marketplace", "marketplace", "unused")
START = """
set -e
bin=/usr/lib/postgresql/17/bin
install -d -o postgres /tmp/data
run() { runuser -u postgres -- "$@"; }
run $bin/initdb -D /tmp/data -A trust >/dev/null
echo 'host all all all trust' >> /tmp/data/pg_hba.conf
run $bin/pg_ctl -D /tmp/data -w -o "-c listen_addresses=* -k /tmp -c fsync=off" start
run createuser -h /tmp marketplace
run createdb -h /tmp -O marketplace marketplace
touch /tmp/ready
exec sleep infinity
"""


@pytest.fixture(scope="module")
def shop() -> Iterator[Target]:
    docker = pytest.importorskip("docker")
    try:
        engine = docker.from_env()
        image = _lab_image(engine)
    except docker.errors.DockerException as error:
        pytest.skip(f"no container engine: {error}")
    container = engine.containers.run(
        image, command=["bash", "-c", START], detach=True, labels={"failover.test": "marketplace"}
    )
    try:
        target = Target(_address(container), 5432)
        _wait_ready(container)
        create_shop(target, LOGIN)
        create_shop(target, LOGIN)  # the second time nothing happens
        yield target
    finally:
        container.remove(force=True)
        engine.close()


def _address(container: Any) -> str:
    container.reload()
    (network,) = container.attrs["NetworkSettings"]["Networks"].values()
    return str(network["IPAddress"])


def _wait_ready(container: Any) -> None:
    until_s = time.monotonic() + 30
    while time.monotonic() < until_s:
        if container.exec_run(["test", "-e", "/tmp/ready"]).exit_code == 0:
            return
        time.sleep(0.2)
    raise AssertionError(container.logs().decode()[-2000:])


@contextlib.contextmanager
def session(shop: Target) -> Iterator[psycopg.Connection[Any]]:
    with connect(shop, LOGIN, "test") as connection:
        yield connection


def served(shop: Target, record: Path, seconds: float) -> list[Attempt]:
    settings = [
        ClientSettings(
            run="test",
            name=f"jakarta/proxy/{number}",
            site=SiteName("jakarta"),
            via=Via.PROXY,
            targets=(shop,),
            login=LOGIN,
            interval_s=0.01,
            seed=number,
        )
        for number in range(4)
    ]
    with Recorder(record) as recorder:
        clients = [Client(one, recorder, lambda _: SiteName("jakarta")) for one in settings]
        run_clients(clients, seconds, None)
    return read_attempts(record.parent)


def test_every_acknowledgement_is_kept_and_the_money_adds_up(shop: Target, tmp_path: Path) -> None:
    attempts = served(shop, tmp_path / "a.jsonl", 3.0)
    with session(shop) as connection:
        survivors = read_survivors(connection)
    report = judge(attempts, survivors)
    assert report.acked > 100
    assert (report.lost, report.problems, report.indeterminate) == ((), (), 0)
    assert attempts[0].server == shop.host
    assert decode_survivors(encode_survivors(survivors)) == survivors


def test_protection_and_guarantee_run_out(shop: Target) -> None:
    """A delivery of 8 days ago is paid out; then it can be returned on the guarantee only."""
    with session(shop) as connection, connection.transaction(force_rollback=True):
        _do(connection, Kind.TOP_UP)
        _do(connection, Kind.ORDER)
        connection.execute("update customer_order set state = 'returned' where state <> 'paid'")
        assert _do(connection, Kind.DELIVERY) == 1
        assert _do(connection, Kind.PAY_OUT) == 0  # the buyer is still protected
        connection.execute("update customer_order set delivered_day = market_day() - 8")
        assert _do(connection, Kind.RETURN_PROTECTED) == 0
        assert _do(connection, Kind.PAY_OUT) == 1
        assert _do(connection, Kind.RETURN_GUARANTEED) == 1
        assert _do(connection, Kind.RETURN_GUARANTEED) == 0


def _do(connection: psycopg.Connection[Any], kind: Kind) -> int:
    chance = random.Random(1)
    parameters = {
        "id": uuid.uuid4(),
        "run": "test",
        "client": "test",
        "kind": kind.value,
        "buyer": 1,
        "seller": chance.randint(1, 100),
        "amount": 20_000,
    }
    row = connection.execute(STATEMENTS[kind], parameters).fetchone() or (0, "", None)
    made, _server, _xid = row
    return int(made)


@pytest.mark.parametrize(
    ("planted", "rule"),
    [
        ("update ledger_entry set amount = amount + 1 where line = 1", "do not add up to zero"),
        ("delete from ledger_entry where account = 'wallet'", "sum of all ledger entries"),
        ("update buyer set balance = balance + 1 where id = 1", "wallets that differ"),
        ("update seller set balance = balance + 1 where id = 1", "sellers that differ"),
        ("update customer_order set amount = amount + 1 where state = 'paid'", "escrow minus"),
        ("delete from customer_order where state = 'paid'", "without their order"),
        ("update customer_order set paid_out_day = delivered_day + 7", "buyer protection"),
        (
            "update customer_order set state = 'returned', returned_day = delivered_day + 8",
            "outside the 7 days",
        ),
        (
            "update customer_order set state = 'refunded', returned_day = delivered_day + 15",
            "outside the 14 days",
        ),
    ],
)
def test_planted_error_is_found(shop: Target, planted: str, rule: str, tmp_path: Path) -> None:
    with session(shop) as connection, connection.transaction(force_rollback=True):
        for kind in (Kind.TOP_UP, Kind.TOP_UP, Kind.ORDER, Kind.DELIVERY, Kind.ORDER):
            assert _do(connection, kind) == 1, "whatever the customers before have left"
        assert connection.execute(planted.encode()).rowcount > 0
        problems = _problems_inside(connection)
    assert any(rule in problem for problem in problems), problems


def _problems_inside(connection: psycopg.Connection[Any]) -> list[str]:
    """What money.sql says within this transaction."""
    from importlib import resources

    sql = resources.files("failover.lab.workload").joinpath("money.sql").read_bytes()
    return [f"{name}: {off}" for name, off in connection.execute(sql).fetchall() if off]


def test_standby_refuses_and_is_recorded_as_failed(shop: Target, tmp_path: Path) -> None:
    """What a read-only server says is a known no, and the id does not turn up."""
    with connect(shop, LOGIN, "test") as admin:
        admin.execute("alter role marketplace set default_transaction_read_only = on")
        try:
            attempts = served(shop, tmp_path / "a.jsonl", 0.5)
        finally:
            admin.execute("set default_transaction_read_only = off")
            admin.execute("alter role marketplace reset default_transaction_read_only")
    assert attempts
    assert {one.outcome for one in attempts} == {Outcome.FAILED}
    assert attempts[0].detail.startswith("25006")
