"""This host's ZooKeeper server: its files and its service. A thin edge, run as root by an operator.

Invariant: nothing is deleted. What is replaced is put aside first, beside it, under a name that
says when; and the service is down while a file changes.
"""

from __future__ import annotations

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
        shutil.copy2(self._config, aside)
        new = self._config.with_name(self._config.name + ".new")
        new.write_text(text, encoding="utf-8")
        shutil.copystat(self._config, new)
        new.rename(self._config)
        return aside

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
            path = directory / name
            new = path.with_name(name + ".new")
            new.write_text(str(epoch + EPOCH_AHEAD), encoding="ascii")
            shutil.copystat(path, new)
            shutil.chown(new, path.owner(), path.group())
            new.rename(path)
        return epoch + EPOCH_AHEAD
