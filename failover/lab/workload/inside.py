"""What runs in a client host: ``python -m failover.lab.workload setup|run|export``.

Must not import the lab (containers are not known in there) nor anything of ZooKeeper: a client
knows its proxy and the database hosts of its site, nothing else.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path

import click
import psycopg

from failover.cli.options import Number
from failover.config import load
from failover.lab.workload.attempt import Recorder, Via
from failover.lab.workload.client import Client, ClientSettings, Login, Target, connect, site_of
from failover.lab.workload.marketplace import SCHEMA_LOCK, schema_sql
from failover.lab.workload.survivors import encode_survivors, read_survivors
from failover.model import SiteName
from failover.policy import Cluster, Policy

PASSWORD_FILE = Path("/etc/failover/secrets/client.password")
STOP_LIMIT_S = 5.0


def login_of(cluster: Cluster) -> Login:
    """The shop's own role; its name is the database's. The password comes from a file."""
    path = Path(os.environ.get("FAILOVER_CLIENT_PASSWORD_FILE", PASSWORD_FILE))
    if not path.exists():
        raise click.ClickException(f"no password for the clients: {path} does not exist")
    return Login(cluster.name, cluster.name, path.read_text(encoding="utf-8").strip())


def targets_of(policy: Policy, cluster: Cluster, site: SiteName, via: str) -> tuple[Target, ...]:
    """Where ``proxy``, ``direct`` (any database host of the site) or ``direct:HOST`` leads."""
    kind, _, name = via.partition(":")
    if kind == Via.PROXY and not name:
        proxies = policy.site(site).proxies
        authorities = cluster.hosts[0].postgres_authorities
        return tuple(Target(str(p.address), cluster.proxy_port, authorities) for p in proxies)
    if kind != Via.DIRECT:
        raise click.BadParameter(f"{via!r}: expected proxy, direct or direct:HOST")
    hosts = [host for host in cluster.at(site) if name in ("", host.name)]
    if not hosts:
        known = ", ".join(host.name for host in cluster.at(site))
        raise click.BadParameter(f"no database host {name!r} at {site}; known: {known}")
    return tuple(
        Target(str(host.address), host.postgres_port, host.postgres_authorities) for host in hosts
    )


config_option = click.option(
    "--config", type=click.Path(path_type=Path), default="/etc/failover/failover.yaml"
)
site_option = click.option("--site", required=True, help="Where this client is.")
cluster_option = click.option("--cluster", help="Default: the first one of the group.")


@click.group()
def command() -> None:
    """The customers of the marketplace."""


@command.command()
@config_option
@site_option
@cluster_option
@click.option(
    "--wait",
    "wait_s",
    default=60.0,
    type=Number(min=0),
    help="Seconds to wait for a writable database.",
)
def setup(config: Path, site: str, cluster: str | None, wait_s: float) -> None:
    """Create the empty shop where it is not there yet."""
    policy, found = _policy_and_cluster(config, cluster)
    target = targets_of(policy, found, SiteName(site), Via.PROXY)[0]
    give_up_s = time.monotonic() + wait_s
    while True:
        try:
            create_shop(target, login_of(found))
            return
        except psycopg.OperationalError as error:
            if time.monotonic() > give_up_s:
                raise click.ClickException(f"no database through {target}: {error}") from None
            time.sleep(0.2)


def create_shop(target: Target, login: Login) -> None:
    """The schema and its seed, once, however many ask at the same time."""
    with connect(target, login, "marketplace setup") as connection, connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
        there = connection.execute("select to_regclass('ledger_entry')").fetchone()
        if there == (None,):
            connection.execute(schema_sql().encode())


@command.command()
@config_option
@site_option
@cluster_option
@click.option("--via", default="proxy", show_default=True, help="proxy, direct or direct:HOST.")
@click.option("--clients", default=4, show_default=True, type=click.IntRange(1, 200))
@click.option(
    "--rate",
    default=50.0,
    show_default=True,
    type=Number(min=0, min_open=True),
    help="Transactions a second, in all.",
)
@click.option("--record", required=True, type=click.Path(path_type=Path), help="Appended to.")
@click.option("--run", "run_name", default="workload", show_default=True)
@click.option("--seed", type=int, help="Of the customers' choices. Default: a new one.")
@click.option("--pid-file", type=click.Path(path_type=Path))
@click.option("--pause-file", type=click.Path(path_type=Path), help="Idle while it exists.")
@click.option("--seconds", type=Number(min=0), help="Stop after so long.")
@click.option("--until-stopped", is_flag=True, help="Go on until SIGTERM; the default.")
def run(
    config: Path,
    site: str,
    cluster: str | None,
    via: str,
    clients: int,
    rate: float,
    record: Path,
    run_name: str,
    seed: int | None,
    pid_file: Path | None,
    pause_file: Path | None,
    seconds: float | None,
    until_stopped: bool,
) -> None:
    """Buy, deliver, pay out and return until stopped; append every attempt to RECORD."""
    if until_stopped and seconds is not None:
        raise click.UsageError("--seconds and --until-stopped exclude one another")
    policy, found = _policy_and_cluster(config, cluster)
    targets = targets_of(policy, found, SiteName(site), via)
    chance = random.Random(seed)
    settings = [
        ClientSettings(
            run=run_name,
            name=f"{site}/{via}/{number}",
            site=SiteName(site),
            via=Via(via.partition(":")[0]),
            targets=targets,
            login=login_of(found),
            interval_s=clients / rate,
            seed=chance.getrandbits(64),
            pause_file=pause_file,
        )
        for number in range(1, clients + 1)
    ]
    with Recorder(record) as recorder:
        shop = [Client(one, recorder, lambda at: site_of(policy, at)) for one in settings]
        run_clients(shop, seconds, pid_file)


def run_clients(clients: list[Client], seconds: float | None, pid_file: Path | None) -> None:
    """All clients, a thread each, until SIGTERM, SIGINT or the time is up.

    ClickException when a client ended by itself: its record is then not to be trusted.
    """
    stop = threading.Event()
    signals = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda *_: stop.set()) for number in signals]
    threads = [threading.Thread(target=one.run, args=(stop,), daemon=True) for one in clients]
    for thread in threads:
        thread.start()
    if pid_file is not None:
        pid_file.write_text(f"{os.getpid()}\n", encoding="utf-8")
    give_up_s = None if seconds is None else time.monotonic() + seconds
    while not stop.wait(0.2) and all(thread.is_alive() for thread in threads):
        if give_up_s is not None and time.monotonic() > give_up_s:
            stop.set()
    ended_by_itself = not stop.is_set()
    stop.set()
    last_s = time.monotonic() + STOP_LIMIT_S
    for thread in threads:  # one that hangs in the kernel has not been told anything: no record
        thread.join(max(0.0, last_s - time.monotonic()))
    for number, handler in zip(signals, before, strict=True):
        signal.signal(number, handler)
    if pid_file is not None:
        pid_file.unlink(missing_ok=True)
    if ended_by_itself:
        raise click.ClickException("a client ended by itself; see the error above")


@command.command()
@config_option
@site_option
@cluster_option
@click.option("--out", required=True, type=click.Path(path_type=Path))
def export(config: Path, site: str, cluster: str | None, out: Path) -> None:
    """Write what the database has (ids, money) as JSON to OUT."""
    policy, found = _policy_and_cluster(config, cluster)
    target = targets_of(policy, found, SiteName(site), Via.PROXY)[0]
    try:
        with connect(target, login_of(found), "marketplace export") as connection:
            survivors = read_survivors(connection)
    except psycopg.Error as error:
        raise click.ClickException(f"no answer through {target}: {error}") from None
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(encode_survivors(survivors), encoding="utf-8")


def _policy_and_cluster(config: Path, cluster: str | None) -> tuple[Policy, Cluster]:
    policy = load(config)
    if cluster is None:
        return policy, policy.clusters[0]
    for one in policy.clusters:
        if one.name == cluster:
            return policy, one
    known = ", ".join(one.name for one in policy.clusters)
    raise click.BadParameter(f"unknown cluster {cluster!r}; known: {known}")
