"""The hosts that commits wait for, as the text of ``synchronous_standby_names``. Pure.

Invariant: the text requires every host that it names. PostgreSQL cannot say "one here and one
there", and ``FIRST n`` of more than n hosts silently replaces a lost remote one by a local one. Any
other text is not understood, and nothing is concluded from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from failover.model import HostName

_TEXT = re.compile(r'([1-9][0-9]{0,3}) \(("[^"]+"(?:,"[^"]+")*)\)')


def names_text(hosts: Iterable[HostName]) -> str:
    """``2 ("jkt-db2","mks-db1")``; empty where nobody is waited for."""
    names = sorted(set(hosts))
    if not names:
        return ""
    quoted = ",".join(f'"{name}"' for name in names)
    return f"{len(names)} ({quoted})"


@lru_cache(maxsize=256)  # the same few texts are asked about with every look
def listed_hosts(text: str) -> tuple[HostName, ...] | None:
    """The hosts of a text that requires them all. None: somebody else's text."""
    if not text:
        return ()
    match = _TEXT.fullmatch(text)
    if match is None:
        return None
    names = tuple(HostName(name.strip('"')) for name in match[2].split(","))
    return names if len(names) == int(match[1]) == len(set(names)) else None
