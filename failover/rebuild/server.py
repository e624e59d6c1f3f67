"""This host's ZooKeeper server: its files and its service. A thin edge, run as root by an operator.

Invariant: nothing is deleted. What is replaced is put aside first, beside it, under a name that
says when; and the service is down while a file changes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from failover.rebuild import zoo_cfg

CONFIG = Path("/etc/zookeeper/zoo.cfg")
MYID = Path("/etc/zookeeper/myid")
SERVICE = "zookeeper.service"
SERVICE_LIMIT_S = 60.0
# Added to the epoch of a rebuilt quorum: more elections than the lost servers will ever hold, so
# that no newer write of theirs outranks it if one of them comes back with its old data.
EPOCH_AHEAD = 1000
EPOCH_FILES = ("acceptedEpoch", "currentEpoch")  # accepted first: it must never be the lower one


class ServerError(Exception):
    """What could not be done on this host, and where."""


class ZooKeeperHost:
    """The server that this host runs."""

    def __init__(self, config: Path = CONFIG, myid: Path = MYID, service: str = SERVICE) -> None:
        self._config = config
        self._myid = myid
        self._service = service
        self._aside = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())

    @property
    def myid(self) -> int:
        try:
            return int(self._myid.read_text(encoding="ascii").strip())
        except (OSError, ValueError) as error:
            raise ServerError(f"{self._myid}: {error}: is this a ZooKeeper host?") from None

    @property
    def config(self) -> str:
        try:
            return self._config.read_text(encoding="utf-8")
        except OSError as error:
            why = f"{self._config}: {error.strerror}: is this a ZooKeeper host?"
            raise ServerError(why) from None
        except UnicodeDecodeError:
            raise ServerError(f"{self._config}: not text in UTF-8") from None

    @property
    def data_dir(self) -> Path:
        found = zoo_cfg.setting(self.config, "dataDir")
        if found is None:
            raise ServerError(f"{self._config}: no dataDir")
        return Path(found)

    def stop(self) -> None:
        self._systemctl("stop")

    def start(self) -> None:
        self._systemctl("start")

    def _systemctl(self, verb: str) -> None:
        command = ("systemctl", verb, self._service)
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=SERVICE_LIMIT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ServerError(f"{' '.join(command)}: {error}") from None
        if done.returncode != 0:
            raise ServerError(f"{' '.join(command)}: {done.stderr.strip()}")

    # ------------------------------------------------------------------ what is put aside

    def copy_data(self) -> Path:
        """A copy of the data as it is, before anything touches it."""
        aside = self._beside(self.data_dir)
        shutil.copytree(self.data_dir, aside)
        for path in (aside, *aside.rglob("*")):  # whoever puts it back need not think of it
            _same_owner(self.data_dir / path.relative_to(aside), path)
        return aside

    def set_data_aside(self) -> Path:
        """The server starts with no data then, and gets all of it from the quorum."""
        logs = self.data_dir / "version-2"
        aside = self._beside(self.data_dir)
        aside.mkdir()
        if logs.exists():
            logs.rename(aside / logs.name)
        return aside

    def write_config(self, text: str) -> Path:
        """The new zoo.cfg, in one rename; the old one stays beside it."""
        aside = self._beside(self._config)
        if not aside.exists():  # the first one is what was there before
            shutil.copy2(self._config, aside)
            _same_owner(self._config, aside)
        _replace(self._config, text)
        return aside

    def last_write_unix_s(self) -> float:
        """When this server last heard of a write: the record that it has is as old as that."""
        logs = list((self.data_dir / "version-2").glob("log.*"))
        if not logs:
            raise ServerError(f"{self.data_dir}: no record of an ensemble")
        return max(path.stat().st_mtime for path in logs)

    def _beside(self, path: Path) -> Path:
        return path.with_name(f"{path.name}.before-break-glass-{self._aside}")

    # ------------------------------------------------------------------ the epoch

    def raise_epoch(self) -> int:
        """So that whatever the lost servers wrote since ranks below this one. Returns the epoch."""
        directory = self.data_dir / "version-2"
        try:
            epoch = max(int((directory / name).read_text(encoding="ascii")) for name in EPOCH_FILES)
        except (OSError, ValueError) as error:
            raise ServerError(f"{directory}: no epoch of an ensemble: {error}") from None
        for name in EPOCH_FILES:
            _replace(directory / name, str(epoch + EPOCH_AHEAD))
        return epoch + EPOCH_AHEAD


def _replace(path: Path, text: str) -> None:
    """In one rename, with the same owner and mode."""
    new = path.with_name(path.name + ".new")
    new.write_text(text, encoding="utf-8")
    shutil.copystat(path, new)
    _same_owner(path, new)
    new.rename(path)


def _same_owner(of: Path, path: Path) -> None:
    found = of.stat()
    os.chown(path, found.st_uid, found.st_gid)
