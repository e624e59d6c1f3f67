"""The report on data residency: what is in it, what it says is missing, in both languages."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from string import Formatter

import pytest
from golden import check_golden_file
from residency_story import (
    CUT,
    DB1,
    DBLINK,
    LINE,
    MADE_UNIX_S,
    MKS1,
    OCTOBER,
    PATHS,
    POLICY,
    SLOT,
    Story,
    at,
    october,
)

from failover.cli.residency import read_sources
from failover.coordination.residency import DETAILS_MAX
from failover.render.residency_report import cell, document, html, markdown
from failover.residency.report.document import ALWAYS, Report, Sources, compose
from failover.residency.report.pages import pages
from failover.residency.report.record import End
from failover.residency.report.texts import RULES, TEXTS, Language
from failover.residency.report.times import moment
from failover.residency.ways import WAYS
from failover.znode import Delete, Set

ENGLISH, INDONESIAN = TEXTS.values()


def sources(story: Story) -> Sources:
    return read_sources(story.store, PATHS, (), "ab" * 32)


def report(story: Story, **changed: object) -> Report:
    said = replace(sources(story), **changed)  # type: ignore[arg-type]
    return compose(POLICY, said, OCTOBER, made_unix_s=MADE_UNIX_S, version="1.2.3")


def overwritten(story: Story, path: str, data: bytes) -> Story:
    found = story.store.read(path)
    assert found is not None
    story.store.commit((Set(path, data, found.version),))
    return story


def codes(found: Report) -> list[str]:
    return [limit.code for limit in found.limits]


# --------------------------------------------------------------------------- the period


def test_findings_of_the_period_with_their_ends() -> None:
    found = report(october())
    assert [(f.subject, f.from_unix_s, f.to_unix_s, f.end) for f in found.findings] == [
        (SLOT.subject, at(30, 9), at(1, hour=20), End.GONE),
        (LINE.subject, at(9, hour=8, minute=53), at(9, hour=18), End.GONE),
        (DBLINK.subject, at(25), None, End.OPEN),
    ]
    assert found.reliable


def test_cuts_and_gaps_of_the_period() -> None:
    found = report(october())
    assert [(cut.subject, cut.at_unix_s) for cut in found.cuts] == [
        (CUT.subject, at(9, hour=9, minute=10))
    ]
    assert "3 sessions ended, slots dropped: singapore" in found.cuts[0].detail
    (gap,) = found.gaps
    assert (gap.host, gap.from_unix_s, gap.to_unix_s) == (
        MKS1,
        at(20, hour=3) - 61.0,
        at(20, hour=4),
    )
    assert gap.why == "no living controller scans it"


def test_every_declared_network_host_and_receiver_is_in_it() -> None:
    found = report(october())
    assert {row.network for row in found.networks} == {
        str(each.network) for site in POLICY.sites for each in site.declared
    }
    assert len(found.hosts) == len({row.name for row in found.hosts}) == 12
    assert all(row.network for row in found.hosts)
    assert [row.kind for row in found.receivers].count("replication") == 4
    assert ("archive", "10.77.3.80:443") in [(row.name, row.place) for row in found.receivers]
    assert [(row.expires, row.over) for row in found.accepted] == [("2025-09-30", True)]
    assert [(row.approver, row.over) for row in found.exceptions] == [("CTO", False)]


def test_the_value_of_a_setting_is_not_in_it() -> None:
    found = report(october())
    assert [row.name for row in found.settings] == ["archive_command"]
    assert "pgbackrest" not in json.dumps(document(found, Language.ENGLISH))


# --------------------------------------------------------------------------- what it cannot say


def test_what_is_always_missing_is_always_said() -> None:
    assert codes(report(october())) == ["not_compared", *ALWAYS]


def test_a_broken_chain_is_said_first_and_in_large_letters() -> None:
    story = october()
    story.store.commit((Delete(f"{PATHS.history}/e-0000000004", 0),))
    found = report(story)
    assert not found.reliable
    assert codes(found)[0] == "chain_not_whole"
    for language in Language:
        shown = pages(found, language)
        assert shown.alarm == TEXTS[language]["unreliable"]
        assert found.chain.wrong[0] in html(shown).replace("&#39;", "'")
        assert TEXTS[language]["unreliable"] in markdown(shown)


def test_a_head_from_a_log_that_does_not_fit_is_a_broken_chain() -> None:
    said = sources(october())
    assert said.head.head is not None
    other = replace(said.head.head, sha256="0" * 64)
    assert report(october(), logged=(said.head.head,)).reliable
    assert "not_compared" not in codes(report(october(), logged=(said.head.head,)))
    assert not report(october(), logged=(other,)).reliable


def test_a_ledger_that_was_changed_by_hand_disagrees() -> None:
    story = overwritten(october(), PATHS.residency, b'{"open":[],"cuts":[],"gaps":[],"schema":1}')
    found = report(story)
    assert (found.disagreements, found.reliable) == (2, False)
    assert [f.end for f in found.findings] == [End.GONE, End.GONE, End.UNKNOWN]
    assert "disagreements" in codes(found)


def test_an_open_finding_that_the_history_does_not_have_is_shown() -> None:
    story = october()
    with_it = story.store.read(PATHS.residency)
    assert with_it is not None
    story.tell(at(2, 11), DBLINK)
    found = report(overwritten(story, PATHS.residency, with_it.data))
    assert found.disagreements == 1
    assert not found.reliable


def test_a_ledger_that_cannot_be_read_is_no_proof() -> None:
    found = report(overwritten(october(), PATHS.residency, b"scrawl"))
    assert (found.disagreements, found.reliable) == (None, False)
    assert "ledger_unreadable" in codes(found)


def test_a_ledger_written_anew_leaves_ends_unknown() -> None:
    story = Story()
    story.tell(at(3), LINE, SLOT)
    overwritten(story, PATHS.residency, b"scrawl")
    story.tell(at(4), LINE)
    found = report(story)
    assert [(f.subject, f.to_unix_s, f.end) for f in found.findings] == [
        (LINE.subject, None, End.OPEN),
        (SLOT.subject, at(4), End.UNKNOWN),
    ]
    assert "rewritten" in codes(found)
    assert found.reliable


def test_what_an_entry_had_no_room_for_is_counted_and_no_contradiction() -> None:
    many = [replace(LINE, subject=f"line {number}") for number in range(DETAILS_MAX + 5)]
    story = Story()
    story.tell(at(3), *many)
    found = report(story)
    assert len(found.findings) == len(many)
    assert [limit.count for limit in found.limits if limit.code == "left_out"] == [6]
    assert found.reliable


def test_an_earlier_entry_without_room_excuses_no_change_by_hand() -> None:
    story = Story()
    story.tell(at(3), *(replace(LINE, subject=f"line {n}") for n in range(DETAILS_MAX + 5)))
    story.tell(at(4))
    story.tell(at(5), LINE)
    overwritten(story, PATHS.residency, b'{"open":[],"cuts":[],"gaps":[],"schema":1}')
    found = report(story)
    assert (found.disagreements, found.reliable) == (1, False)


def test_a_period_that_is_not_over_says_so() -> None:
    said = compose(POLICY, sources(october()), OCTOBER, made_unix_s=at(15), version="1")
    assert "period_not_over" in codes(said)


def test_a_gap_shorter_than_a_minute_is_not_on_record() -> None:
    story = Story()
    story.tell(at(3), blind=(DB1,), blind_for_s=59.0)
    story.tell(at(4))
    assert report(story).gaps == ()


# --------------------------------------------------------------------------- languages


def test_both_languages_have_the_same_texts_with_the_same_values() -> None:
    assert ENGLISH.keys() == INDONESIAN.keys()
    for key, text in ENGLISH.items():
        assert places(text) == places(INDONESIAN[key]), key


def places(text: str) -> set[str | None]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_no_text_is_left_in_the_other_language() -> None:
    same = {key for key, text in ENGLISH.items() if INDONESIAN[key] == text}
    assert same == {"sha256", "host", "kind.proxy", "kind.zookeeper", "kind.controller"}


def test_every_way_limit_and_rule_has_its_texts() -> None:
    found = report(october())
    for language, texts in TEXTS.items():
        assert all(f"limit.{code}" in texts for code in codes(found))
        assert all(f"rule.{name}" in texts for name in RULES)
        document(found, language)
        pages(found, language)
    assert all(way.indonesian != way.what for way in WAYS)


@pytest.mark.parametrize("language", list(Language))
def test_markdown(language: Language) -> None:
    shown = markdown(pages(report(october()), language))
    check_golden_file(f"residency_report_{language}.md", shown)


@pytest.mark.parametrize("language", list(Language))
def test_html_needs_nothing_from_elsewhere(language: Language) -> None:
    shown = html(pages(report(october()), language))
    assert f'<html lang="{language}">' in shown
    assert not re.search(r"(?i)(src|href|url|@import|http|<script|<link|<img|<iframe)", shown)


def test_what_was_recorded_is_text_and_no_markup() -> None:
    story = Story()
    odd = replace(LINE, subject="<script>|**x**|\n# [a](b)", detail="`x`\x1b[2J")
    story.tell(at(3), odd)
    found = report(story)
    assert "<script>" not in html(pages(found, Language.ENGLISH))
    line = next(
        line for line in markdown(pages(found, Language.ENGLISH)).splitlines() if "script" in line
    )
    assert cell(odd.subject) in line
    assert "\x1b" not in line
    assert len(re.findall(r"(?<!\\)\|", line)) == 7


def test_times_say_their_zone_and_the_day_where_it_is_another_one() -> None:
    assert moment(at(9, hour=8)) == ("2025-10-09 08:00:00 UTC / 15:00:00 WIB / 16:00:00 WITA")
    assert moment(at(9, hour=16, minute=30)) == (
        "2025-10-09 16:30:00 UTC / 23:30:00 WIB / 2025-10-10 00:30:00 WITA"
    )
    assert moment(at(9, hour=20)) == (
        "2025-10-09 20:00:00 UTC / 2025-10-10 03:00:00 WIB / 04:00:00 WITA"
    )
