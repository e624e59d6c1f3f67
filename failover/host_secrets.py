"""The passwords of a group: made once, and laid out as each host needs them.

Invariant: a password is never printed, never stands in failover.yaml or in a rendered file, and one
that is there is never replaced. Files are for their owner alone.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from failover.durable import replace_file
from failover.policy import Policy

PLACE = PurePosixPath("etc/failover/secrets")  # on a host

# What Patroni calls it, and the file with it.
PATRONI_ENVIRONMENT = {
    "PATRONI_SUPERUSER_PASSWORD": "superuser",
    "PATRONI_REPLICATION_PASSWORD": "replication",
    "PATRONI_REWIND_PASSWORD": "rewinder",
    "PATRONI_RESTAPI_PASSWORD": "patroni-rest",
}
PATRONI_FILE = "patroni.env"
NAMES = (*PATRONI_ENVIRONMENT.values(), "observer", "client")

DATABASE_FILES = (*(f"{name}.password" for name in NAMES), PATRONI_FILE)
CONTROLLER_FILES = ("patroni-rest.password", "observer.password")


def generate(directory: Path) -> tuple[str, ...]:
    """Write the files that are not there yet; the passwords among them that were made."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    missing = [name for name in NAMES if not (directory / f"{name}.password").exists()]
    for name in missing:
        _write(directory / f"{name}.password", secrets.token_urlsafe(24) + "\n")
    lines = [
        f"{variable}={(directory / f'{name}.password').read_text(encoding='utf-8')}"
        for variable, name in PATRONI_ENVIRONMENT.items()
    ]
    _write(directory / PATRONI_FILE, "".join(lines))
    return tuple(missing)


def lay_out(policy: Policy, made: Path, directory: Path) -> int:
    """Every host's files below ``directory``/<site>/<host>, from those ``made``; how many hosts."""
    count = 0
    for host, names in _hosts(policy):
        place = directory / host / PLACE
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in names:
            _write(place / name, (made / name).read_text(encoding="utf-8"))
        count += 1
    return count


def _hosts(policy: Policy) -> Iterator[tuple[PurePosixPath, tuple[str, ...]]]:
    for site in policy.sites:
        yield PurePosixPath(site.name, site.controller.name), CONTROLLER_FILES
    for cluster in policy.clusters:
        for host in cluster.hosts:
            yield PurePosixPath(host.site, host.name), DATABASE_FILES


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a password cut short would be believed."""
    replace_file(path, text.encode(), 0o600)
