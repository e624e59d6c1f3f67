"""A promised timeline number, on real PostgreSQL: who is promoted to it, who follows, who rewinds.

The story is timeline_numbers.sh; it runs to its end in one container, without a network.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from single_container import lab_output

pytestmark = pytest.mark.lab

STORY = Path(__file__).with_name("timeline_numbers.sh")
BARRIER = Path(__file__).parents[2] / "failover" / "guard" / "barrier.py"


@pytest.fixture(scope="module")
def facts() -> dict[str, str]:
    told = lab_output(["sh", "/story.sh"], {STORY: "/story.sh", BARRIER: "/barrier/barrier.py"})
    return dict(line.split(": ", 1) for line in told.splitlines() if ": " in line)


def test_the_number_is_the_promised_one(facts: dict[str, str]) -> None:
    assert (facts["b promoted"], facts["c promoted"]) == ("2", "3")
    assert facts["c's history"] == "1", "of its parent, not of the reserved number"


def test_a_running_standby_ignores_a_reserved_number(facts: dict[str, str]) -> None:
    assert facts["c runs on"] == "new timeline 2 is not a child of database system timeline 1"


def test_a_start_needs_it_forgotten(facts: dict[str, str]) -> None:
    """Were it otherwise, the start barrier would not have to."""
    assert facts["c comes up with it"] == "no"
    assert facts["c comes up without it"] == "t"


def test_standbys_follow_across_the_gap(facts: dict[str, str]) -> None:
    assert facts["d follows"] == "3"
    assert facts["d fetched"] == "00000002.history 00000003.history"
    assert facts["e, cut off half way, follows"] == "3"


def test_the_other_branch_is_rewound(facts: dict[str, str]) -> None:
    assert facts["b follows"] == "before, on c"


def test_the_next_number_follows(facts: dict[str, str]) -> None:
    assert facts["d promoted"] == "4"
    assert facts["d's history"] == "1 3"


def test_a_restore_names_its_timeline(facts: dict[str, str]) -> None:
    """Histories that are kept elsewhere have the gap: ``latest`` stops before it."""
    assert facts["restored to latest"] == "before"
    assert facts["restored to 3"] == "before, on c"
