"""What a database host knows of its cluster's backups, for ``failover check``. Reads files only.

pgBackRest is not run here: it would wait for a repository. A timer writes down what it said
(docs/operations/backups.md). Of its configuration, where keys of a repository may stand, only the
places come out.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from failover.checks.host_report import REPOSITORY_HERE, BackupOnHost
from failover.policy import BackupPromise

FILE_MAX_BYTES = 4 * 1024**2  # some 600 bytes for a backup
# pgBackRest's configuration reference, "Repository Options".
_REPOSITORY = re.compile(r"repo(\d+)-(path|type|(?:[a-z0-9]+-)?(?:host|endpoint))")
_INCLUDED = "/etc/pgbackrest/conf.d"  # it reads these besides, by default
_OWN_DISK = ("posix", "cifs")

_LAX = ConfigDict(extra="ignore")


@dataclass(frozen=True, slots=True, config=_LAX)
class _Span:
    stop: Annotated[int, Field(gt=0)]


@dataclass(frozen=True, slots=True, config=_LAX)
class _Backup:
    """``error``: a page of it had a wrong checksum; null where no page was looked at."""

    label: Annotated[str, Field(max_length=64)]
    timestamp: _Span
    error: bool | None = None


@dataclass(frozen=True, slots=True, config=_LAX)
class _Stanza:
    name: str
    backup: tuple[_Backup, ...] = ()


_INFO: TypeAdapter[tuple[_Stanza, ...]] = TypeAdapter(tuple[_Stanza, ...])


def backup_status(promise: BackupPromise | None, root: Path = Path("/")) -> BackupOnHost | None:
    """None where nothing is promised."""
    if promise is None:
        return None
    places: tuple[str, ...] = ()  # known also where the rest is not: they are what may be abroad
    try:
        places = tuple(sorted(set(_places(root, promise.config_file))))
        newest = _newest_good(_read(root, promise.status_file), promise.status_file)
    except OSError as error:
        return BackupOnHost(f"{error.filename}: {error.strerror}", "", None, places)
    except ValueError as error:
        return BackupOnHost(str(error), "", None, places)
    if newest is None:
        return BackupOnHost("", "", None, places)
    return BackupOnHost("", newest.label, float(newest.timestamp.stop), places)


def _newest_good(text: str, file: str) -> _Backup | None:
    """ValueError: that is not what `pgbackrest info --output=json` says of one stanza."""
    try:
        stanzas = _INFO.validate_json(text)
    except ValidationError:
        raise ValueError(f"{file}: not the answer of `pgbackrest info --output=json`") from None
    if len(stanzas) != 1:
        raise ValueError(f"{file}: {len(stanzas)} stanzas, where one was to be asked (--stanza)")
    good = (each for each in stanzas[0].backup if not each.error)
    return max(good, key=lambda each: each.timestamp.stop, default=None)


def _places(root: Path, file: str) -> Iterator[str]:
    """Of each repository every host that its data passes, or ``REPOSITORY_HERE``."""
    found: dict[str, dict[str, str]] = {}
    included = sorted((root / _INCLUDED.lstrip("/")).glob("*.conf"))
    for each in (file, *(f"/{path.relative_to(root)}" for path in included)):
        for number, option, value in _options(root, each):
            found.setdefault(number, {})[option] = value
    if not found:
        raise ValueError(f"{file}: names no repository")
    for options in found.values():
        kind = options.pop("type", "posix")
        options.pop("path", None)
        if kind not in _OWN_DISK and not any(key.startswith(kind) for key in options):
            yield kind
        elif not options:
            yield REPOSITORY_HERE
        yield from options.values()


def _options(root: Path, file: str) -> Iterator[tuple[str, str, str]]:
    """Number of a repository, option, value. ValueError without a word of the file: keys."""
    said = configparser.RawConfigParser(strict=False, delimiters=("=",), comment_prefixes=("#",))
    try:
        said.read_string(_read(root, file))
    except configparser.Error:
        raise ValueError(f"{file}: not a configuration of pgBackRest") from None
    for section in said.sections():
        for key, value in said.items(section):
            if match := _REPOSITORY.fullmatch(key):
                yield match[1], match[2], value.strip()


def _read(root: Path, file: str) -> str:
    with (root / file.lstrip("/")).open("rb") as opened:
        found = opened.read(FILE_MAX_BYTES + 1)
    if len(found) > FILE_MAX_BYTES:
        raise ValueError(f"{file}: longer than {FILE_MAX_BYTES} bytes")
    return found.decode("utf-8", errors="replace")
