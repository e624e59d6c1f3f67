"""Where the other site has everything, somebody is named only if no takeover can come by that."""

from __future__ import annotations

import pytest

from failover.health.candidate import outrun
from tests.scenarios.language import build
from tests.unit.candidate_worlds import (
    COOLDOWN,
    FOLLOWS_THE_REFUSED,
    PARTLY,
    SENT_MORE,
    TOLD_MORE,
    VOID,
)


@pytest.mark.parametrize("world", [VOID, PARTLY, COOLDOWN, (*PARTLY, *FOLLOWS_THE_REFUSED)])
def test_the_last_writer_is_named(world: tuple[str, ...]) -> None:
    (found,) = outrun(build([*world]).view())
    assert found.candidate is not None
    assert found.candidate.host.name == "jkt-db1"


@pytest.mark.parametrize(
    "world",
    [
        VOID[:-1],
        (*VOID, *SENT_MORE),
        (*PARTLY, *SENT_MORE),
        (*PARTLY, "PostgreSQL on mks-db1 is silent for 32 s"),
        (*PARTLY, "no claim of escrow for 7 s"),
        (*PARTLY, "the claim of escrow could not be read"),
        (*PARTLY, "no claim of marketplace for 29 s"),
        (*COOLDOWN, "no claim of marketplace for 29 s"),
        (*COOLDOWN, *TOLD_MORE),
        (*PARTLY, *TOLD_MORE),
        (*PARTLY, FOLLOWS_THE_REFUSED[1]),
    ],
)
def test_nobody_is_named(world: tuple[str, ...]) -> None:
    assert outrun(build([*world]).view()) == ()
