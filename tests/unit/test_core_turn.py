"""When the leading controller looks again, and whom it asks right before."""

from __future__ import annotations

import pytest

from failover.health.verdict import judge
from failover.model import SiteName
from failover.planning.turn import asked_once_more, awaits_a_stop
from tests.scenarios.language import build

MAKASSAR = SiteName("makassar")
FROZEN = "a switchover to makassar is frozen with 12 s left"
LOST = ["jakarta unplugged for 6.3 s", "no claim for 0.1 s"]
STOPPED = "jkt-db1 is shut down under the plan, its WAL ends at 0/5000029"


@pytest.mark.parametrize(
    ("world", "site", "waits"),
    [
        ([], None, False),
        ([FROZEN], MAKASSAR, True),
        ([FROZEN, STOPPED], MAKASSAR, False),
        (LOST, MAKASSAR, False),
        ([FROZEN, *LOST], MAKASSAR, True),  # the plan comes first, until its deadline
    ],
    ids=["at rest", "before the stop", "after it", "a takeover", "a loss under a plan"],
)
def test_the_new_site_is_asked_once_something_turns_on_it(
    world: list[str], site: SiteName | None, waits: bool
) -> None:
    view = build(world).view()
    assert (asked_once_more(view, judge(view)), awaits_a_stop(view)) == (site, waits)
