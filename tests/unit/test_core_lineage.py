"""A standby's WAL must belong to the primary's history: a position alone does not say so."""

from __future__ import annotations

import json

import pytest

from failover.model import Lsn, TimelineId
from failover.replication.lineage import apart, parse_switches

SWITCHES = {TimelineId(2): Lsn(1000), TimelineId(3): Lsn(2000)}


@pytest.mark.parametrize(
    ("received", "standby", "primary", "promised", "told"),
    [
        (5000, 4, 4, None, ""),
        (1000, 2, 4, None, ""),  # on its way: it has not seen the switch yet
        (1001, 2, 4, None, "a branch of its own"),
        (500, 1, 4, None, "not known where"),
        (2100, 4, 3, None, ""),  # the primary has gone on since the newest sample
        (2100, 5, 3, None, "last seen on 3"),
        (2100, 5, 3, 5, ""),  # gone on, and lost before Patroni or an observer could say so
        (2100, 5, 3, 6, "last seen on 3"),
        (2100, 4, 1, None, "last seen on 1"),
    ],
)
def test_a_standby_is_on_the_primarys_history_or_the_reason_is_said(
    received: int, standby: int, primary: int, promised: int | None, told: str
) -> None:
    number = None if promised is None else TimelineId(promised)
    found = apart(Lsn(received), TimelineId(standby), TimelineId(primary), SWITCHES, number)
    assert (told in found) if told else (found == "")


def test_patronis_history_is_understood_or_taken_as_absent() -> None:
    text = json.dumps([[2, 1000, "no recovery target specified", "2030-01-01", "jkt-db2"]])
    assert parse_switches(text) == {TimelineId(2): Lsn(1000)}
    assert parse_switches("") == parse_switches("[[1]]") == parse_switches("{") == {}
