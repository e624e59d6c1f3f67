"""What the commands are told by others: a guard's report of its host, HAProxy's page, ZooKeeper's
settings, rows of a catalogue, pgBackRest's words, somebody else's pair, certificates.

None of it decides anything by itself. It stands between a group and its checks: what cannot be read
is said, and whatever is read can be judged.
"""

from __future__ import annotations

import json
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from adopt_world import NAMES, PAIR, SHOP
from checks_world import on_server, reported, world
from cli_world import HOSTS
from hostile import DEEP, WIDE_NUMBER, as_bytes, fuzzed, in_time, json_texts, near, spoilt, texts
from hypothesis import example, given
from hypothesis import strategies as st

from failover.adoption.difference import Wanted
from failover.adoption.differences import differences
from failover.adoption.facts import NotASnapshot, decode, encode
from failover.adoption.proposal import proposal
from failover.adoption.text import as_text, differences_text
from failover.checks.found import Found, ProxyServerFound
from failover.checks.table import CHECKS, run
from failover.config import ConfigError, parse
from failover.fields import NotExactly, read_exactly
from failover.guard.backup_status import backup_status
from failover.health.observation import NoAnswer
from failover.pki.authority import Unreadable, read_certificates, read_key
from failover.policy import BackupPromise
from failover.render.expected import expected
from failover.sites import guard_http, haproxy, readiness_scan, zookeeper_status

WORLD = world()
HOST = next(iter(HOSTS))


def judged(found: Found) -> None:
    """Every check comes to a verdict, in words that a terminal can show."""
    results = run(found)
    assert len(results) == len(CHECKS)
    for each in results:
        each.sentence.encode()


# --------------------------------------------------------------------------- hosts, for `check`

REPORT = next(each.report for each in WORLD.hosts if each.host.name == HOST)
REPORT_JSON = json.loads(guard_http._REPORT.dump_json(REPORT))  # type: ignore[arg-type]


@given(near(REPORT_JSON) | json_texts())
@example(DEEP)
@fuzzed(12)
def test_a_guards_report_of_its_host(text: str) -> None:
    with in_time():
        try:
            report = read_exactly(guard_http._REPORT, as_bytes(text))
        except NotExactly:
            return
        judged(reported(HOST, lambda _: report)(WORLD))


PAGE = """# pxname,svname,status,check_status,check_rise,check_fall
marketplace,FRONTEND,OPEN,,,
marketplace,jkt-db1,UP,* L7OK,1,3
marketplace,mks-db1,DOWN,L7STS,1,3
marketplace,BACKEND,UP,,,
"""


@given(spoilt(PAGE) | texts().map(lambda t: f"# pxname,svname,status\nm,{t},UP\n") | texts())
@example("# svname\nx\n")
@example("# pxname,svname,status,check_rise\nm,a,UP,²\n")
@example(f"# pxname,svname,status,check_rise\nm,a,UP,{WIDE_NUMBER}\n")
@example("# pxname,svname,status\nm," + "a" * 200_000 + ",UP\n")
@fuzzed(12)
def test_haproxys_page(text: str) -> None:
    with in_time():
        found = haproxy.servers(as_bytes(text).decode(errors="replace"))
    if not isinstance(found, NoAnswer):
        assert all(isinstance(each, ProxyServerFound) for each in found)


CONF = """clientPort=2181
tickTime=500
maxSessionTimeout=8000
initLimit=20
syncLimit=3
serverId=1
membership:
server.1=10.77.1.21:2888:3888:participant
"""


@given(
    spoilt(CONF)
    | texts().map(lambda t: f"tickTime={t}\nserverId={t}\nserver.1={t}\nsyncLimit={t}\n")
    | texts()
)
@fuzzed(12)
def test_what_a_zookeeper_server_runs_with(text: str) -> None:
    with in_time():
        found = zookeeper_status.settings(as_bytes(text).decode(errors="replace"))
        judged(on_server("jkt-zk1", lambda s: replace(s, settings=found))(WORLD))


CATALOGUE: dict[str, Any] = {
    **{"version": "17.6", "version_number": 170006, "in_recovery": False},
    "settings": [["wal_log_hints", "on", None]],
    "slots": [{"name": "s", "logical": False, "active": True, "wal_status": None, "safe": 1}],
    "roles": [
        {
            **{"name": "r", "superuser": False, "createrole": False, "createdb": False},
            **{"replication": True, "bypassrls": False, "login": True, "member_of": ["x"]},
        }
    ],
    **{"collations": [["a", None, "2.36"]], "available": ["x 1"], "extensions": [["x", "1"]]},
}
INSIDE: dict[str, Any] = {
    **{"extensions": [["x", "1"]], "collations": [["a", None, "2.36"]], "readable": [["r", "t"]]},
    "functions": [
        {
            **{"signature": "f()", "owner": "o", "public": False, "observer": True},
            **{"definer": True, "callers": ["c"], "settings": ["s"], "sha256": "0"},
        }
    ],
}


@given(near(CATALOGUE), near(INSIDE))
@fuzzed(8)
def test_rows_of_a_catalogue(server: str, inside: str) -> None:
    """One that cannot be understood is one of the errors that the scan makes a NoAnswer of."""
    with in_time():
        with suppress(ValueError, KeyError, TypeError):
            readiness_scan.server_found(json.loads(server))
        with suppress(ValueError, KeyError, TypeError):
            readiness_scan.database_found("d", json.loads(inside))


INFO = [
    {
        "name": "marketplace",
        "backup": [{"label": "20251009-010000F", "timestamp": {"stop": 7}, "error": False}],
    }
]
INI = """[global]
repo1-path=/var/lib/pgbackrest
repo2-host=backup.toko.example
repo2-cipher-pass=hunter2
"""


@given(near(INFO) | json_texts(), spoilt(INI) | texts())
@example(DEEP, INI)
@example("[]", "[a]\n[a]\nrepo1-path\n")
@fuzzed(8)
def test_what_pgbackrest_says(info: str, ini: str) -> None:
    """Never a word of its file, where keys stand, but for the places."""
    promise = BackupPromise(status_file="/status", config_file="/ini")
    with tempfile.TemporaryDirectory() as directory, in_time():
        root = Path(directory)
        (root / "status").write_bytes(as_bytes(info))
        (root / "ini").write_bytes(as_bytes(ini))
        found = backup_status(promise, root)
    assert found is not None
    assert "hunter2" not in found.problem


# --------------------------------------------------------------------------- somebody else's pair


@given(near(json.loads(encode(PAIR))) | json_texts())
@example(DEEP)
@fuzzed(12)
def test_a_pair_that_was_read(text: str) -> None:
    """`failover adopt … --from FILE`: whatever is taken for a pair can be shown, drafted for, and
    compared with what the draft asks for."""
    with in_time():
        try:
            pair = decode(as_bytes(text))
        except NotASnapshot:
            return
        as_text(pair)
        try:
            policy = parse(proposal(pair, NAMES))
        except ConfigError:
            return  # said by the command, with the place in the draft
        found = differences(pair, Wanted.of(policy, expected(policy, b""), SHOP))
        differences_text(pair, found)


# --------------------------------------------------------------------------- certificates


@given(st.binary(max_size=80) | spoilt("-----BEGIN CERTIFICATE-----\nMIIB\n").map(as_bytes))
@fuzzed(6)
def test_a_file_of_keys_and_certificates(pem: bytes) -> None:
    with in_time():
        for read in (read_certificates, read_key):
            with suppress(Unreadable):
                read(pem)
