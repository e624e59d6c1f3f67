"""How ``pg_waldump`` is called, and the positions in what it says.

Invariant: its messages are read in English, whatever the language of the host: it finds its end of
WAL in words only, and words that are not understood read as an end of WAL that is not known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from failover.model import Lsn

# The whole environment: C has no translations, and times of commits are printed in UTC.
ENVIRONMENT: Mapping[str, str] = MappingProxyType({"TZ": "UTC", "LC_ALL": "C"})
NO_RECORD = "could not find a valid record"
_POSITION = re.compile(r"\bat ([0-9A-F]+/[0-9A-F]+)|LSN ([0-9A-F]+/[0-9A-F]+)")


def command(bin_dir: Path, directory: Path, *arguments: str) -> list[str]:
    """Over the segments in ``directory``; run it with ``ENVIRONMENT``, and read it as UTF-8 with
    errors replaced: a prepared transaction may be called anything."""
    return [str(bin_dir / "pg_waldump"), f"--path={directory}", *arguments]


def stopped_at(said: str) -> Lsn | None:
    """The furthest position in its messages: where it found no further record. None: it names
    none."""
    found: list[tuple[str, str]] = _POSITION.findall(said)
    try:
        return max((Lsn.parse(first or second) for first, second in found), default=None)
    except ValueError:
        return None
