"""The ``state`` znode: what is damaged is refused, and never read as a permission."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from cli_world import CLUSTER, JAKARTA, MAKASSAR, NOW_UNIX_S, STATE

from failover.model import HostName
from failover.state import (
    Dropped,
    GroupState,
    PlanKind,
    PlanRecord,
    StateError,
    decode_state,
    encode_state,
)

HOST = HostName("mks-db1")
FULL: GroupState = replace(
    STATE,
    clusters={
        CLUSTER: replace(
            STATE.clusters[CLUSTER],
            have=(HOST,),
            runs={HOST: "2026-01-01 00:00:00+00"},
            dropped={HOST: Dropped(1, NOW_UNIX_S)},
        )
    },
    plan=PlanRecord(
        "s-1", PlanKind.SWITCHOVER, JAKARTA, MAKASSAR, NOW_UNIX_S, "controller at jakarta"
    ),
    cooldown_until_unix_s=NOW_UNIX_S,
    paused_until_unix_s=NOW_UNIX_S,
    epoch_started_unix_s=NOW_UNIX_S,
    unproven_site=JAKARTA,
    proving=True,
    proven_unix_s=NOW_UNIX_S,
    takeover_begun_unix_s=NOW_UNIX_S,
)
# Missing, they permit less: see failover/state.py.
CAREFUL = {
    "proving",
    "proven_unix_s",
    "clusters.marketplace.have",
    "clusters.marketplace.runs",
    "clusters.marketplace.dropped",
}


def written() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(encode_state(FULL))
    return document


def places(document: dict[str, Any], above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every key of it, at every depth, by the way to it."""
    found = []
    for key, value in document.items():
        found.append((*above, key))
        if isinstance(value, dict):
            found += places(value, (*above, key))
    return found


def without(place: tuple[str, ...]) -> bytes:
    document = written()
    at = document
    for key in place[:-1]:
        at = at[key]
    del at[place[-1]]
    return json.dumps(document).encode()


# Names of clusters and hosts are data: what is said of none is a state of fewer.
NAMES = {str(CLUSTER), str(HOST)}
KEYS = [place for place in places(written()) if place[-1] not in NAMES]


def test_what_is_written_is_what_is_read() -> None:
    assert decode_state(encode_state(FULL)) == FULL


@pytest.mark.parametrize("place", KEYS, ids=".".join)
def test_a_key_that_is_missing_is_never_a_permission(place: tuple[str, ...]) -> None:
    if ".".join(place) in CAREFUL:
        decode_state(without(place))
        return
    with pytest.raises(StateError, match=place[-1]):
        decode_state(without(place))


def test_what_may_be_missing_permits_nothing() -> None:
    document = written()
    for key in ("proving", "proven_unix_s"):
        del document[key]
    for key in ("have", "runs", "dropped"):
        del document["clusters"][CLUSTER][key]
    read = decode_state(json.dumps(document).encode())
    cluster = read.clusters[CLUSTER]
    assert (cluster.have, cluster.runs, cluster.dropped) == ((), {}, {})
    assert (read.proving, read.proven_unix_s) == (False, 0.0)
