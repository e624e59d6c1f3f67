"""Which notifications the history holds, and what they say."""

from __future__ import annotations

import json

import pytest
from notification_world import AT_UNIX_S, EVERYTHING, entry

from failover.history_check import Stored
from failover.history_events import EVENTS, HELD, PAGE, Severity, severity_of
from failover.model import GroupName
from failover.notifications.documents import body
from failover.notifications.due import (
    SUMMARY_LENGTH_MAX,
    WAITING_MAX,
    Notification,
    notification,
    shortened,
    wanted,
    window,
)
from failover.policy import NotificationKind, WebhookFormat
from failover.state import HistoryEntry, encode_record

GROUP = GroupName("shop")


def stored(number: int, said: HistoryEntry) -> Stored:
    return Stored(f"e-{number:010d}", encode_record(said), said)


def told(event: str, **details: str) -> Notification:
    found = notification(GROUP, stored(7, entry(event, **details)))
    assert found is not None
    return found


def test_who_wants_to_know_what() -> None:
    events = [
        *("takeover", "promoted", "held", "degraded"),
        *("reinstated", "residency", "switchover", "of_a_newer_failover"),
    ]
    entries = [stored(n, entry(event)) for n, event in enumerate(events)]
    entries.append(Stored("e-0000000099", b"{", None, "not JSON"))
    kinds = (NotificationKind.TAKEOVER, NotificationKind.FINDING)
    assert [n.event for n in wanted(GROUP, entries, kinds)] == ["takeover", "residency"]
    everything = ["takeover", "held", "reinstated", "residency", "switchover"]
    assert [n.event for n in wanted(GROUP, entries, EVERYTHING)] == everything


def test_every_kind_has_an_event() -> None:
    assert {event.kind for event in EVENTS} - {None} == set(NotificationKind)
    assert len({event.name for event in EVENTS}) == len(EVENTS)


def test_the_same_entry_has_the_same_id_and_no_other_one_has() -> None:
    one = notification(GROUP, stored(7, entry("takeover")))
    again = notification(GROUP, stored(7, entry("takeover")))
    later = notification(GROUP, stored(8, entry("takeover")))
    changed = notification(GROUP, stored(7, entry("takeover", loss="much")))
    assert one is not None
    assert one == again
    assert len({each.id for each in (one, later, changed) if each is not None}) == 3


@pytest.mark.parametrize(
    ("event", "details", "severity"),
    [
        ("takeover", {}, Severity.PAGE),
        (HELD, {PAGE: "true"}, Severity.PAGE),
        (HELD, {PAGE: "false"}, Severity.WARN),
        ("residency", {"found walsender jkt-db1 x": ""}, Severity.PAGE),
        ("residency", {"cut walsender jkt-db1 x": ""}, Severity.PAGE),
        ("residency", {"gap jkt-db1": ""}, Severity.WARN),
        ("residency", {"gone walsender jkt-db1 x": "", "gap_over jkt-db1": ""}, Severity.INFO),
        ("reinstated", {}, Severity.INFO),
    ],
)
def test_how_loud_it_is(event: str, details: dict[str, str], severity: Severity) -> None:
    assert severity_of(entry(event, **details)) == severity


def test_nothing_out_of_a_database_is_told() -> None:
    """The subject of a finding may be a name that somebody made up; evidence may hold anything."""
    subject, evidence = "name Budi Santoso 08123", "row (1, 'Siti')"
    found = told(
        "residency",
        **{
            f"found subscription jkt-db1 {subject}": evidence,
            f"gone client jkt-db2 {subject}": "",
            "gap mks-db1": evidence,
        },
    )
    assert found.summary == (
        "residency happened (found: subscription on jkt-db1; gone: client on jkt-db2; gap: mks-db1)"
    )
    held = told("held", what="takeover", claim_gone=evidence)
    for format in WebhookFormat:
        for each in (found, held):
            text = body(format, each, 0, "hook").decode()
            assert "Budi" not in text
            assert "Siti" not in text


def test_a_summary_is_one_line_of_bounded_length() -> None:
    long = HistoryEntry(
        AT_UNIX_S, entry("takeover").epoch, "takeover", "a\n\x1b[31m" * 999, "b\n", {}
    )
    found = notification(GROUP, stored(1, long))
    assert found is not None
    assert len(found.summary) == SUMMARY_LENGTH_MAX
    assert found.summary.isprintable()
    assert found.by == "b"


def test_what_is_too_much_is_counted_and_the_newest_stay() -> None:
    names = [f"e-{n:010d}" for n in range(WAITING_MAX + 30)]
    found = window(names, "e-0000000009")
    assert (len(found.names), found.left_out) == (WAITING_MAX, 20)
    assert found.names[-1] == names[-1]
    assert window(names, names[-2]).names == (names[-1],)
    assert window(names, names[-1]) == window([], "")
    many = [told("takeover")] * (WAITING_MAX + 3)
    assert [len(kept) if isinstance(kept, tuple) else kept for kept in shortened(many)] == [
        WAITING_MAX,
        3,
    ]


# --------------------------------------------------------------------------- documents


def test_our_own_document() -> None:
    document = json.loads(body(WebhookFormat.JSON, told("takeover"), 4, "hook"))
    assert document.pop("id").startswith("shop/e-0000000007/")
    assert document == {
        "schema": 1,
        "group": "shop",
        "kind": "takeover",
        "event": "takeover",
        "severity": "page",
        "epoch": 2,
        "number": 0,
        "at": "2027-01-15T08:00:00.000+00:00",
        "at_unix_s": AT_UNIX_S,
        "summary": "takeover happened",
        "by": "a test",
        "left_out": 4,
    }


def test_alertmanagers_document() -> None:
    """Fields and types of version 4: alertmanager/template.Data, and webhook.Message around it."""
    document = json.loads(body(WebhookFormat.ALERTMANAGER, told("takeover_begun"), 0, "hook"))
    assert {name: type(value) for name, value in document.items()} == {
        "version": str,
        "groupKey": str,
        "truncatedAlerts": int,
        "status": str,
        "receiver": str,
        "groupLabels": dict,
        "commonLabels": dict,
        "commonAnnotations": dict,
        "externalURL": str,
        "alerts": list,
    }
    assert (document["version"], document["receiver"]) == ("4", "hook")
    (alert,) = document["alerts"]
    assert alert["labels"] == document["commonLabels"]
    assert alert["labels"]["alertname"] == "FailoverEventTakeoverBegun"
    assert alert["labels"]["severity"] == "page"
    assert (alert["status"], alert["endsAt"]) == ("firing", "0001-01-01T00:00:00Z")
    assert alert["startsAt"] == "2027-01-15T08:00:00.000+00:00"
    assert all(
        isinstance(value, str)
        for labels in (alert["labels"], alert["annotations"], document["groupLabels"])
        for value in labels.values()
    )
