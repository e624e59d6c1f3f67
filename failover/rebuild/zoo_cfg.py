"""zoo.cfg → zoo.cfg with another membership. Pure; every other line stays as it is.

The ensemble grows back in steps whose quorums have a server in common: the survivors alone; a
returned server that knows the survivors and itself, and so agrees to nothing without them; the
survivors with everybody. Invariant: no two servers that have not got the survivors' record can ever
be a quorum by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_SERVER = re.compile(r"^server\.([0-9]{1,3})=")
_ALONE = "standaloneEnabled=false"
_ADDRESSES = ("clientPortAddress", "secureClientPortAddress")
_WHY = "# A part of the ensemble, by `failover break-glass`; docs/operations/two-sites-lost.md"


def members(text: str) -> frozenset[int]:
    """The ``myid`` of every server that a zoo.cfg, or ZooKeeper's own record of it, names."""
    found = (_SERVER.match(line) for line in text.splitlines())
    return frozenset(int(match.group(1)) for match in found if match)


def part(text: str, keep: Iterable[int], *, unseen: bool = False) -> str:
    """Only these servers. A single one holds elections too, so that its epoch goes up.

    ``unseen``: clients of other hosts are not let in. ValueError where a server is not there.
    """
    kept = frozenset(keep)
    missing = kept - members(text)
    if not kept or missing:
        raise ValueError(f"no server.{min(missing, default=0)} in zoo.cfg")
    lines = [_WHY, *(line for line in text.splitlines() if _stays(line, kept)), _ALONE]
    if unseen:
        lines = [f"{_key(line)}=127.0.0.1" if is_address(line) else line for line in lines]
    return "\n".join(lines) + "\n"


def _stays(line: str, kept: frozenset[int]) -> bool:
    match = _SERVER.match(line)
    return line not in (_ALONE, _WHY) and (match is None or int(match.group(1)) in kept)


def is_address(line: str) -> bool:
    return _key(line) in _ADDRESSES


def _key(line: str) -> str:
    return line.partition("=")[0].strip()


def is_part(text: str) -> bool:
    """Written by ``part``."""
    return _WHY in text.splitlines()


def is_unseen(text: str) -> bool:
    """A part that lets nobody in yet: who may write is not on its record."""
    addresses = [setting(text, name) for name in _ADDRESSES]
    return is_part(text) and "127.0.0.1" in addresses


def setting(text: str, name: str) -> str | None:
    """The value of a setting, for example ``dataDir``."""
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and key.strip() == name:
            return value.strip()
    return None
