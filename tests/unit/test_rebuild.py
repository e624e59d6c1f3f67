"""The files of a ZooKeeper host when two sites are lost: nothing is deleted, one membership."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from failover.rebuild import server, zoo_cfg
from failover.rebuild.server import ServerError, ZooKeeperHost

RENDERED = Path("deploy/makassar/mks-zk1/etc/zookeeper/zoo.cfg")


def test_alone_keeps_everything_but_the_other_servers() -> None:
    before = RENDERED.read_text(encoding="utf-8")
    after = zoo_cfg.alone(before, frozenset({2}))
    assert zoo_cfg.members(before) == {1, 2, 3}
    assert zoo_cfg.members(after) == {2}
    kept = [line for line in before.splitlines() if not line.startswith("server.")]
    assert [line for line in kept if line not in after.splitlines()] == []
    assert zoo_cfg.setting(after, "standaloneEnabled") == "false"
    assert zoo_cfg.is_alone(after)
    assert not zoo_cfg.is_alone(before)


def test_alone_again_is_the_same() -> None:
    once = zoo_cfg.alone(RENDERED.read_text(encoding="utf-8"), frozenset({2}))
    twice = zoo_cfg.alone(once, frozenset({2}))
    assert twice.count("standaloneEnabled=false") == 1
    assert zoo_cfg.members(twice) == {2}


@pytest.mark.parametrize("keep", [frozenset[int](), frozenset({9})])
def test_a_server_that_is_not_there_cannot_stand_alone(keep: frozenset[int]) -> None:
    with pytest.raises(ValueError, match="server"):
        zoo_cfg.alone(RENDERED.read_text(encoding="utf-8"), keep)


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


def test_the_epoch_goes_far_ahead(host: ZooKeeperHost) -> None:
    assert host.raise_epoch() == 1007
    found = [(host.data_dir / "version-2" / name).read_text() for name in server.EPOCH_FILES]
    assert found == ["1007", "1007"]


def test_data_without_an_epoch_is_no_ensemble(host: ZooKeeperHost) -> None:
    (host.data_dir / "version-2" / "currentEpoch").write_text("")
    with pytest.raises(ServerError, match="no epoch"):
        host.raise_epoch()


def test_what_goes_aside_is_kept(host: ZooKeeperHost) -> None:
    assert (host.copy_data() / "version-2" / "log.100000001").read_bytes() == b"what was committed"
    before = host.config
    old = host.write_config(zoo_cfg.alone(before, frozenset({host.myid})))
    assert old.read_text() == before
    assert zoo_cfg.members(host.config) == {2}


def test_data_set_aside_leaves_none_to_start_with(host: ZooKeeperHost) -> None:
    aside = host.set_data_aside()
    assert (aside / "version-2" / "log.100000001").read_bytes() == b"what was committed"
    assert not (host.data_dir / "version-2").exists()


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
