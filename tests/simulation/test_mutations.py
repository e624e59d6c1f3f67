"""`make mutations` sees what it should: the stories pass with everything in place, and two planted
breakages, one of the guard and one of the controllers, are caught."""

from __future__ import annotations

import pytest

from failover.planning import decision, transactions
from tests.mutations.__main__ import MUTATIONS, tried
from tests.mutations.stories import STORIES, Story


@pytest.mark.slow
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_with_everything_in_place_no_story_complains(story: Story) -> None:
    story()


@pytest.mark.parametrize(
    ("name", "check"),
    [("epoch not raised", "I2"), ("a permit for a host without everything", "S")],
)
def test_a_mutation_is_caught_and_taken_out_again(name: str, check: str) -> None:
    before = (decision.lint, transactions._moved)
    assert f" {check}: " in tried(name).by
    assert (decision.lint, transactions._moved) == before


def test_every_mutation_has_a_name_of_its_own_and_a_story() -> None:
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)
    assert all(mutation.stories for mutation in MUTATIONS)
