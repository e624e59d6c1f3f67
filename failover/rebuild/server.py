"""This host's ZooKeeper server: its files and its service. A thin edge, run as root by an operator.

Invariant: nothing is deleted. What is replaced is put aside first, under a name that says when: a
file beside it, data inside its directory, which may be a mount of its own (in a container it is).
The service is down while a file changes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from failover.durable import sync_directory
from failover.rebuild import zoo_cfg

CONFIG = Path("/etc/zookeeper/zoo.cfg")
MYID = Path("/etc/zookeeper/myid")
SERVICE = "zookeeper.service"
SERVICE_LIMIT_S = 60.0
_ASIDE = "before-break-glass-"
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
        aside = self._inside_data
        shutil.copytree(self.data_dir, aside, ignore=shutil.ignore_patterns(f"{_ASIDE}*"))
        for path in (aside, *aside.rglob("*")):  # whoever puts it back need not think of it
            _same_owner(self.data_dir / path.relative_to(aside), path)
        return aside

    def set_data_aside(self) -> Path:
        """The server starts with no data then, and gets all of it from the quorum."""
        logs = self.data_dir / "version-2"
        aside = self._inside_data
        aside.mkdir()
        if logs.exists():
            logs.rename(aside / logs.name)
            sync_directory(self.data_dir)
        return aside

    def write_config(self, text: str) -> Path:
        """The new zoo.cfg, in one rename; the old one stays beside it."""
        aside = self._config.with_name(f"{self._config.name}.{_ASIDE}{self._aside}")
        if not aside.exists():  # the first one is what was there before
            shutil.copy2(self._config, aside)
            _same_owner(self._config, aside)
        _replace(self._config, text)
        return aside

    def config_before(self) -> str | None:
        """What the newest command of these replaced; None: none has."""
        found = sorted(self._config.parent.glob(f"{self._config.name}.{_ASIDE}*"))
        return found[-1].read_text(encoding="utf-8") if found else None

    def last_write_unix_s(self, *, begun: bool) -> float:
        """When this server last heard of a write: the record that it has is as old as that.

        ``begun``: the glass was broken before, and what was tried since is no news of the ensemble.
        """
        data = self._copy() if begun else self.data_dir
        logs = list((data / "version-2").glob("log.*"))
        if not logs:
            raise ServerError(f"{data}: no record of an ensemble")
        return max(path.stat().st_mtime for path in logs)

    def _copy(self) -> Path:
        """The data as it was before this glass was broken: the newest one that was put aside."""
        beside = self.data_dir.parent.glob(f"{self.data_dir.name}.{_ASIDE}*")  # an older version's
        found = [*sorted(beside), *sorted(self.data_dir.glob(f"{_ASIDE}*"))]
        if not found:
            raise ServerError(f"{self.data_dir}: nothing was put aside in it")
        return found[-1]

    @property
    def _inside_data(self) -> Path:
        return self.data_dir / f"{_ASIDE}{self._aside}"

    # ------------------------------------------------------------------ the epoch

    def raise_epoch(self) -> int:
        """So that whatever the lost servers wrote since ranks below this one. Returns the epoch.

        Counted from the copy: whoever was interrupted and does it again ends at the same number.
        """
        wanted = max(_epochs(self._copy())) + EPOCH_AHEAD
        for name, epoch in zip(EPOCH_FILES, _epochs(self.data_dir), strict=True):
            if epoch < wanted:
                _replace(self.data_dir / "version-2" / name, str(wanted))
        return wanted


def _epochs(data: Path) -> tuple[int, ...]:
    directory = data / "version-2"
    try:
        return tuple(int((directory / name).read_text(encoding="ascii")) for name in EPOCH_FILES)
    except (OSError, ValueError) as error:
        raise ServerError(f"{directory}: no epoch of an ensemble: {error}") from None


def _replace(path: Path, text: str) -> None:
    """On the disk before it has its name, in one rename, with the same owner and mode."""
    new = path.with_name(path.name + ".new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    shutil.copystat(path, new)
    _same_owner(path, new)
    new.rename(path)
    sync_directory(path.parent)


def _same_owner(of: Path, path: Path) -> None:
    found = of.stat()
    os.chown(path, found.st_uid, found.st_gid)
