"""zoo.cfg → zoo.cfg with another membership. Pure; every other line stays as it is."""

from __future__ import annotations

import re

_SERVER = re.compile(r"^server\.(\d+)=")
_ALONE = "standaloneEnabled=false"
_WHY = "# This site alone, by `failover break-glass quorum`; `failover break-glass widen` ends it."


def members(text: str) -> frozenset[int]:
    """The ``myid`` of every server that the file names."""
    found = (_SERVER.match(line) for line in text.splitlines())
    return frozenset(int(match.group(1)) for match in found if match)


def alone(text: str, keep: frozenset[int]) -> str:
    """Only these servers. Also a single one holds elections, so that its epoch goes up and outranks
    whatever the others may still write. ValueError where one of them is not there."""
    missing = keep - members(text)
    if not keep or missing:
        raise ValueError(f"no server.{min(missing, default=0)} in zoo.cfg")
    lines = [line for line in text.splitlines() if not _is_other(line, keep) and line != _ALONE]
    return "\n".join([_WHY, *lines, _ALONE]) + "\n"


def _is_other(line: str, keep: frozenset[int]) -> bool:
    match = _SERVER.match(line)
    return match is not None and int(match.group(1)) not in keep


def is_alone(text: str) -> bool:
    """Written by ``alone``."""
    return _WHY in text.splitlines()


def setting(text: str, name: str) -> str | None:
    """The value of a setting, for example ``dataDir``."""
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and key.strip() == name:
            return value.strip()
    return None
