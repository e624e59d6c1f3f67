"""``failover adopt``: from what a pair is to what it lacks, pure; and the commands around it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from adopt_world import (
    DYNAMIC,
    ENSEMBLE,
    FILE,
    NAMES,
    OTHER,
    PAIR,
    PRIMARY,
    STANDBY,
    found,
    keys,
    member,
    one,
    policy,
    with_config,
    with_file,
    with_leader,
    with_primary,
)
from click.testing import CliRunner

from failover.adoption import members
from failover.adoption.differences import commands
from failover.adoption.facts import NotASnapshot, decode, encode, kept
from failover.adoption.needs import NEEDS, Effect, When
from failover.adoption.proposal import CHANGE, cluster_name, proposal
from failover.adoption.text import as_text, differences_text
from failover.checks.patroni import DESIGNED
from failover.cli.adopt import command
from failover.sites.adoption_scan import Asking, Unreadable, ask_scope, told_by

ROOT = Path(__file__).parents[2]


# --------------------------------------------------------------------------- the table


def test_every_parameter_of_the_design_is_in_the_table() -> None:
    assert {need.key for need in NEEDS} >= DESIGNED


@pytest.mark.parametrize("need", NEEDS, ids=lambda need: need.key)
def test_the_page_that_a_need_names_is_there(need: object) -> None:
    assert (ROOT / need.doc).is_file()  # type: ignore[attr-defined]


def test_the_version_of_patroni_is_that_of_the_hosts() -> None:
    lock = (ROOT / "requirements-hosts.lock").read_text(encoding="utf-8")
    assert f"\npatroni=={members.PATRONI} " in lock


# --------------------------------------------------------------------------- dynamic configuration


def test_each_key_says_what_is_and_what_is_needed_and_how() -> None:
    ttl = one(PAIR, "ttl", "shop-main")
    assert (ttl.found, ttl.wanted, ttl.when, ttl.effect) == ("30", "20", When.ARM, Effect.RELOAD)
    assert ttl.patch == ("ttl=20",)
    assert ttl.doc == "docs/decisions/0002-lease-arithmetic.md"


def test_what_is_not_set_is_what_patroni_takes_then() -> None:
    config = {key: value for key, value in DYNAMIC.items() if key != "ttl"}
    assert one(with_primary(config=json.dumps(config)), "ttl", "shop-main").found == "30 (not set)"
    unwritten = one(PAIR, "failsafe_mode", "shop-main")
    assert (unwritten.found, unwritten.effect) == ("not written, and so off", Effect.RELOAD)
    assert "failsafe_mode" not in keys(with_config(failsafe_mode=False), "shop-main")


def test_a_pair_as_rendered_lacks_nothing_there() -> None:
    wanted = one(PAIR, "ttl", "shop-main")
    assert wanted.key not in keys(with_config(ttl=20), "shop-main")


def test_what_the_server_says_goes_before_what_is_written() -> None:
    key = "postgresql.parameters.wal_sender_timeout"
    assert one(PAIR, key, "shop-main").found == "60s (not set)"
    in_force = with_leader(settings=(("wal_sender_timeout", "5000", "ms"),), settings_problem="")
    assert one(in_force, key, "shop-main").found == "not written, and so 5s"
    other = with_leader(settings=(("wal_sender_timeout", "7000", "ms"),), settings_problem="")
    assert one(other, key, "shop-main").found == "7000ms"


def test_checksums_are_as_good_as_hints() -> None:
    key = "postgresql.parameters.wal_log_hints"
    off = (("wal_log_hints", "off", ""),)
    assert one(with_leader(settings=off), key, "shop-main").effect is Effect.POSTGRESQL
    both = with_leader(settings=(*off, ("data_checksums", "on", "")))
    assert one(both, key, "shop-main").effect is Effect.RELOAD


def test_the_members_own_file_wins_and_has_to_be_changed() -> None:
    said = one(with_file(), "postgresql.parameters.wal_log_hints", "shop-main")
    assert said.found == "off"
    assert any("patroni.yml on pg1" in line for line in said.do)


def test_the_slot_of_the_other_site_and_those_that_nobody_reads_any_more() -> None:
    assert one(PAIR, "slots.failover_makassar").patch == (
        "slots.failover_makassar.type=physical",
        "slots.failover_makassar.cluster_type=primary",
    )
    assert one(PAIR, "slots.dr").when is When.LATER
    ours = {"failover_makassar": {"type": "physical", "cluster_type": "primary"}}
    assert not any(key.startswith("slots.") for key in keys(with_config(slots=ours), "shop-main"))


def test_a_logical_slot_is_a_way_out() -> None:
    said = one(with_config(slots={"cdc": {"type": "logical"}}), "slots.cdc")
    assert said.doc == "docs/residency.md"


def test_a_paused_scope_is_not_armed() -> None:
    assert one(with_primary(paused=True), "pause").when is When.ARM


def test_one_command_for_each_cost() -> None:
    every = found(with_config(postgresql={"parameters": {"archive_mode": "on"}}))
    said = dict(commands(PRIMARY, every))
    assert "-s ttl=20" in said[Effect.RELOAD]
    assert "archive_mode=off" in said[Effect.POSTGRESQL]
    assert "archive_mode" not in said[Effect.RELOAD]
    assert said[Effect.RELOAD].startswith("patronictl edit-config shop-main -s ")


# --------------------------------------------------------------------------- one follows the other


def test_the_standby_cluster_reads_its_slot() -> None:
    said = one(PAIR, "standby_cluster.primary_slot_name")
    assert said.patch == ("standby_cluster.primary_slot_name=failover_makassar",)


def test_what_controllers_write_anew_is_only_told() -> None:
    standby = {**STANDBY["standby_cluster"], "host": "10.1.0.11,10.1.0.12", "restore_command": "x"}
    other = replace(OTHER, config=json.dumps({**STANDBY, "standby_cluster": standby}))
    every = found(replace(PAIR, standby=other))
    told = {each.key for each in every if each.when is When.KNOW}
    assert told == {"standby_cluster.host", "standby_cluster.restore_command"}


def test_no_standby_cluster_and_two_primaries() -> None:
    assert one(replace(PAIR, standby=None), "standby cluster").effect is Effect.COPY
    alone = replace(OTHER, config=json.dumps(DYNAMIC))
    assert one(replace(PAIR, standby=alone), "standby_cluster").found == "an ordinary cluster"


def test_a_standby_leader_that_does_not_stream() -> None:
    assert "replication" not in keys()
    assert one(with_leader(walsenders=()), "replication").blocks


def test_a_host_of_another_cluster() -> None:
    stranger = member("pg4", "10.2.0.12", "replica", system_identifier="1")
    other = replace(OTHER, members=(OTHER.members[0], stranger))
    assert one(replace(PAIR, standby=other), "system identifier").effect is Effect.COPY


# --------------------------------------------------------------------------- members


def test_versions() -> None:
    assert "PostgreSQL" not in keys()
    assert one(with_leader(server_version=160009), "PostgreSQL", "pg1").effect is Effect.MOVE
    assert one(with_leader(server_version=170004), "PostgreSQL", "pg1").when is When.LATER
    assert one(with_leader(patroni_version="3.3.2"), "Patroni", "pg1").effect is Effect.PATRONI


def test_tags() -> None:
    tags = (("nofailover", "on"), ("clonefrom", "on"), ("nosync", "off"))
    tagged = with_leader(tags=tags)
    assert one(tagged, "tags.nofailover").when is When.AUTOMATION
    assert one(tagged, "tags.clonefrom").when is When.LATER
    assert "tags.nosync" not in keys(tagged)


def test_silence_is_not_in_order() -> None:
    silent = with_leader(problem="no answer within 3 s")
    assert one(silent, "Patroni", "pg1").found == "not known: no answer within 3 s"
    assert one(PAIR, "patroni.yml", "pg1").blocks
    assert one(PAIR, "roles and functions").blocks
    assert "roles and functions" not in keys(with_leader(narrow=True))


# --------------------------------------------------------------------------- its own file


def test_no_secret_of_a_file_is_kept() -> None:
    assert "hunter2" not in str(kept(FILE))
    assert ("postgresql.callbacks.on_role_change", "/usr/local/bin/told") in kept(FILE)


def test_barriers_and_what_stood_in_their_place() -> None:
    said = one(with_file(), "barriers")
    assert said.effect is Effect.RELOAD
    assert "/usr/local/bin/asks" in said.found
    assert any(line.startswith("postgresql.bin_name.postgres: ") for line in said.do)
    assert one(with_file(), "postgresql.callbacks.on_role_change").when is When.KNOW


def test_a_store_that_is_none_of_ours() -> None:
    document = {key: value for key, value in FILE.items() if key != "zookeeper"}
    said = one(with_file({**document, "etcd3": {"hosts": "10.1.0.5:2379"}}), "store")
    assert (said.found, said.effect) == ("etcd3", Effect.MOVE)
    assert (ROOT / said.doc).is_file()


def test_the_data_directory_is_linked() -> None:
    said = one(with_file(), "postgresql.data_dir")
    assert said.do[0] == "ln -s /var/lib/postgresql/17/main /var/lib/postgresql/17/shop"
    assert said.effect is Effect.PATRONI


def test_pg_hba_lets_controllers_and_the_guard_in() -> None:
    assert one(with_file(), "postgresql.pg_hba").found == "no line for: controllers"
    lines = ["local all postgres peer", "host all failover_observer 10.3.0.31/32 scram-sha-256"]
    assert "postgresql.pg_hba" not in keys(with_file(pg_hba=lines))


# --------------------------------------------------------------------------- the ensemble


def test_the_ensemble() -> None:
    assert not any(each.where == "ensemble" for each in found())
    slow = replace(ENSEMBLE.servers[0], settings=(("tickTime", "2000"),))
    servers = (slow, *ENSEMBLE.servers[1:])
    slowed = replace(PAIR, ensemble=replace(ENSEMBLE, servers=servers))
    said = one(slowed, "10.1.0.21:2181 tickTime")
    assert said.effect is Effect.ZOOKEEPER
    elsewhere = replace(PAIR, ensemble=replace(ENSEMBLE, scopes=("shop-main",)))
    assert "shop-dr" in one(elsewhere, "scopes").found
    assert one(replace(PAIR, ensemble=None), "servers").blocks


# --------------------------------------------------------------------------- the draft


def test_the_draft_passes_the_check_and_has_what_was_read() -> None:
    drafted = policy()
    assert drafted.cluster(drafted.clusters[0].name).scope(drafted.initial_site) == "shop-main"
    assert [str(h.address) for h in drafted.clusters[0].hosts][:2] == ["10.1.0.11", "10.1.0.12"]
    assert [server.myid for server in drafted.zookeeper_servers] == [1, 2, 3]
    assert not drafted.residency.cut
    assert drafted.automation == "observe"


def test_the_draft_of_half_a_pair_says_what_it_does_not_know() -> None:
    text = proposal(replace(PAIR, standby=None, ensemble=None), NAMES)
    assert text.count(CHANGE) > 5
    assert policy(replace(PAIR, standby=None, ensemble=None)).group == "shop"


@pytest.mark.parametrize(
    ("scope", "name"), [("shop-main", "shop_main"), ("12-Über", "ber"), ("---", "shop")]
)
def test_a_cluster_is_named_after_its_scope(scope: str, name: str) -> None:
    assert cluster_name(scope) == name


# --------------------------------------------------------------------------- files, words, commands


def test_a_snapshot_can_be_carried_along() -> None:
    assert decode(encode(PAIR).encode()) == PAIR
    with pytest.raises(NotASnapshot):
        decode(b"{}")
    with pytest.raises(NotASnapshot, match="schema"):
        decode(encode(replace(PAIR, schema=99)).encode())


def test_the_words() -> None:
    assert "pg1" in as_text(PAIR)
    text = differences_text(PAIR, found())
    assert "BEFORE ARMING" in text
    assert "patronictl edit-config shop-dr" in text
    assert differences_text(PAIR, ()) == "nothing differs from what this design needs"


def test_what_a_member_says_of_itself() -> None:
    told = told_by(
        member("pg1", "10.1.0.11", "leader"),
        {
            "server_version": 170005,
            "tags": {"nofailover": True},
            "pending_restart": True,
            "pending_restart_reason": {"max_connections": {}},
            "replication": [{"application_name": "pg3", "state": "streaming"}],
            "patroni": {"version": "4.0.4"},
        },
    )
    assert told.tags == (("nofailover", "on"),)
    assert told.pending_restart == ("max_connections",)
    assert told.walsenders[0].application_name == "pg3"
    assert told.patroni_version == "4.0.4"


def test_the_commands_take_a_saved_look(tmp_path: Path) -> None:
    saved = tmp_path / "pair.json"
    saved.write_text(encode(PAIR), encoding="utf-8")
    run = CliRunner().invoke
    drafted = run(command, ["draft", "--from", str(saved), "--cluster", "shop"])
    assert drafted.exit_code == 0
    config = tmp_path / "failover.yaml"
    config.write_text(drafted.output, encoding="utf-8")
    by = ("--from", str(saved), "--config", str(config))
    said = run(command, ["differences", *by, "-o", "json"])
    assert said.exit_code == 1
    document = json.loads(said.output)
    assert document["schema"] == 1
    assert {each["effect"] for each in document["commands"]} == {"reload", "PostgreSQL restart"}
    assert run(command, ["differences"]).exit_code == 2
    assert "CREATE ROLE failover_observer" in run(command, ["sql"]).output


def test_nobody_there(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["look", "127.0.0.1:1"])
    assert result.exit_code == 3
    assert "127.0.0.1:1" in result.output


# --------------------------------------------------------------------------- reading


async def _no_configuration(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Patroni that has not read its own configuration yet: 502, and a page for people."""
    asked = await reader.readuntil(b"\r\n\r\n")
    path = asked.split()[1]
    status, body = (
        (b"502 Bad Gateway", b"<!DOCTYPE HTML>") if path == b"/config" else (b"200 OK", b"{}")
    )
    writer.write(b"HTTP/1.0 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
    await writer.drain()
    writer.close()


async def _ask_one_without() -> None:
    listening = await asyncio.start_server(_no_configuration, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        await ask_scope(f"127.0.0.1:{port}", Asking(None, None, ()))


def test_a_patroni_without_its_configuration_is_said_to_be_one() -> None:
    with pytest.raises(Unreadable, match=r"/config: HTTP 502 .*has just started"):
        asyncio.run(_ask_one_without())
