"""The lines of a scenario's world, one change each.

Every line matches exactly one pattern of ``CHANGES``; a line that matches none fails the test, so
a scenario cannot be misread in silence.
"""

from __future__ import annotations

from tests.scenarios import (
    changes_on_record,
    changes_protection,
    changes_residency,
    changes_seen,
)
from tests.scenarios.changes import CHANGES
from tests.scenarios.world import World

__all__ = [
    "CHANGES",
    "apply",
    "build",
    "changes_on_record",
    "changes_protection",
    "changes_residency",
    "changes_seen",
]


def build(lines: list[str]) -> World:
    """The healthy world with these changes, in order."""
    shapes = {"two clusters": (2, 2), "three hosts at each site": (1, 3)}
    found = [line for line in lines if line in shapes]
    world = World.healthy(*shapes[found[0]] if found else ())
    for line in lines:
        if line not in shapes:
            apply(world, line)
    return world


def apply(world: World, line: str) -> None:
    found = [(f, m) for pattern, f in CHANGES if (m := pattern.fullmatch(line))]
    if len(found) != 1:
        known = "\n  ".join(pattern.pattern for pattern, _ in CHANGES)
        raise ValueError(f"{line!r} matches {len(found)} of:\n  {known}")
    function, match = found[0]
    function(world, *match.groups())
