"""A whole group with something odd in one of its znodes: every turn of every controller.

No turn fails, what is shown of it can be shown, what cannot be read permits nothing, and nothing of
it is written over: the takeover that would come without it comes by what is right, or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from cli_world import POLICY
from controller_world import CLUSTER, JAKARTA, MAKASSAR, START_UNIX_S, Group
from hostile import as_bytes, fuzzed, in_time, json_texts, near
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from test_guard_permits import CLAIM_PATH, LAST_PATH, ME, STATE_PATH, inputs

from failover.cli.history import as_json, as_table
from failover.console.document import describe
from failover.controller import TickResult
from failover.guard.permits import AskPermit, decide_permit
from failover.health.inputs import ConfigSeen
from failover.health.scope import parse_config
from failover.history import head_seen
from failover.history_check import check_history, understood
from failover.last_writer import LastWriter, encode_last_writer, read_last_writer
from failover.model import TimelineId
from failover.phases import moves
from failover.state import (
    HistoryEntry,
    OperatorRequest,
    PlanKind,
    StateError,
    StopKind,
    StoppedProof,
    WriterClaim,
    decode_record,
    decode_state,
    encode_record,
)
from failover.znode import Create, Op, Set, Znode

SHOWN = Console(width=100, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115, PTH123


def lost() -> Group:
    """Jakarta has just been lost; within seconds Makassar would be released."""
    group = Group(POLICY)
    group.run(3.0)
    group.lose_jakarta()
    group.release()
    return group


@dataclass(frozen=True)
class Place:
    """``readable``: what is there means something. ``vital``: without it nobody takes over."""

    name: str
    path: Callable[[Group], str]
    example: Callable[[Group], bytes]
    readable: Callable[[bytes], bool]
    vital: bool = False


def _decodes(decode: Callable[[bytes], object]) -> Callable[[bytes], bool]:
    def readable(data: bytes) -> bool:
        try:
            return decode(data) is not None
        except StateError:
            return False

    return readable


def _config(data: bytes) -> bool:
    return parse_config(ConfigSeen(data.decode(errors="replace"), 1)) is not None


def _there(path: Callable[[Group], str]) -> Callable[[Group], bytes]:
    def data(group: Group) -> bytes:
        found = group.guard.read(path(group))
        return b"{}" if found is None else found.data

    return data


def _place(
    name: str,
    path: Callable[[Group], str],
    readable: Callable[[bytes], bool],
    example: Callable[[Group], bytes] | None = None,
    *,
    vital: bool = False,
) -> Place:
    return Place(name, path, example or _there(path), readable, vital=vital)


REQUEST = OperatorRequest("s-1", PlanKind.TAKEOVER, MAKASSAR, "root", "why", 1.0, 2.0, 30.0)
PROOF = StoppedProof(
    "s-1",
    ME.host,
    JAKARTA,
    StopKind.KILLED,
    Group(POLICY).state.clusters[CLUSTER].min_lsn,
    TimelineId(1),
)
PLACES = (
    _place("state", lambda g: g.paths.state, _decodes(decode_state), vital=True),
    _place("old config", lambda g: g.scope(JAKARTA).config, _config, vital=True),
    _place("new config", lambda g: g.scope(MAKASSAR).config, _config, vital=True),
    _place(
        "claim",
        lambda g: g.paths.writer(CLUSTER),
        _decodes(lambda data: decode_record(WriterClaim, data, path="x")),
        lambda g: encode_record(WriterClaim(g.primary, JAKARTA, g.state.epoch)),
        vital=True,
    ),
    _place("patroni's history", lambda g: g.scope(JAKARTA).history, lambda _: False),
    _place("leader", lambda g: g.scope(JAKARTA).leader, lambda _: True),
    _place("observer", lambda g: g.paths.observer(MAKASSAR), lambda _: True),
    _place(
        "request",
        lambda g: g.paths.request,
        _decodes(lambda data: decode_record(OperatorRequest, data, path="x")),
        lambda _: encode_record(REQUEST),
    ),
    _place(
        "proof", lambda g: g.paths.stopped(CLUSTER), lambda _: True, lambda _: encode_record(PROOF)
    ),
    _place(
        "last writer",
        lambda g: g.paths.last_writer(CLUSTER),
        lambda _: True,
        lambda g: encode_last_writer(LastWriter(g.primary, JAKARTA, TimelineId(1))),
    ),
    _place("head", lambda g: g.paths.history_head, lambda _: True),
    _place(
        "ledger", lambda g: g.paths.residency, lambda _: True, lambda _: b'{"open":[],"cuts":[]}'
    ),
)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
@given(st.data())
@fuzzed(1)
def test_one_odd_znode(place: Place, data: st.DataObject) -> None:
    group = lost()
    path = place.path(group)
    example = place.example(group)
    try:
        document = json.loads(example)
    except ValueError:
        document = {}
    odd = as_bytes(data.draw(near(document) | json_texts() if document else json_texts()))
    found = group.guard.read(path)
    made: Op = Create(path, odd) if found is None else Set(path, odd, -1)
    group.guard.commit((made,))
    with in_time(10.0):
        try:
            results = group.run(12.0)
        except StateError:  # of the world's own: it reads the state, too
            assert place.name == "state"
            results = controllers_alone(group)
        for result in results[-3:]:
            json.dumps(describe(result, ()), ensure_ascii=False).encode()
    now = group.guard.read(path)
    moved = any(event == "takeover" for event in group.history())
    if place.vital and not place.readable(odd):
        assert not moved, "what cannot be read permits nothing"
        assert now is not None
        assert now.data == odd, "what cannot be read is left as it is"


@pytest.mark.parametrize("place", [each for each in PLACES if each.vital], ids=lambda p: p.name)
def test_what_cannot_be_read_holds(place: Place) -> None:
    """For certain, and not by chance: a key twice, where one reading of it would let all pass."""
    group = lost()
    path, odd = place.path(group), b'{"ttl": 20, "ttl": 20}'
    found = group.guard.read(path)
    group.guard.commit((Create(path, odd) if found is None else Set(path, odd, -1),))
    if place.name == "state":
        controllers_alone(group)
    else:
        group.run(12.0)
    now = group.guard.read(path)
    assert now is not None
    assert now.data == odd
    assert "takeover" not in group.history()


def controllers_alone(group: Group) -> list[TickResult]:
    """Without observations."""
    group.now_s += 12.0
    return [
        controller.tick(START_UNIX_S + group.now_s, group.now_s, None)
        for controller in group.controllers.values()
    ]


def test_without_anything_odd_it_takes_over() -> None:
    """The test above could not fail else."""
    group = lost()
    group.run(12.0)
    assert "takeover" in group.history()


# --------------------------------------------------------------------------- the guard's permit


@given(st.data())
@fuzzed(8)
def test_no_permit_by_what_cannot_be_read(data: st.DataObject) -> None:
    good = inputs()
    assert good.state is not None
    document = json.loads(good.state.data)
    which = data.draw(st.sampled_from(["state", "last_writer"]))
    writer = LastWriter(ME.host, ME.site, TimelineId(3))
    if which == "last_writer":
        document = json.loads(encode_last_writer(writer))
    odd = as_bytes(data.draw(near(document) | json_texts()))
    znodes = {
        "state": good.state,
        "last_writer": Znode(LAST_PATH, encode_last_writer(writer), 1),
        which: Znode(STATE_PATH if which == "state" else LAST_PATH, odd, 1),
    }
    promotion = data.draw(st.booleans())
    with in_time():
        decision = decide_permit(ME, inputs(**znodes, promotion=promotion))
    if not isinstance(decision, AskPermit):
        return
    if which == "state":
        decode_state(odd)
    elif not promotion:
        assert read_last_writer(znodes["last_writer"]) is not None
    assert decision.timeline is None or 0 < decision.timeline < 2**32
    assert CLAIM_PATH in [op.path for op in decision.transaction]


# --------------------------------------------------------------------------- the history

ENTRY = json.loads(
    encode_record(
        HistoryEntry(
            *(1_800_000_000.0, 4, "takeover", "summary", "by"),
            {
                "claim of shop": "gone for 6.1 s",
                "found subscription a b": "c",
                "gap a": "for 9 s: b",
            },
            *(2, "0" * 64),
        )
    )
)


@given(st.lists(near(ENTRY) | json_texts(), max_size=4), json_texts())
@fuzzed(8)
def test_a_history_can_always_be_shown(texts: list[str], head: str) -> None:
    with in_time():
        rows = tuple(
            understood(Znode(f"/h/e-{number:010d}", as_bytes(text), 1))
            for number, text in enumerate(texts)
        )
        assert [row.data for row in rows] == [as_bytes(text) for text in texts], "none left out"
        SHOWN.print(as_table(rows, details=True))
        json.dumps(as_json("shop", rows), ensure_ascii=False).encode()
        list(moves(row.entry for row in rows if row.entry is not None))
        found = check_history(rows, head_seen(Znode("/head", as_bytes(head), 1)))
    unreadable = [row.name for row in rows if row.entry is None]
    assert {finding.name for finding in found if finding.wrong == "unreadable"} == set(unreadable)
