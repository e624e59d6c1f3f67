"""The files of a ZooKeeper host when two sites are lost: nothing is deleted, one membership."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from failover.cli.break_glass_checks import (
    everybody_knows_everybody,
    is_a_returned_one,
    members,
    nobody_else_answers,
    waiting,
)
from failover.cli.output import UserError
from failover.config import load
from failover.coordination import connect
from failover.coordination.session import OwnFilesUnusable
from failover.coordination.store import StoreForbidden, StoreUnavailable
from failover.health.observation import ZooKeeperMode
from failover.last_writer import (
    LastWriter,
    encode_last_writer,
    permitted_hosts,
    read_last_writer,
)
from failover.model import (
    Automation,
    ClusterName,
    Epoch,
    GroupName,
    HostName,
    Lsn,
    ProtectionMode,
    SiteName,
    TimelineId,
)
from failover.policy import ZooKeeperServer
from failover.rebuild import questions, server, zoo_cfg
from failover.rebuild.record import proven, rebuilt, timelines_ahead
from failover.rebuild.server import ServerError, ZooKeeperHost
from failover.state import ClusterState, GroupState, StandbyScope
from failover.znode import Znode

RENDERED = Path("deploy/makassar/mks-zk1/etc/zookeeper/zoo.cfg")


def rendered() -> str:
    return RENDERED.read_text(encoding="utf-8")


def test_a_part_keeps_everything_but_the_other_servers() -> None:
    before, after = rendered(), zoo_cfg.part(rendered(), [2])
    assert zoo_cfg.members(before) == {1, 2, 3}
    assert zoo_cfg.members(after) == {2}
    kept = [line for line in before.splitlines() if not line.startswith("server.")]
    assert [line for line in kept if line not in after.splitlines()] == []
    assert zoo_cfg.setting(after, "standaloneEnabled") == "false"
    assert zoo_cfg.is_part(after)
    assert not zoo_cfg.is_part(before)


def test_unseen_only_this_host_is_let_in() -> None:
    after = zoo_cfg.part(rendered(), [2], unseen=True)
    assert zoo_cfg.setting(after, "secureClientPortAddress") == "127.0.0.1"
    assert zoo_cfg.setting(rendered(), "secureClientPortAddress") == "10.77.2.21"
    assert zoo_cfg.is_unseen(after)
    assert not zoo_cfg.is_unseen(zoo_cfg.part(rendered(), [2]))


def test_the_members_of_the_record_are_told_by_zookeeper_itself() -> None:
    config = "server.2=10.77.2.21:2888:3888:participant\nversion=0"
    assert zoo_cfg.members(config) == {2}


@pytest.mark.parametrize("survivor", [1, 2])
def test_the_ensemble_grows_in_steps_whose_quorums_meet(survivor: int) -> None:
    """No two servers without the survivor's record are ever a quorum by themselves."""
    full = zoo_cfg.members(rendered())
    alone = zoo_cfg.members(zoo_cfg.part(rendered(), [survivor]))
    for returned in full - alone:
        knows = zoo_cfg.members(zoo_cfg.part(rendered(), alone | {returned}))
        assert survivor in knows
        without = knows - {survivor}
        assert len(without) <= len(knows) // 2


@pytest.mark.parametrize("keep", [[], [9]])
def test_a_server_that_is_not_there_cannot_stand(keep: list[int]) -> None:
    with pytest.raises(ValueError, match="server"):
        zoo_cfg.part(rendered(), keep)


# --------------------------------------------------------------------------- the record

STATE = GroupState(
    group=GroupName("marketplace"),
    epoch=Epoch(5),
    active_site=SiteName("jakarta"),
    clusters={},
    protection=ProtectionMode.MAX_PERFORMANCE,
    in_sync=False,
    automation=Automation.AUTO,
)


def test_a_rebuilt_record_is_far_ahead_and_knows_nothing_of_the_lost_site() -> None:
    after = rebuilt(STATE, SiteName("jakarta"), now_unix_s=7.0)
    assert (after.epoch, after.unproven_site, after.epoch_started_unix_s) == (1005, "jakarta", 7.0)
    assert rebuilt(after, SiteName("jakarta"), now_unix_s=9.0, again=True) is after
    assert rebuilt(after, SiteName("jakarta"), now_unix_s=9.0).epoch == 2005  # lost once more
    assert proven(after) == replace(after, unproven_site=None)


def test_nobody_is_on_record_with_everything_after_a_rebuild() -> None:
    """Who left the record in a write that only the lost servers have would stand on it again."""
    cluster = ClusterState(
        Lsn(0), TimelineId(1), True, StandbyScope.FOLLOWING, have=(HostName("mks-db1"),)
    )
    before = replace(
        STATE,
        protection=ProtectionMode.MAX_AVAILABILITY,
        clusters={ClusterName("marketplace"): cluster},
        in_sync=True,
    )
    after = rebuilt(before, SiteName("jakarta"), now_unix_s=7.0)
    assert [found.have for found in after.clusters.values()] == [()]
    assert not after.in_sync


def test_timeline_numbers_go_ahead_as_well() -> None:
    writer = LastWriter(HostName("mks-db1"), SiteName("makassar"), TimelineId(4), promised=True)
    found = Znode("/stopped/x", encode_last_writer(writer), 3, 0, 0)
    (op,) = timelines_ahead(found)
    assert op.version == 3
    after = read_last_writer(replace(found, data=op.data))
    assert after == replace(writer, timeline=TimelineId(20), promised=False)
    assert timelines_ahead(replace(found, data=b"{}")) == ()


@pytest.mark.parametrize("promoted", [False, True])
def test_the_first_one_permitted_stays_the_first_one_after_a_rebuild(promoted: bool) -> None:
    """He may have acknowledged what nobody else has, and nobody judges anew by a rebuild."""
    first, shop = HostName("mks-db1"), ClusterName("marketplace")
    before = replace(
        STATE,
        protection=ProtectionMode.MAX_AVAILABILITY,
        clusters={
            shop: ClusterState(Lsn(0), TimelineId(1), promoted, StandbyScope.FOLLOWING),
        },
        epoch_started_unix_s=5.0,
    )
    for judged_unix_s, permitted in ((5.0, {first}), (4.0, {first} if promoted else None)):
        writer = LastWriter(first, SiteName("makassar"), judged_unix_s=judged_unix_s)
        found = Znode("/last_writer", encode_last_writer(writer), 3)
        after = rebuilt(before, SiteName("jakarta"), now_unix_s=7.0)
        (op,) = timelines_ahead(found)
        left = read_last_writer(replace(found, data=op.data))
        assert left is not None
        only = permitted_hosts(
            after, shop, left.host, marked=True, judged_unix_s=left.judged_unix_s
        )
        assert only == permitted


# --------------------------------------------------------------------------- the host


@pytest.fixture
def host(tmp_path: Path) -> ZooKeeperHost:
    data = tmp_path / "data"
    (data / "version-2").mkdir(parents=True)
    (data / "version-2" / "log.100000001").write_bytes(b"what was committed")
    for name in server.EPOCH_FILES:
        (data / "version-2" / name).write_text("7")
    (tmp_path / "myid").write_text("2\n")
    text = RENDERED.read_text(encoding="utf-8").replace("/var/lib/zookeeper", str(data))
    (tmp_path / "zoo.cfg").write_text(text, encoding="utf-8")
    return ZooKeeperHost(tmp_path / "zoo.cfg", tmp_path / "myid")


def epochs(host: ZooKeeperHost) -> list[str]:
    return [(host.data_dir / "version-2" / name).read_text() for name in server.EPOCH_FILES]


def test_the_epoch_goes_far_ahead_and_no_further_when_it_is_done_again(host: ZooKeeperHost) -> None:
    host.copy_data()
    assert host.raise_epoch() == 1007
    assert epochs(host) == ["1007", "1007"]
    (host.data_dir / "version-2" / "currentEpoch").write_text("9")  # interrupted between the two
    assert host.raise_epoch() == 1007
    assert epochs(host) == ["1007", "1007"]
    (host.data_dir / "version-2" / "acceptedEpoch").write_text("1008")  # it has elected itself
    assert host.raise_epoch() == 1007
    assert epochs(host) == ["1008", "1007"]


def test_data_without_an_epoch_is_no_ensemble(host: ZooKeeperHost) -> None:
    with pytest.raises(ServerError, match="nothing was put aside"):
        host.raise_epoch()
    host.copy_data()
    (host.data_dir / "version-2" / "currentEpoch").write_text("")
    with pytest.raises(ServerError, match="no epoch"):
        host.raise_epoch()


def test_what_was_tried_since_is_no_news_of_the_ensemble(host: ZooKeeperHost) -> None:
    """A refused `quorum` opened a session, which is a write of today in the survivor's log."""
    log = host.data_dir / "version-2" / "log.100000001"
    os.utime(log, (1000.0, 1000.0))
    assert host.last_write_unix_s(begun=False) == 1000.0
    host.copy_data()
    os.utime(log, (2000.0, 2000.0))
    assert host.last_write_unix_s(begun=True) == 1000.0


def test_what_goes_aside_is_kept(host: ZooKeeperHost) -> None:
    assert (host.copy_data() / "version-2" / "log.100000001").read_bytes() == b"what was committed"
    before = host.config
    old = host.write_config(zoo_cfg.part(rendered(), [host.myid]))
    assert zoo_cfg.members(host.config) == {2}
    host.write_config(rendered())
    assert old.read_text() == before  # what was there first, not the step between


def test_data_set_aside_leaves_none_to_start_with(host: ZooKeeperHost) -> None:
    aside = host.set_data_aside()
    assert (aside / "version-2" / "log.100000001").read_bytes() == b"what was committed"
    assert not (host.data_dir / "version-2").exists()


def test_what_goes_aside_stays_on_the_disk_of_the_data(host: ZooKeeperHost) -> None:
    """It may be a mount of its own, out of which nothing can be renamed."""
    copied = host.copy_data()
    assert copied.parent == host.data_dir
    assert not list(copied.glob("before-break-glass-*"))
    later = ZooKeeperHost(host._config, host._myid)
    later._aside = "99991231T235959Z"
    assert later.set_data_aside().parent == host.data_dir
    assert (later.data_dir / copied.name / "version-2").exists()


def test_elsewhere_it_says_so(tmp_path: Path) -> None:
    nowhere = ZooKeeperHost(tmp_path / "zoo.cfg", tmp_path / "myid")
    with pytest.raises(ServerError, match="is this a ZooKeeper host"):
        _ = nowhere.myid
    with pytest.raises(ServerError, match="is this a ZooKeeper host"):
        _ = nowhere.config


def test_a_service_that_does_not_obey_is_said(
    host: ZooKeeperHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(command: tuple[str, ...], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "Unit zookeeper.service not found.")

    monkeypatch.setattr(subprocess, "run", fails)
    with pytest.raises(ServerError, match=r"systemctl stop zookeeper.service: Unit .* not found"):
        host.stop()


# --------------------------------------------------------------------------- who answers still

POLICY = load(Path("tests/open.yaml"))
ME = next(s for s in POLICY.zookeeper_servers if s.name == "mks-zk1")
ALONE, UNSEEN = zoo_cfg.part(rendered(), [2]), zoo_cfg.part(rendered(), [2], unseen=True)
WAITS, SERVES = ZooKeeperMode.NO_QUORUM, ZooKeeperMode.FOLLOWER


@pytest.mark.parametrize(
    ("alive", "port", "named"),
    [
        ("sby-zk1", 2181, "sby-zk1 (ZooKeeper)"),
        ("sby-ctl1", 9187, "sby-ctl1 (controller)"),
        ("jkt-proxy1", 5000, "jkt-proxy1 (HAProxy, marketplace)"),
        ("jkt-proxy1", 8404, "jkt-proxy1 (HAProxy's statistics)"),
        ("jkt-db2", 8009, "jkt-db2 (guard)"),
    ],
)
def test_a_site_of_which_one_part_answers_is_not_fenced(
    monkeypatch: pytest.MonkeyPatch, alive: str, port: int, named: str
) -> None:
    """A witness whose ZooKeeper is stopped has its controller left."""
    hosts = [host for cluster in POLICY.clusters for host in cluster.hosts]
    controllers = [site.controller for site in POLICY.sites]
    proxies = [proxy for site in POLICY.sites for proxy in site.proxies]
    known = (*POLICY.zookeeper_servers, *hosts, *controllers, *proxies)
    (address,) = [each.address for each in known if each.name == alive]

    async def opens(asked: object, asked_port: int, **_: bool) -> bool:
        return (asked, asked_port) == (address, port)

    monkeypatch.setattr(questions, "_opens", opens)
    assert questions.answering(POLICY, SiteName("makassar")) == (named,)
    with pytest.raises(UserError, match="answers: that site is neither lost nor fenced"):
        nobody_else_answers(POLICY, ME)


def test_who_refuses_may_be_a_firewall_on_the_way_to_a_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No list of ports asks for those between sites: a dead site would answer for ever."""

    async def refused(_address: object, _port: int, *, refused: bool = True) -> bool:
        return refused

    monkeypatch.setattr(questions, "_opens", refused)
    found = questions.answering(POLICY, SiteName("makassar"))
    assert "sby-ctl1 (controller)" in found
    assert [name for name in found if "HAProxy" in name] == []


def test_nobody_of_the_own_site_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async def opens(*_: object, **_more: bool) -> bool:
        return True

    monkeypatch.setattr(questions, "_opens", opens)
    found = questions.answering(POLICY, SiteName("makassar"))
    assert {name.partition("-")[0] for name in found} == {"jkt", "sby"}


# --------------------------------------------------------------------------- who may go on


def seen(
    monkeypatch: pytest.MonkeyPatch,
    found: dict[str, ZooKeeperMode],
    elects: tuple[str, ...] = ("jkt-zk1", "sby-zk1"),
) -> None:
    def answer(server: ZooKeeperServer) -> object:
        """Whoever serves is of one ensemble, but for Jakarta's."""
        mode = found.get(server.name)
        epoch = 7 if server.site == "jakarta" else 1007
        return SimpleNamespace(mode=mode, epoch=epoch) if mode is not None else None

    monkeypatch.setattr(questions, "answer", answer)
    monkeypatch.setattr(questions, "elects", lambda server: server.name in elects)


def test_a_survivor_is_widened_by_those_that_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen(monkeypatch, {"jkt-zk1": WAITS, "mks-zk1": ZooKeeperMode.LEADER})
    assert waiting(POLICY, ME, ALONE) == ("jkt-zk1",)


@pytest.mark.parametrize(
    ("config", "found", "elects", "why"),
    [
        (ALONE, {}, ("jkt-zk1",), "1 of 3 servers take part"),
        (ALONE, {"jkt-zk1": WAITS}, (), "1 of 3 servers take part"),
        (ALONE, {"jkt-zk1": SERVES, "sby-zk1": WAITS}, ("sby-zk1",), "jkt-zk1 serves in an ensemb"),
        (UNSEEN, {"jkt-zk1": WAITS}, ("jkt-zk1",), "no quorum yet"),
        (zoo_cfg.part(rendered(), [1, 2]), {"jkt-zk1": WAITS}, ("jkt-zk1",), "is no survivor"),
    ],
)
def test_a_survivor_is_not_widened(
    config: str,
    found: dict[str, ZooKeeperMode],
    elects: tuple[str, ...],
    why: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By too few, by who cannot vote, into another ensemble, or before anything is on its record:
    with an epoch that outranks everybody, what it knows would be what all of them know."""
    seen(monkeypatch, found, elects)
    with pytest.raises(UserError, match=why):
        waiting(POLICY, ME, config)


def test_who_serves_with_the_survivor_is_no_other_ensemble(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a site with two servers the first one that is widened takes a returned one along."""
    seen(monkeypatch, {"sby-zk1": SERVES, "mks-zk1": ZooKeeperMode.LEADER})
    assert waiting(POLICY, ME, ALONE) == ("sby-zk1",)


def test_who_knows_a_part_only_keeps_the_story_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "knows", lambda _: {1, 2, 3})
    everybody_knows_everybody(POLICY)
    monkeypatch.setattr(questions, "knows", lambda s: {s.myid, 2} if s.myid < 3 else {1, 2, 3})
    with pytest.raises(UserError, match=r"jkt-zk1 knows a part .*; mks-zk1 knows a part .* only$"):
        everybody_knows_everybody(POLICY)
    monkeypatch.setattr(questions, "knows", lambda s: {1, 2, 3} if s.myid < 3 else None)
    with pytest.raises(UserError, match=r"^sby-zk1 does not say whom it knows$"):
        everybody_knows_everybody(POLICY)


def test_what_was_replaced_last_is_found_again(host: ZooKeeperHost) -> None:
    assert host.config_before() is None
    part = zoo_cfg.part(host.config, [host.myid])
    (host._config.parent / "zoo.cfg.before-break-glass-20200101T000000Z").write_text("older")
    host._config.write_text(part)
    host.write_config(rendered())
    assert host.config_before() == part


def test_a_survivor_does_not_rejoin_itself() -> None:
    with pytest.raises(UserError, match="is the survivor"):
        is_a_returned_one(POLICY, ME, ALONE)
    for config in (rendered(), zoo_cfg.part(rendered(), [1, 2]), UNSEEN):  # the last: given up
        is_a_returned_one(POLICY, ME, config)


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        (StoreUnavailable("silent"), UserError),
        (StoreForbidden("no key can be shown"), StoreForbidden),
        (OwnFilesUnusable("host.pem: no permission"), OwnFilesUnusable),
    ],
)
def test_only_silence_is_told_as_nobody_who_serves(
    trouble: StoreUnavailable, told: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is to be done then is a quorum of one site."""

    @contextmanager
    def open_store(_policy: object) -> Any:
        raise trouble
        yield

    monkeypatch.setattr(connect, "open_store", open_store)
    with pytest.raises(told):
        members(POLICY)
