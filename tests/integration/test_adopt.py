"""A Patroni pair that this project did not make: looked at, armed and disarmed without a restart of
a server; moved and taken over between the two.

The tests are one story, in order: each begins where the one before has left the pair.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import yaml
from adopted_pair import (
    FILE,
    OBSERVER_PASSWORD,
    PASSWORD,
    SETPRIV,
    Host,
    Pair,
    adopted_pair,
    other_addresses,
    until,
)

from failover.cli.look import Reader
from failover.config import load
from failover.coordination.connect import open_store
from failover.lab.stages import http_get
from failover.state import StandbyScope

pytestmark = [pytest.mark.lab, pytest.mark.slow]

BARRIERS = "/usr/lib/failover/barrier"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with adopted_pair(tmp_path_factory.mktemp("adopt")) as found:
        yield found


def patroni_znodes(pair: Pair) -> dict[str, int]:
    """Version of each znode of Patroni that it does not renew by itself."""
    with open_store(load(pair.config)) as store:
        paths = [
            f"/service/{s}/{p}" for s in ("shop-main", "shop-dr") for p in ("config", "leader")
        ]
        found = {path: store.read(path) for path in paths}
    return {path: znode.version for path, znode in found.items() if znode is not None}


def look(pair: Pair) -> Any:
    policy = load(pair.config)
    with open_store(policy) as store:
        return Reader(policy, store).settle().view


def addresses(pair: Pair) -> list[str]:
    return list(other_addresses(pair.zookeeper.address))


def read(pair: Pair) -> tuple[str, ...]:
    files = []
    for host in pair.hosts:
        copy = pair.directory / f"{host.name}.yml"
        copy.write_text(host.run(f"cat {FILE}"), encoding="utf-8")
        files += ["--patroni-yml", str(copy)]
    zookeeper = [word for each in addresses(pair) for word in ("--zookeeper", each)]
    return (pair.primary.address, pair.standby.address, *zookeeper, *files)


def differences(pair: Pair) -> dict[str, Any]:
    said = pair.failover(
        "adopt", "differences", *read(pair), "--config", str(pair.config), "-o", "json"
    )
    assert said.returncode in (0, 1), said.stderr
    found: dict[str, Any] = json.loads(said.stdout)
    return found


def keys(found: dict[str, Any], when: str) -> set[str]:
    return {each["key"] for each in found["differences"] if each["when"] == when}


# --------------------------------------------------------------------------- look, differences


def test_it_is_read_and_drafted(pair: Pair) -> None:
    drafted = pair.failover("adopt", "draft", *read(pair), "--cluster", "shop")
    assert drafted.returncode == 0, drafted.stderr
    document = yaml.safe_load(drafted.stdout)
    scopes = document["clusters"]["shop"]["scopes"]
    assert scopes == {"jakarta": "shop-main", "makassar": "shop-dr"}
    servers = addresses(pair)
    sites = document["sites"]
    hosts = (pair.primary.address, pair.standby.address, pair.zookeeper.address)
    for number, (name, host) in enumerate(zip(sites, hosts, strict=True)):
        site = sites[name]
        port = 19187 + number
        site["zookeeper"] = [{"name": f"z{number}", "address": servers[number], "myid": number + 1}]
        own = host if name == "surabaya" else f"172.17.253.{number + 1}"
        site["controller"] = {"name": f"{name}-ctl1", "address": own, "metrics_port": port}
        inside = {host, servers[number], own}
        site["networks"] = [f"{each}/32" for each in sorted(inside)]
    pair.config.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    checked = pair.failover("config", "check", "--config", str(pair.config))
    assert checked.returncode == 0, checked.stderr


def test_what_it_lacks_is_said_and_nothing_is_written(pair: Pair) -> None:
    before, started = patroni_znodes(pair), pair.started()
    found = differences(pair)
    assert {"ttl", "loop_wait", "slots.failover_makassar", "barriers"} <= keys(
        found, "before arming"
    )
    assert {"standby_cluster.primary_slot_name", "roles and functions"} <= keys(
        found, "before arming"
    )
    assert "postgresql.parameters.wal_sender_timeout" in keys(found, "before automation")
    assert "postgresql.callbacks.on_role_change" in keys(found, "to know")
    assert PASSWORD not in json.dumps(found)
    assert patroni_znodes(pair) == before
    assert pair.started() == started


def test_the_commands_take_the_dynamic_part_away(pair: Pair) -> None:
    started = pair.started()
    for each in differences(pair)["commands"]:
        if each["effect"] == "reload":
            words = each["command"].removeprefix("patronictl ")
            host = pair.primary if each["scope"] == "shop-main" else pair.standby
            host.patronictl(f"{words} --force")
    slot = "SELECT active FROM pg_replication_slots WHERE slot_name = 'failover_makassar'"
    until(lambda: pair.primary.sql(slot) == "t", 40, "the standby cluster reads its new slot")
    left = differences(pair)
    dynamic = ("ttl", "loop_wait", "retry_timeout", "slots.failover_makassar")
    assert not set(dynamic) & keys(left, "before arming")
    assert not any(
        key.startswith("postgresql.parameters.wal_") for key in keys(left, "before automation")
    )
    assert pair.started() == started


# --------------------------------------------------------------------------- observe


SECRET = "/etc/failover/secrets/observer.password"


def start_controller(pair: Pair) -> None:
    host = pair.zookeeper
    host.put("/etc/failover/failover.yaml", pair.config.read_text(encoding="utf-8"))
    host.put(SECRET, OBSERVER_PASSWORD)
    host.run("touch /var/log/controller.log; chmod 666 /var/log/controller.log")
    host.start(f"{SETPRIV} failover controller --site surabaya", "/var/log/controller.log")


def test_it_is_observed_and_no_guard_holds_anything(pair: Pair) -> None:
    before, started = patroni_znodes(pair), pair.started()
    pair.primary.put("/tmp/adopt.sql", pair.failover("adopt", "sql").stdout)
    pair.primary.run(
        f"{SETPRIV} psql -Xq -f /tmp/adopt.sql postgres",
        FAILOVER_OBSERVER_PASSWORD=OBSERVER_PASSWORD,
    )
    start_controller(pair)
    code, said = pair.on_controller("adopt observe --reason look")
    assert code == 0, said
    for host in pair.hosts:
        host.put("/etc/failover/failover.yaml", pair.config.read_text(encoding="utf-8"))
        host.run("ln -s main /var/lib/postgresql/17/shop")
        start_guard(host)
    seen = until(lambda: (v := look(pair)).living_observers and v, 30, "an observer")
    until(lambda: _guards_answer(pair), 30, "guards that answer")
    assert seen.state is not None
    assert not seen.state.armed
    status = pair.failover("status", "--config", str(pair.config))
    assert "not_armed" in status.stdout
    host_status = json.loads(pair.primary.run(f"{SETPRIV} failover guard status --host pg1"))
    assert not host_status["armed"]
    assert pair.primary.sql("CREATE TABLE written AS SELECT 1") == ""
    assert patroni_znodes(pair) == before
    assert pair.started() == started


def start_guard(host: Host) -> None:
    run = f"failover guard run --config /etc/failover/failover.yaml --host {host.name}"
    capable = "--inh-caps +net_admin --ambient-caps +net_admin"
    host.start(f"{SETPRIV} {capable} {run}", "/var/log/guard.log")


def _guards_answer(pair: Pair) -> bool:
    view = look(pair)
    return all(h.guard for c in view.clusters for side in c.sides for h in side.hosts)


# --------------------------------------------------------------------------- arm


def test_arming_is_refused_while_the_barriers_are_missing(pair: Pair) -> None:
    code, said = arm(pair)
    assert code == 5, said
    assert "start-barrier" in said


def arm(pair: Pair) -> tuple[int, str]:
    return pair.on_controller("adopt arm --reason ready --wait 60")


def test_patroni_gets_the_barriers_in_its_pause(pair: Pair) -> None:
    started = pair.started()
    tree = pair.directory / "hosts"
    rendered = pair.failover("config", "render", "--to", str(tree), "--config", str(pair.config))
    assert rendered.returncode == 0, rendered.stderr
    for host, site in zip(pair.hosts, ("jakarta", "makassar"), strict=True):
        _rewrite(host, yaml.safe_load((tree / site / host.name / FILE[1:]).read_text("utf-8")))
        host.patronictl("pause --wait")
        host.end(f"bin/patroni {FILE}")
        host.start(f"{SETPRIV} failover guard patroni {FILE}", "/var/log/patroni.log")
        until(lambda h=host: _answers(h) and _is_listed(h), 30, "Patroni")
        host.patronictl("resume --wait")
    assert pair.started() == started


def _answers(host: Host) -> bool:
    """Its REST interface, by which it is asked to resume; its row may be of the process before."""
    return http_get(host.address, 8008, "/liveness")[0] == 200


def _is_listed(host: Host) -> bool:
    listed = host.patronictl("list")
    return "running" in listed or "streaming" in listed


def _rewrite(host: Host, rendered: dict[str, Any]) -> None:
    """The guard's lines into the file that was there; what is somebody's own stays."""
    document = yaml.safe_load(host.run(f"cat {FILE}"))
    own, ours = document["postgresql"], rendered["postgresql"]
    own["data_dir"] = ours["data_dir"]
    own["bin_name"], own["pre_promote"] = ours["bin_name"], ours["pre_promote"]
    document["zookeeper"] = rendered["zookeeper"]
    host.put(FILE, yaml.safe_dump(document, sort_keys=False))


def test_it_is_armed_and_every_server_goes_on(pair: Pair) -> None:
    started = pair.started()
    code, said = arm(pair)
    assert code == 0, said
    view = look(pair)
    assert view.state.armed
    assert view.state.epoch == 2
    assert view.clusters[0].primary is not None
    assert pair.started() == started
    assert client_writes(pair)
    until(lambda: reads(pair.standby), 10, "a standby that answers readers")


def client_writes(pair: Pair) -> bool:
    with psycopg.connect(_dsn(pair.primary), connect_timeout=3, autocommit=True) as connection:
        connection.execute("INSERT INTO written VALUES (2)")
    return True


def reads(host: Host) -> bool:
    with psycopg.connect(_dsn(host), connect_timeout=3) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


def _dsn(host: Host) -> str:
    return f"host={host.address} user=postgres password={PASSWORD} dbname=postgres"


# --------------------------------------------------------------------------- disarm


def test_it_is_disarmed_and_every_server_goes_on(pair: Pair) -> None:
    started = pair.started()
    code, said = pair.on_controller("adopt disarm --reason enough --wait 60")
    assert code == 0, said
    assert look(pair).clusters[0].claim_held is False
    assert pair.started() == started
    assert client_writes(pair)


def test_it_is_armed_again(pair: Pair) -> None:
    started = pair.started()
    code, said = arm(pair)
    assert code == 0, said
    assert look(pair).state.epoch == 3
    assert pair.started() == started


# --------------------------------------------------------------------------- moved


def test_an_armed_pair_is_moved_there_and_back(pair: Pair) -> None:
    moved(pair, "makassar", pair.standby)
    moved(pair, "jakarta", pair.primary)


def moved(pair: Pair, site: str, host: Host) -> None:
    """By an operator, nothing lost; and the other site follows again."""
    before = rows(pair.primary)
    code, said = pair.on_controller(f"switchover --to {site} --yes --reason drill")
    assert code == 0, said
    assert host.sql("SELECT pg_is_in_recovery()") == "f"
    host.sql("INSERT INTO written VALUES (3)")
    assert rows(host) == before + 1
    until(lambda: follows(pair), 90, "a pair that is whole again")


def rows(host: Host) -> int:
    return int(host.sql("SELECT count(*) FROM written"))


def follows(pair: Pair) -> bool:
    """Both have the same, the standby site is on record as following, and streams."""
    (cluster,) = look(pair).clusters
    on_record = cluster.recorded.promoted and cluster.recorded.standby is StandbyScope.FOLLOWING
    streams = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
    primary = next(h for h in pair.hosts if h.sql("SELECT pg_is_in_recovery()") == "f")
    return on_record and primary.sql(streams) == "1" and len({rows(h) for h in pair.hosts}) == 1


def test_its_lost_site_is_taken_over_and_comes_back(pair: Pair) -> None:
    """The whole host is frozen, as a site that is cut off: its guard cannot say goodbye."""
    code, said = pair.on_controller("automation auto --unproven --reason adopted")
    assert code == 0, said
    pair.primary.container.pause()
    try:
        out = "SELECT NOT pg_is_in_recovery()"
        until(lambda: pair.standby.sql(out) == "t", 90, "a takeover")
        pair.standby.sql("INSERT INTO written VALUES (4)")
    finally:
        pair.primary.container.unpause()
    until(lambda: follows(pair), 120, "the lost site reinstated")
    moved(pair, "jakarta", pair.primary)


def test_without_guards_the_pair_goes_on_as_it_was(pair: Pair) -> None:
    started = pair.started()
    code, said = pair.on_controller("adopt disarm --reason enough --wait 60")
    assert code == 0, said
    for host in pair.hosts:
        host.end("failover guard (run|work)")
        host.run("nft delete table inet failover-shop")
    assert pair.started() == started
    assert client_writes(pair)
    assert reads(pair.standby)
