"""What the exit code of every ``failover`` command means (documented in docs/cli.md).

Scripts and monitoring rely on the numbers: a code is never given a second meaning. Imports
nothing, so that every command can use it at no cost.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    OK = 0
    FINDINGS = 1  # it worked, and what it found is not healthy
    BAD_INPUT = 2  # the command line or failover.yaml is wrong; also what click uses
    UNREACHABLE = 3  # the ensemble, or a controller that was asked, gave no answer in time
    STATE_UNREADABLE = 4  # the state znode is absent or cannot be understood: nothing is decided
    REFUSED = 5  # the request was understood and is not carried out: a hold, with its reasons
    FORBIDDEN = 6  # not with this key, or as this user: another role, or another user, may
    INTERRUPTED = 130  # Ctrl-C, as shells count it
