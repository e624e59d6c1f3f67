"""A Patroni pair as somebody might have it, for the tests of ``failover adopt``."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from failover.adoption.difference import Difference, Wanted
from failover.adoption.differences import differences
from failover.adoption.facts import (
    SNAPSHOT_SCHEMA,
    Ensemble,
    Member,
    Scope,
    Server,
    Snapshot,
    Walsender,
    dcs_of,
    kept,
)
from failover.adoption.proposal import Names, proposal
from failover.config import parse
from failover.model import ClusterName
from failover.policy import Policy
from failover.render.expected import expected

NAMES = Names(("jakarta", "makassar", "surabaya"), "shop", "shop", "PT Toko")
SHOP = ClusterName("shop")

DYNAMIC: dict[str, Any] = {
    "ttl": 30,
    "loop_wait": 10,
    "retry_timeout": 10,
    "maximum_lag_on_failover": 1048576,
    "postgresql": {"use_pg_rewind": True, "parameters": {"max_connections": 300}},
    "slots": {"dr": {"type": "physical"}},
}
STANDBY: dict[str, Any] = {
    **{key: value for key, value in DYNAMIC.items() if key != "slots"},
    "standby_cluster": {"host": "10.1.0.11", "port": 5432, "primary_slot_name": "dr"},
}
FILE: dict[str, Any] = {
    "scope": "shop-main",
    "name": "pg1",
    "restapi": {"listen": "10.1.0.11:8008", "connect_address": "10.1.0.11:8008"},
    "zookeeper": {"hosts": ["10.1.0.21:2181"], "auth_data": {"me": "hunter2"}},
    "postgresql": {
        "listen": "10.1.0.11:5432",
        "connect_address": "10.1.0.11:5432",
        "data_dir": "/var/lib/postgresql/17/main",
        "bin_dir": "/usr/lib/postgresql/17/bin",
        "authentication": {"superuser": {"username": "postgres", "password": "hunter2"}},
        "callbacks": {"on_role_change": "/usr/local/bin/told --token hunter2"},
        "pre_promote": "/usr/local/bin/asks --key hunter2",
        "parameters": {"archive_command": "curl -u me:hunter2", "wal_log_hints": "off"},
        "pg_hba": ["local all all peer", "host all all 10.0.0.0/8 scram-sha-256"],
    },
}


def member(name: str, address: str, role: str, **more: Any) -> Member:
    told: dict[str, Any] = {
        "state": "running" if role == "leader" else "streaming",
        "patroni_version": "4.1.5",
        "server_version": 170005,
        "timeline": 3,
        "system_identifier": "7300000000000000001",
    }
    return Member(name, address, 5432, 8008, role, **{**told, **more})


def scope(name: str, config: dict[str, Any], *members: Member, **more: Any) -> Scope:
    return Scope(name, "http://10.1.0.11:8008", False, json.dumps(config), members, **more)


SENDS = (
    Walsender("pg2", "10.1.0.12", "streaming", "async"),
    Walsender("pg3", "10.2.0.11", "streaming", "async"),
)
PRIMARY = scope(
    "shop-main",
    DYNAMIC,
    member("pg1", "10.1.0.11", "leader", walsenders=SENDS),
    member("pg2", "10.1.0.12", "replica"),
)
OTHER = scope(
    "shop-dr",
    STANDBY,
    member("pg3", "10.2.0.11", "standby_leader"),
    member("pg4", "10.2.0.12", "replica"),
)
TIMES = (
    *(("initLimit", "20"), ("maxSessionTimeout", "8000")),
    *(("syncLimit", "3"), ("tickTime", "500")),
)
ENSEMBLE = Ensemble(
    (
        Server("10.1.0.21", 2181, "follower", (*TIMES, ("serverId", "1"))),
        Server("10.2.0.21", 2181, "follower", (*TIMES, ("serverId", "2"))),
        Server("10.3.0.21", 2181, "leader", (*TIMES, ("serverId", "3"))),
    ),
    "/service",
    ("shop-dr", "shop-main"),
)
PAIR = Snapshot(SNAPSHOT_SCHEMA, 1_760_000_000.0, PRIMARY, OTHER, ENSEMBLE)


def policy(snapshot: Snapshot = PAIR) -> Policy:
    return parse(proposal(snapshot, NAMES))


def found(snapshot: Snapshot = PAIR, by: Policy | None = None) -> tuple[Difference, ...]:
    wanted = by or policy()
    return differences(snapshot, Wanted.of(wanted, expected(wanted, b""), SHOP))


def keys(snapshot: Snapshot = PAIR, where: str | None = None) -> set[str]:
    return {each.key for each in found(snapshot) if where in (None, each.where)}


def one(snapshot: Snapshot, key: str, where: str | None = None) -> Difference:
    (only,) = [d for d in found(snapshot) if d.key == key and where in (None, d.where)]
    return only


def with_primary(**changes: Any) -> Snapshot:
    return replace(PAIR, primary=replace(PRIMARY, **changes))


def with_leader(**changes: Any) -> Snapshot:
    leader, *others = PRIMARY.members
    return with_primary(members=(replace(leader, **changes), *others))


def with_config(**changes: Any) -> Snapshot:
    return with_primary(config=json.dumps({**DYNAMIC, **changes}))


def with_file(document: dict[str, Any] = FILE, **postgresql: Any) -> Snapshot:
    document = {**document, "postgresql": {**document["postgresql"], **postgresql}}
    return with_leader(file=kept(document), dcs=dcs_of(document))
