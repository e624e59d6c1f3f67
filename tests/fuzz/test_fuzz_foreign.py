"""What others write: Patroni's documents and znodes, ZooKeeper's words, rows of PostgreSQL.

Whatever it is, an answer is an observation or a ``NoAnswer`` that can be published; a configuration
is one that can be changed without losing anything, or None, which holds.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from cli_world import CLUSTER, JAKARTA, MAKASSAR, NOW_UNIX_S, POLICY
from hostile import (
    DEEP,
    DEEP_OBJECT,
    as_bytes,
    fuzzed,
    in_time,
    json_texts,
    near,
    spoilt,
    texts,
    values,
)
from hypothesis import example, given
from hypothesis import strategies as st

from failover.guard.reads import is_paused
from failover.health.inputs import ConfigSeen, LeaderKeySeen
from failover.health.listed import listed_hosts, names_text
from failover.health.observation import (
    GuardSeen,
    HostObservation,
    NoAnswer,
    NoAnswerKind,
    PatroniSeen,
    PostgresSeen,
    SiteObservation,
    ZooKeeperObservation,
    decode_observation,
    encode_observation,
)
from failover.health.scope import (
    FENCE_PREFIX,
    PatroniConfig,
    following,
    is_fence,
    ordinary_again,
    parse_config,
    promoted,
    quarantined,
    waiting_for,
)
from failover.model import HostName, Lsn
from failover.rebuild import zoo_cfg
from failover.replication.lineage import parse_switches
from failover.sites import guard_http, patroni, postgres, residency_scan, zookeeper_status
from failover.znode import Znode

HOST = HostName("jkt-db1")
SILENT = NoAnswer(NoAnswerKind.TIMED_OUT, "")
PATRONI = {
    "state": "running",
    "postmaster_start_time": "2026-11-26 05:25:51.134063+00:00",
    "role": "primary",
    "server_version": 170002,
    "xlog": {"location": 50331976, "replayed_location": 50331976, "paused": False},
    "timeline": 3,
    "replication_state": "streaming",
    "pending_restart": True,
    "pause": False,
    "tags": {"nofailover": True},
    "patroni": {"version": "4.1.5", "scope": "marketplace-jakarta", "name": "jkt-db1"},
}
GUARD = {
    **{"armed": True, "granted": True, "writable": True, "worker_alive": True},
    **{"server_alive": True, "epoch": 3, "deadline_in_s": 4.2, "salvaged_epoch": None},
    **{"answered_s_ago": 0.1, "barrier": True},
}


def published(
    postgres: PostgresSeen | NoAnswer = SILENT,
    patroni: PatroniSeen | NoAnswer = SILENT,
    guard: GuardSeen | NoAnswer = SILENT,
    zookeeper: tuple[ZooKeeperObservation, ...] = (),
) -> None:
    """Every other controller can read it: one odd answer silences no observer."""
    host = HostObservation(HOST, postgres, patroni, guard)
    seen = SiteObservation(JAKARTA, 1, NOW_UNIX_S, 0.1, (host,), zookeeper)
    assert decode_observation(encode_observation(seen), path="x") == seen


# --------------------------------------------------------------------------- answers


@given(near(PATRONI) | json_texts())
@example(DEEP)
@example(DEEP_OBJECT)
@fuzzed(12)
def test_patroni_says_something(text: str) -> None:
    with in_time():
        seen = patroni.seen_in(b"HTTP/1.0 200 OK\r\n\r\n" + as_bytes(text))
    published(patroni=seen)
    if isinstance(seen, PatroniSeen) and seen.timeline is not None:
        assert type(json.loads(text)["timeline"]) is int, "a timeline that is a number by itself"
        assert seen.timeline > 0


@given(st.binary(max_size=80))
@fuzzed(4)
def test_what_stands_at_patronis_port(answer: bytes) -> None:
    assert isinstance(patroni.seen_in(answer), NoAnswer)


@given(near(PATRONI) | json_texts())
@example(DEEP)
@fuzzed(8)
def test_a_member_that_a_reseed_waits_for(text: str) -> None:
    with in_time():
        seen = patroni.member_in(as_bytes(text))
    if isinstance(seen, NoAnswer):
        return
    assert seen.replayed_lsn is None or 0 <= seen.replayed_lsn.bytes < 2**64
    assert seen.started is None or isinstance(seen.started, str)


@given(near({"members": [{"name": "a"}, {"name": "b"}], "scope": "x"}) | json_texts())
@example(DEEP)
@fuzzed(8)
def test_the_members_of_a_scope(text: str) -> None:
    with in_time():
        seen = patroni.members_in(as_bytes(text))
    if not isinstance(seen, NoAnswer):
        assert [{"name": name} for name in seen] == [
            {"name": one["name"]} for one in json.loads(text)["members"]
        ]


@given(near(GUARD) | json_texts())
@fuzzed(8)
def test_a_guard_says_something(text: str) -> None:
    with in_time():
        seen = guard_http.seen(as_bytes(text))
    published(guard=seen)
    if isinstance(seen, GuardSeen):
        assert type(json.loads(text)["granted"]) is bool, "a yes is a yes, and no 1 and no text"


SRVR = """Zookeeper version: 3.9.3, built on 2025-01-01 00:00 UTC
Latency min/avg/max: 0/0.5/12
Received: 1
Sent: 1
Connections: 3
Outstanding: 0
Zxid: 0x700000012
Mode: leader
Node count: 20
"""


@given(spoilt(SRVR) | texts().map(lambda t: f"Mode: leader\nZxid: {t}\n") | texts())
@example("Mode: leader\nZxid: -0x1\n")
@example("Mode: leader\nZxid: 0x" + "f" * 100_000)
@fuzzed(12)
def test_a_zookeeper_server_says_something(text: str) -> None:
    with in_time():
        seen = zookeeper_status.seen(text)
    published(zookeeper=(ZooKeeperObservation(HostName("z"), seen),))


def rows(example: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({key: st.just(value) | values() for key, value in example.items()})


ROW = {
    **{"in_recovery": False, "current_lsn": "0/3000148", "received_lsn": None},
    **{"replayed_lsn": None, "receiver_status": None, "sender_host": None},
    **{"system_identifier": "7", "kept": [["s", "0/3000000"]], "sync_names": ""},
    **{"walsenders": [["a", "streaming", "0/3000000", "async"]], "checkpointer_idle": True},
    **{"started": "x", "current_timeline_hex": "00000003", "received_tli": 3, "wal_tli": 3},
    **{"recovery_tli": 3, "checkpoint_tli": 3},
}


@given(rows(ROW))
@fuzzed(12)
def test_a_row_of_postgresql(row: dict[str, Any]) -> None:
    """One that cannot be understood is one of the errors that the probe makes a NoAnswer of."""
    with in_time(), suppress(ValueError, KeyError, TypeError, IndexError):
        published(postgres=postgres.seen(row))


SCAN = {
    "sessions": [
        {
            **{"kind": "walsender", "role": "r", "superuser": False, "database": "d"},
            **{"address": "10.77.1.12", "state": "streaming", "slot": "s", "sessions": 1},
            **{"sent_bytes": 1},
        }
    ],
    "slots": [{"name": "s", "logical": False, "temporary": False, "database": None}],
    "hba": [
        {
            **{"line": 1, "type": "host", "databases": ["all"], "roles": ["all"]},
            **{"address": "10.77.1.0", "netmask": "255.255.255.0", "method": "trust"},
            "broken": False,
        }
    ],
    "settings": [{"name": "archive_command", "sha256": "0"}],
    "upstreams": [],
}


@given(near(SCAN))
@fuzzed(12)
def test_what_a_host_lets_out(text: str) -> None:
    """A row that cannot be understood is one of the errors that a scanner makes a problem of."""
    with in_time(), suppress(ValueError, KeyError, TypeError):
        residency_scan.host_facts(json.loads(text))


# --------------------------------------------------------------------------- znodes of Patroni

CONFIG = {
    "ttl": 20,
    "loop_wait": 1,
    "pause": False,
    "standby_cluster": {"host": "10.77.1.11", "port": 5432, "primary_slot_name": "failover_x"},
    "slots": {"mine": {"type": "physical"}},
    "postgresql": {"parameters": {"synchronous_standby_names": '1 ("mks-db1")', "wal_level": "r"}},
    "foreign": {"a": [1, 2.5, None, "é"]},
}
OURS = ("standby_cluster", "slots", "postgresql")


def config_of(text: str) -> PatroniConfig | None:
    return parse_config(ConfigSeen(text, 1))


@given(near(CONFIG) | json_texts())
@example(DEEP)
@example(DEEP_OBJECT)
@example('{"standby_cluster":{"host":"10.77.1.11","port":"²"}}')
@example('{"slots":"x"}')
@example('{"postgresql":{"parameters":["x"]}}')
@fuzzed(16)
def test_a_configuration_loses_nothing(text: str) -> None:
    primary = POLICY.cluster(CLUSTER).at(JAKARTA)[0]
    with in_time():
        config = config_of(text)
        if config is None:
            return
        before = json.loads(text)
        assert list(before) == list(config.document), "no key twice"
        for data in (
            quarantined(config),
            promoted(config, MAKASSAR),
            ordinary_again(config, MAKASSAR),
            following(config, MAKASSAR, primary),
            waiting_for(config, ""),
            waiting_for(config, names_text([HOST])),
        ):
            after = json.loads(data)
            assert config_of(data.decode()) is not None, "what is written can be read again"
            assert {k: v for k, v in after.items() if k not in OURS} == {
                k: v for k, v in before.items() if k not in OURS
            }
            for key in ("slots", "postgresql"):
                kept = after.get(key) or {}
                lost = set(before.get(key) or {}) - set(kept)
                assert not lost, f"{key}: {lost}"


@given(near(CONFIG) | json_texts())
@example(DEEP)
@fuzzed(6)
def test_the_guard_reads_the_pause(text: str) -> None:
    with in_time():
        assert is_paused(Znode("x", as_bytes(text), 1)) in (True, False)


HISTORY = [[1, 25165824, "no recovery target specified", "2026-01-01T00:00:00+00:00", "a"], [2, 9]]


@given(near(HISTORY) | json_texts())
@example(DEEP)
@example('[{"0": 1}]')
@example("[[Infinity, 1]]")
@example("[[1, -5]]")
@fuzzed(16)
def test_where_timelines_were_left(text: str) -> None:
    with in_time():
        switches = parse_switches(text)
    for timeline, lsn in switches.items():
        assert 0 < timeline < 2**32
        assert 0 < lsn.bytes < 2**64
        assert [timeline, lsn.bytes] in [entry[:2] for entry in json.loads(text)]


@given(texts() | spoilt('2 ("a","b")') | spoilt('1 ("jkt-db2")'))
@example("9" * 5000 + ' ("a")')
@example('1 ("' + "a" * 100_000)
@example('٢ ("a","b")')
@fuzzed(12)
def test_whom_commits_wait_for(text: str) -> None:
    with in_time():
        hosts = listed_hosts(text)
    if hosts is not None and hosts == tuple(sorted(hosts)):
        assert names_text(hosts) == text


@given(texts(), st.booleans(), st.integers(0, 2), st.integers(0, 2))
@example("2", True, 0, 1)
@fuzzed(4)
def test_a_leader_key_is_a_fence_only_with_its_child(
    text: str, said: bool, owner: int, children: int
) -> None:
    value = FENCE_PREFIX + text if said else text
    fence = is_fence(LeaderKeySeen(value, 0, owner, children))
    assert fence is (value.startswith(FENCE_PREFIX) and owner == 0 < children)


# --------------------------------------------------------------------------- zoo.cfg, positions

ZOO_CFG = """tickTime=500
dataDir=/var/lib/zookeeper
clientPortAddress=10.77.1.31
server.1=10.77.1.31:2888:3888;10.77.1.31:2181
server.2=10.77.2.31:2888:3888;10.77.2.31:2181
server.3=10.77.3.31:2888:3888;10.77.3.31:2181
"""


@given(spoilt(ZOO_CFG) | texts().map(lambda t: f"server.{t}=x\n") | texts())
@example("server." + "9" * 5000 + "=x")
@example("server.٢=x")
@fuzzed(12)
def test_a_part_of_an_ensemble(text: str) -> None:
    with in_time():
        there = zoo_cfg.members(text)
        zoo_cfg.is_part(text)
        zoo_cfg.setting(text, "dataDir")
        for myid in there:
            part = zoo_cfg.part(text, [myid])
            assert zoo_cfg.members(part) == {myid}
            foreign = [line for line in text.splitlines() if not line.startswith("server.")]
            kept = part.splitlines()
            assert all(line in kept for line in foreign), "no other line is lost"


@given(texts() | spoilt("0/3000148") | spoilt("FFFFFFFF/FFFFFFFF"))
@fuzzed(12)
def test_a_position(text: str) -> None:
    try:
        found = Lsn.parse(text)
    except ValueError:
        return
    assert 0 <= found.bytes < 2**64
    assert Lsn.parse(str(found)) == found
    assert text.isascii()
    assert text.strip() == text
