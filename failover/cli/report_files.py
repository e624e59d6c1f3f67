"""Writes the two files of a report, beside earlier ones and never over them, and sums them up."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from failover.cli.output import UserError

ENDINGS = (".json", ".md")


@dataclass(frozen=True, slots=True)
class Written:
    """One file, and the SHA-256 of its bytes in hexadecimal."""

    path: Path
    sha256: str


def usable_directory(path: Path) -> Path:
    """The directory, where a file can be made in it. UserError before anything is begun."""
    if path.is_dir() and os.access(path, os.W_OK | os.X_OK):
        return path
    raise UserError(
        "no report can be written there",
        where=str(path),
        todo="name a directory that exists and may be written with --report DIR",
    )


def write(directory: Path, stem: str, document: str, text: str) -> tuple[Written, Written]:
    """The JSON and the Markdown file under one name that was not there. OSError."""
    for number in range(1, 1000):
        name = stem if number == 1 else f"{stem}-{number}"
        paths = [directory / f"{name}{ending}" for ending in ENDINGS]
        if not any(path.exists() for path in paths):
            return _write(paths[0], document), _write(paths[1], text)
    raise FileExistsError(f"{directory}: there are 999 reports of the name {stem}")


def _write(path: Path, text: str) -> Written:
    data = text.encode()
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return Written(path, hashlib.sha256(data).hexdigest())
