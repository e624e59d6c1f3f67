"""A script on a host of the lab, by the engine's own client: the SDK loses the output of short
commands on a busy machine."""

from __future__ import annotations

import subprocess

from failover.model import HostName

LIMIT_S = 30.0  # a machine that does much besides; what is tried has limits of its own


def run(host: HostName, script: str) -> tuple[int, str]:
    """Its exit code, and what it wrote to both of its outputs."""
    done = subprocess.run(
        ["docker", "exec", "-i", host, "sh"],
        input=script,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    return done.returncode, done.stdout
