"""Every record of ours that is read back: znodes, files of the guard, lines between its processes.

Each is refused with the error that its reader knows, or it is understood, and then: written again
it reads the same, no number in it is out of range, no name can do anything to a terminal, and no
key was given twice.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from cli_world import CLUSTER, HOSTS, JAKARTA, MAKASSAR, NOW_UNIX_S, POLICY, STATE
from hostile import TWICE, as_bytes, fuzzed, in_time, json_texts, near, places, with_raw
from hypothesis import given
from hypothesis import strategies as st

from failover.coordination.notifications import Place, read_place
from failover.fields import NotExactly, read_exactly
from failover.guard import messages, records, salvage, server
from failover.guard.logic import Grant, Renewals, StartMode
from failover.health.observation import (
    FlushSeen,
    SiteObservation,
    ZooKeeperMode,
    ZooKeeperObservation,
    ZooKeeperSeen,
    decode_observation,
    encode_observation,
)
from failover.last_writer import LastWriter, encode_last_writer, read_last_writer
from failover.model import Epoch, HostName, Lsn, TimelineId
from failover.receipt.document import (
    FromIs,
    Keys,
    KeysState,
    LostRow,
    LostTransaction,
    Receipt,
    ReceiptError,
    TouchedRelation,
    decode_receipt,
    encode_receipt,
)
from failover.residency.approved import decode_approved
from failover.residency.findings import (
    CutSeen,
    Finding,
    HostScan,
    Ledger,
    OpenFinding,
    OpenGap,
    RecordedCut,
    decode_ledger,
    encode_ledger,
)
from failover.setting_request import (
    SettingKind,
    SettingRequest,
    decode_setting,
    encode_setting,
)
from failover.state import (
    Dropped,
    HistoryEntry,
    HistoryHead,
    OperatorRequest,
    PlanKind,
    PlanRecord,
    ReceiptRecord,
    SalvagePhase,
    SalvageProgress,
    StateError,
    StopKind,
    StoppedProof,
    WriterClaim,
    decode_record,
    decode_state,
    encode_record,
    encode_state,
)
from failover.znode import GroupPaths, Znode

HOST = HostName("mks-db1")
LSN = Lsn.parse("0/3000148")
WAY = ("subscription", HOST, "audit")
FULL = replace(
    STATE.with_cluster(
        CLUSTER,
        replace(
            STATE.clusters[CLUSTER],
            have=(HOST,),
            runs={HOST: "2026-01-01"},
            dropped={HOST: Dropped(1, NOW_UNIX_S)},
        ),
    ),
    plan=PlanRecord("s-1", PlanKind.SWITCHOVER, JAKARTA, MAKASSAR, NOW_UNIX_S, "controller"),
    unproven_site=JAKARTA,
)
RECEIPT = Receipt(
    *("4", CLUSTER, HOST, MAKASSAR, Epoch(4), NOW_UNIX_S, LSN, FromIs.DIVERGENCE, LSN, LSN, LSN),
    *(True, 1, 0, 0, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
    relations=(TouchedRelation("public.payment", "shop", "1/2/3", 1, 1),),
    keys=Keys(KeysState.READ, ("shop.public.payment",), 1, 0),
    lost=(
        LostTransaction(
            *(7, (8,), LSN, "2026-01-01T00:00:00Z", {"public.payment": 1}),
            keys=(LostRow("shop.public.payment", "insert", {"id": "1"}, "own"),),
        ),
    ),
)


@dataclass(frozen=True)
class Kind:
    """One kind of record: how it is written and read, and the errors that its readers know."""

    name: str
    example: Any
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    errors: tuple[type[Exception], ...] = (StateError,)
    unique: bool = True  # a key given twice is refused


def _record(example: Any) -> Kind:
    kind = type(example)
    return Kind(
        kind.__name__, example, encode_record, lambda data: decode_record(kind, data, path="x")
    )


def _last_writer(data: bytes) -> LastWriter:
    found = read_last_writer(Znode("x", data, 1))
    if found is None:
        raise StateError("nobody is it")
    return found


def _adapted(name: str, adapter: Any, example: Any) -> Kind:
    return Kind(
        name, example, adapter.dump_json, lambda data: read_exactly(adapter, data), (NotExactly,)
    )


KINDS = (
    Kind("state", FULL, encode_state, decode_state),
    _record(WriterClaim(HOST, MAKASSAR, Epoch(4))),
    _record(StoppedProof("s-1", HOST, MAKASSAR, StopKind.KILLED, LSN, TimelineId(3), 0.5)),
    _record(
        SalvageProgress(
            *(HOST, MAKASSAR, Epoch(4), SalvagePhase.DONE, LSN, LSN, 1, 16, "/var/lib/x", "d"),
            ReceiptRecord("/r", LSN, LSN, True, True, 1, 0, 0, 1, "read", 1, 0),
        )
    ),
    _record(HistoryEntry(NOW_UNIX_S, Epoch(4), "takeover", "s", "b", {"a": "b"}, 2, "0" * 64)),
    _record(HistoryHead(2, "0" * 64)),
    _record(
        OperatorRequest(
            *("s-1", PlanKind.TAKEOVER, MAKASSAR, "root", "why", NOW_UNIX_S, NOW_UNIX_S, 30.0),
            outcome=("a",),
            fenced_site=JAKARTA,
        )
    ),
    Kind(
        "setting that is asked for",
        SettingRequest(
            *("s-1", SettingKind.PAUSED, "7", "paused", "root", {"reason": "why"}),
            *(NOW_UNIX_S, NOW_UNIX_S),
        ),
        encode_setting,
        lambda data: decode_setting(data, path="x"),
    ),
    Kind(
        "LastWriter",
        LastWriter(HOST, MAKASSAR, TimelineId(3), True),
        encode_last_writer,
        _last_writer,
    ),
    Kind(
        "observation",
        SiteObservation(
            *(JAKARTA, 1, NOW_UNIX_S, 0.1, tuple(HOSTS.values())),
            (ZooKeeperObservation(HostName("sby-zk1"), ZooKeeperSeen(ZooKeeperMode.LEADER, 7)),),
            "1",
            (
                HostScan(
                    *(HOST, 0.5, 12.0, ""),
                    (Finding(*WAY, ""),),
                    (CutSeen(*WAY, NOW_UNIX_S, NOW_UNIX_S, 1, ("slot",), ""),),
                ),
            ),
            (FlushSeen(HOST, Lsn(7), TimelineId(3)),),
        ),
        encode_observation,
        lambda data: decode_observation(data, path="x"),
    ),
    Kind(
        "ledger",
        Ledger(
            (OpenFinding(Finding(*WAY, ""), NOW_UNIX_S),),
            (RecordedCut(*WAY, NOW_UNIX_S, NOW_UNIX_S),),
            (OpenGap(HOST, "silent", NOW_UNIX_S),),
        ),
        encode_ledger,
        lambda data: decode_ledger(data, path="x"),
    ),
    Kind("receipt", RECEIPT, encode_receipt, decode_receipt, (ReceiptError,), unique=False),
    _adapted(
        "guard's record",
        records._RECORD,
        records.GuardRecord(
            "b", 7, "00ff", True, Grant(7, Epoch(4), 1.0, True, None), 2.0, Epoch(4)
        ),
    ),
    _adapted("lease", records._LEASE, records.LeaseRecord("b", 7, Renewals(7, 2.0, 1.0))),
    _adapted("note", server._NOTE, server.NoteFile(StartMode.STANDBY, 1.0, "b", "00")),
    _adapted(
        "salvage done", salvage._COPIED, salvage.Copied(True, LSN, LSN, 1, 16, Path("/x"), "")
    ),
    *(
        Kind(type(each).__name__, each, messages.encode, decode, (ValueError,), unique=False)
        for decode, each in (
            (messages.decode_from_worker, messages.SessionOpened(7, "00ff")),
            (messages.decode_from_worker, messages.Renewed(7, 1.0)),
            (messages.decode_from_worker, messages.StateRead(True, 4, False)),
            (messages.decode_from_worker, messages.ClaimRead(True)),
            (messages.decode_from_worker, messages.LeaderRead("x", False, True)),
            (
                messages.decode_from_worker,
                messages.PermitAnswer(1, messages.Answer.YES, "r", "d", 7, 4, 5),
            ),
            (messages.decode_from_worker, messages.SalvageAnswer(1, True, 4, "d")),
            (
                messages.decode_from_minder,
                messages.MinderStatus(True, 1, 7, 1.0, True, True, False),
            ),
            (messages.decode_from_minder, messages.PermitAsk(1, messages.Purpose.START, 1.0)),
            (messages.decode_from_worker, messages.HostAnswer(1, "{}")),
            (
                messages.decode_from_minder,
                messages.HostAsk(1, "0.1", 4.5, "ab", (("10.0.0.1", 0.5),)),
            ),
        )
    ),
)
EVERY_KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every plain value with the name of the field that it stands in."""
    if isinstance(value, Lsn):
        yield "lsn", value
    elif is_dataclass(value):
        for each in fields(value):
            yield from _leaves(getattr(value, each.name), each.name)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(key, f"{name}'s key")
            yield from _leaves(inner, name)
    elif isinstance(value, tuple):
        for inner in value:
            yield from _leaves(inner, name)
    elif not isinstance(value, Enum):
        yield name, value


NAMES = ("host", "site", "group", "active_site", "from_site", "to_site", "fenced_site", "have")
SECONDS_OF_9999 = 253_402_214_400  # a day before its end: what follows is in local time


def _sane(value: Any) -> None:
    """Nothing in it is out of range, or acts on a terminal where only a name is meant."""
    for name, leaf in _leaves(value):
        if isinstance(leaf, Lsn):
            assert 0 <= leaf.bytes < 2**64, leaf
        elif isinstance(leaf, float | int) and not isinstance(leaf, bool):
            assert math.isfinite(leaf), name
            if name.endswith("unix_s"):
                assert 0 <= leaf < SECONDS_OF_9999, name
            elif name == "epoch":
                assert 0 <= leaf < 2**31, name
            elif name == "timeline":
                assert 0 <= leaf < 2**32, name
            elif isinstance(leaf, int) and name != "session_id":
                assert 0 <= leaf < 2**64, name
        elif name in NAMES and leaf is not None:
            assert leaf, f"{name}: an empty name"
            assert not any(unicodedata.category(c).startswith("C") for c in leaf), name


def _given_twice(text: bytes) -> bool:
    found = False

    def pairs(each: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        found = found or len({key for key, _ in each}) != len(each)
        return dict(each)

    json.loads(text, object_pairs_hook=pairs)
    return found


def held_to_its_word(kind: Kind, data: bytes) -> None:
    with in_time():
        try:
            understood = kind.decode(data)
        except kind.errors:
            return
        assert kind.decode(kind.encode(understood)) == understood
        _sane(understood)
        assert not (kind.unique and _given_twice(data)), "a key given twice"


@EVERY_KIND
def test_the_example_is_read_as_it_was_written(kind: Kind) -> None:
    assert kind.decode(kind.encode(kind.example)) == kind.example
    _sane(kind.example)


ODD = (
    *("NaN", "Infinity", "-1", "1e300", "1" + "0" * 40, '"1"', '"\\u001b[2J"', '""', "true"),
    TWICE,
)


@EVERY_KIND
def test_each_value_in_turn(kind: Kind) -> None:
    """By chance few of them would be tried where few examples are."""
    document = json.loads(kind.encode(kind.example))
    for place in places(document):
        for odd in ODD:
            held_to_its_word(kind, as_bytes(with_raw(document, place, odd)))


@EVERY_KIND
@given(st.data())
@fuzzed(5)
def test_almost_right(kind: Kind, data: st.DataObject) -> None:
    held_to_its_word(kind, as_bytes(data.draw(near(json.loads(kind.encode(kind.example))))))


@EVERY_KIND
@given(st.binary(max_size=60) | json_texts().map(as_bytes))
@fuzzed(1)
def test_anything(kind: Kind, data: bytes) -> None:
    held_to_its_word(kind, data)


class _One:
    """A store with one znode."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, path: str) -> Znode:
        return Znode(path, self._data, 3)


@given(near({"schema": 1, "marks": ["a", "b"]}) | json_texts())
@fuzzed(7)
def test_what_an_approver_has_approved(text: str) -> None:
    """What cannot be understood approves nothing."""
    with in_time():
        marks = decode_approved(as_bytes(text))
    if marks:
        assert marks == set(map(str, json.loads(text)["marks"]))


@given(json_texts() | near({"entry": "e-0000000001", "schema": 1}))
@fuzzed(7)
def test_where_a_target_of_notifications_is(text: str) -> None:
    with in_time():
        place = read_place(_One(as_bytes(text)), GroupPaths(POLICY.group), "x")  # type: ignore[arg-type]
    assert place.version == 3, "what is there is moved from its version, never made anew"
    assert place.problem or json.loads(text) in (
        {"entry": place.entry},
        {"entry": place.entry, "schema": 1},
    )
    assert place == Place("", 3, place.problem) or place.entry
