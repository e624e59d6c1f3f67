"""Who the machine that runs the lab is to its hosts: the first site's controller, with every key.

So ``failover status`` and its like need no word of where certificates and keys are. Invariant: only
what lies beside this very package is believed, never a directory that somebody happens to stand in.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

from failover.policy import Policy

DIRECTORY = Path(__file__).resolve().parents[2] / ".lab"
RECORD = "lab.json"  # of the lab that is up: its failover.yaml among other things


def seen_from_here(policy: Policy, directory: Path) -> Policy:
    """``directory``: the lab's."""
    policy = policy.with_keys_in(str(directory / "secrets"))
    if not policy.tls.any:
        return policy
    site = policy.sites[0]
    place = PurePosixPath(policy.tls.directory).relative_to("/")
    mine = directory / "pki" / site.name / site.controller.name / place
    return policy.with_tls_in(str(mine))


def is_of_the_lab(config: Path, directory: Path = DIRECTORY) -> bool:
    """A lab is up that was started from this failover.yaml."""
    try:
        record = json.loads((directory / RECORD).read_text(encoding="utf-8"))
        recorded = Path(str(record["config"]))
        return recorded.is_absolute() and recorded.resolve() == config.resolve()
    except (OSError, ValueError, KeyError, TypeError):
        return False
