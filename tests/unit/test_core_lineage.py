"""A standby's WAL must belong to the primary's history: a position alone does not say so."""

from __future__ import annotations

import json

import pytest

from failover.model import Lsn, TimelineId
from failover.replication.lineage import apart, parse_switches

SWITCHES = {TimelineId(2): Lsn(1000), TimelineId(3): Lsn(2000)}


@pytest.mark.parametrize(
    ("received", "standby", "primary", "told"),
    [
        (5000, 4, 4, ""),
        (1000, 2, 4, ""),  # on its way: it has not seen the switch yet
        (1001, 2, 4, "a branch of its own"),
        (500, 1, 4, "not known where"),
        (2100, 4, 3, ""),  # the primary has gone on since the newest sample
        (2100, 5, 3, "last seen on 3"),
        (2100, 4, 1, "last seen on 1"),
    ],
)
def test_a_standby_is_on_the_primarys_history_or_the_reason_is_said(
    received: int, standby: int, primary: int, told: str
) -> None:
    found = apart(Lsn(received), TimelineId(standby), TimelineId(primary), SWITCHES)
    assert (told in found) if told else (found == "")


def test_patronis_history_is_understood_or_taken_as_absent() -> None:
    text = json.dumps([[2, 1000, "no recovery target specified", "2030-01-01", "jkt-db2"]])
    assert parse_switches(text) == {TimelineId(2): Lsn(1000)}
    assert parse_switches("") == parse_switches("[[1]]") == parse_switches("{") == {}
