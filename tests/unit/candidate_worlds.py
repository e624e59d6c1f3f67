"""Worlds in which Patroni is told whom to promote, and plans judged in one and seen in another."""

from __future__ import annotations

from collections.abc import Sequence

from failover.health.verdict import judge
from failover.health.view import View
from failover.planning.plan import Plan
from failover.planning.plan_checks import lint
from failover.planning.planner import plan
from tests.scenarios.language import build

_BEHIND = (
    "jkt-db1 wrote last",
    "no claim of marketplace for 31 s",
    "marketplace-jakarta has no leader key",
    "PostgreSQL on jkt-db1 is a standby of jkt-db2",
    "PostgreSQL on jkt-db1 is on timeline 2",
    "PostgreSQL on jkt-db2 has received 0/5000900, replayed 0/5000900",
)
_IN_SYNC = "protection is max-availability, in sync"

# The other site has everything on record, by a record that nobody takes over by any more.
VOID = (
    _IN_SYNC,
    "on record with everything: mks-db1",
    *_BEHIND,
    "no claim of marketplace for 4 s",
    "the server on mks-db1 was started anew",
)
# The same with a good record, and nobody took over: another cluster of the group keeps the site,
# or there was a takeover just before.
PARTLY = ("two clusters", _IN_SYNC, "on record with everything: mks-db1, mks-db3", *_BEHIND)
COOLDOWN = (_IN_SYNC, "on record with everything: mks-db1", *_BEHIND, "cooldown for 3000 s")

SENT_MORE = (
    "PostgreSQL on mks-db1 is on timeline 2",
    "PostgreSQL on mks-db1 has received 0/5000100, replayed 0/5000100",
)
# All that was acknowledged it had told the primary; the last writer was promoted with less.
TOLD_MORE = ("mks-db1 has told the primary that it has 0/5000100, on timeline 1",)
# What it has beyond comes from the refused host, on the older branch.
FOLLOWS_THE_REFUSED = (
    "mks-db1 has told the primary that it has 0/4FFFF00, on timeline 1",
    "PostgreSQL on mks-db1 has received 0/5000900, replayed 0/5000900",
)


def judged_in(world: Sequence[str], seen: Sequence[str]) -> tuple[Plan, View]:
    """What is planned in one world, which is right there, and what another one shows."""
    view = build([*world]).view()
    decided = plan(view, judge(view))
    assert isinstance(decided, Plan), decided
    assert lint(decided, view) == ()
    return decided, build([*seen]).view()
