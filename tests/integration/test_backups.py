"""The guide's arrangement of pgBackRest through a takeover and back, on real PostgreSQL.

The story is backups.sh; it runs to its end in one container of the lab's image, without a network.
Repositories are directories: their hosts and the wires to them are not part of it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from single_container import lab_output

from failover.lab import image

pytestmark = [pytest.mark.lab, pytest.mark.full]

STORY = Path(__file__).with_name("backups.sh")
BARRIER = Path(__file__).parents[2] / "failover" / "guard" / "barrier.py"
ROWS = "old, before, late, last, on b, after the backup"


@pytest.fixture(scope="module")
def facts() -> dict[str, str]:
    files = {STORY: "/story.sh", BARRIER: "/barrier/barrier.py"}
    told = lab_output(["bash", "/story.sh"], files, image=image.ensure())
    return dict(line.split(": ", 1) for line in told.splitlines() if ": " in line)


def test_a_standby_archives_nothing(facts: dict[str, str]) -> None:
    assert facts["a standby's own pushes"] == "0"
    assert facts["a backup at the standby site"] == "unable to find primary cluster"


def test_a_backup_that_asks_both_sites_hosts_finds_two_primaries(facts: dict[str, str]) -> None:
    assert facts["a backup with both asked"] == "more than one primary cluster found"


def test_two_that_archive_at_once_are_refused(facts: dict[str, str]) -> None:
    assert facts["archive_mode always"] == "archive_mode=always not supported"


def test_both_sides_archive_the_split_segment_under_names_of_their_own(
    facts: dict[str, str],
) -> None:
    assert facts["old primary archived after the split"] == "3"
    assert facts["new timeline"] == "3"
    archived = facts["makassar archived"].split()
    assert archived == ["00000001.partial", "00000003.history", "00000003"]
    assert facts["the split segment of the old timeline"].split() == ["split", "split.partial"]


@pytest.mark.parametrize(
    "backup",
    [
        "new backup",
        "old backup, mirror and own",
        "old backup, shared",
        "old backup, mirror too early, gap pushed",
    ],
)
def test_along_the_named_timeline_it_gives_back_the_new_primary(
    facts: dict[str, str], backup: str
) -> None:
    assert facts["new primary"] == ROWS
    assert facts[backup] == ROWS


def test_latest_follows_the_old_primary_across_the_gap_in_the_numbers(
    facts: dict[str, str],
) -> None:
    said = facts["old backup, shared, latest"]
    assert said == "old, before, late, last, on a 1, on a 2, on a 3, on a 4"


def test_a_gap_in_the_wal_ends_a_restore_early_and_says_nothing(facts: dict[str, str]) -> None:
    assert facts["old backup, mirror too early"] == "old, before"
    assert facts["it says"] == "1 complete, 0 errors"
    assert facts["pushed by hand"] == "1"


def test_in_quarantine_nothing_is_pushed_and_a_rewind_forgets_what_was_due(
    facts: dict[str, str],
) -> None:
    assert int(facts["in quarantine, to be archived"]) > 0
    assert (facts["in quarantine, archivers"], facts["in quarantine, pushed"]) == ("0", "0")
    assert facts["rewound, to be archived"] == "0"


def test_back_again_archives_on_and_nothing_archived_was_ever_changed(
    facts: dict[str, str],
) -> None:
    assert facts["back"] == "4, failed 0"
    assert facts["archived before and changed since"] == "0"
    for repository in ("jakarta", "makassar", "shared"):
        assert facts[f"names given twice in {repository}"] == "0"


def test_in_one_repository_a_second_promotion_from_a_segment_stops_archiving(
    facts: dict[str, str],
) -> None:
    """Why each site has its own: promised numbers do not help against this."""
    assert facts["two promotions from one segment"] == "stuck at 1.partial, refused"
    assert facts["one number twice"] == "2 and 2, refused"
