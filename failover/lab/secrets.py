"""The lab's passwords: made once per lab, kept under .lab/ with no rights for anyone else.

Invariant: a password is never printed, and never stands in a file under deploy/.
"""

from __future__ import annotations

import secrets
from pathlib import Path

# What Patroni calls it, and the file with it.
PATRONI_ENVIRONMENT = {
    "PATRONI_SUPERUSER_PASSWORD": "superuser",
    "PATRONI_REPLICATION_PASSWORD": "replication",
    "PATRONI_REWIND_PASSWORD": "rewinder",
    "PATRONI_RESTAPI_PASSWORD": "patroni-rest",
}
NAMES = (*PATRONI_ENVIRONMENT.values(), "observer", "client")


def generate(directory: Path) -> None:
    """Write the files that are not there yet."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    for name in NAMES:
        path = directory / f"{name}.password"
        if not path.exists():
            _write(path, secrets.token_urlsafe(24) + "\n")
    lines = [
        f"{variable}={(directory / f'{name}.password').read_text(encoding='utf-8')}"
        for variable, name in PATRONI_ENVIRONMENT.items()
    ]
    _write(directory / "patroni.env", "".join(lines))


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
