"""A failover.yaml with every host's files beside it, as a lab is brought up from.

The lab that tests share is open: what they are about has nothing to do with wires and keys, and on
two processors handshakes would be most of what they wait for. test_transport_*, test_access_*,
test_ports* and others bring up closed ones.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from failover.config import parse
from failover.lab.lab import CONFIG
from failover.render import render, write

OPEN = Path(__file__).parents[1] / "open.yaml"


def site_of(text: str, directory: Path) -> Path:
    """``text`` as a failover.yaml, its hosts' files, and Prometheus's."""
    write(render(parse(text)), directory)
    shutil.copytree(CONFIG.parent / "prometheus", directory / "prometheus")
    config = directory / "failover.yaml"
    config.write_text(text, encoding="utf-8")
    return config


def open_site(directory: Path) -> Path:
    """Of tests/open.yaml."""
    return site_of(OPEN.read_text(encoding="utf-8"), directory)
