"""What people may ask for, by where their requests stand, and what the controller makes of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from ipaddress import ip_network

import pytest
from cli_world import JAKARTA, MAKASSAR, NOW_UNIX_S, POLICY, STATE, healthy
from memory_store import MemoryStore, World

from failover.access import Access, Role, ZooKeeperAccess
from failover.coordination.requests_seen import BYTES_MAX, places, request_seen
from failover.coordination.setting_desk import answer_settings
from failover.health.inputs import RequestSeen
from failover.health.view import build_view
from failover.history import CHAIN_STARTS
from failover.model import Automation, ProtectionMode
from failover.planning import requests
from failover.planning.plan import Plan, StepName
from failover.planning.plan_checks import lint
from failover.policy import AcceptedFinding, NetworkException, Purpose
from failover.residency.approved import counted, decode_approved, mark, unapproved
from failover.setting_request import (
    DETAILS_MAX,
    PAUSE_S_MAX,
    WORDS_MAX,
    SettingKind,
    SettingRequest,
    decode_setting,
    encode_setting,
)
from failover.state import (
    GroupState,
    HistoryEntry,
    OperatorRequest,
    PlanKind,
    PlanRecord,
    RequestPhase,
    decode_record,
    decode_state,
    encode_record,
    encode_state,
)
from failover.znode import Create, GroupPaths, Set, Znode

CLOSED = replace(POLICY, access=ZooKeeperAccess(Access.REQUIRE))
PATHS = GroupPaths(POLICY.group)


def move(**changes: object) -> OperatorRequest:
    asked = OperatorRequest(
        id="t-1",
        kind=PlanKind.TAKEOVER,
        to_site=MAKASSAR,
        by="somebody@desk",
        reason="because",
        at_unix_s=NOW_UNIX_S,
        answer_by_unix_s=NOW_UNIX_S + 10,
        limit_s=15.0,
    )
    return replace(asked, **changes)  # type: ignore[arg-type]


def seen(*standing: tuple[str, OperatorRequest | None], plan_id: str = "") -> RequestSeen | None:
    znodes: dict[str, Znode | None] = dict.fromkeys(places(CLOSED))
    for path, request in standing:
        data = encode_record(request) if request is not None else b""
        znodes[path] = Znode(path, data, 3)
    plan = PlanRecord(plan_id, PlanKind.SWITCHOVER, JAKARTA, MAKASSAR, NOW_UNIX_S + 9, "somebody")
    state = decode_state(encode_state(STATE))
    return request_seen(places(CLOSED), znodes, replace(state, plan=plan if plan_id else None))


# --------------------------------------------------------------------------- which one is looked at


def test_an_empty_place_is_no_request() -> None:
    assert seen((PATHS.request, None), (PATHS.approvers_request, None)) is None


def test_where_roles_are_not_told_apart_there_is_one_place() -> None:
    assert places(POLICY) == (PATHS.request,)


def test_what_is_under_way_comes_first_then_an_approvers() -> None:
    waiting, running = move(), move(id="s-2", phase=RequestPhase.RUNNING)
    found = seen((PATHS.request, waiting), (PATHS.approvers_request, replace(waiting, id="a")))
    assert found is not None
    assert (found.by_approver, found.version) == (True, 3)
    found = seen((PATHS.request, running), (PATHS.approvers_request, waiting), plan_id="s-2")
    assert found is not None
    assert found.request == running
    ended = replace(waiting, phase=RequestPhase.DONE)
    found = seen((PATHS.request, waiting), (PATHS.approvers_request, ended))
    assert found is not None
    assert not found.by_approver


def test_nobody_keeps_an_approvers_request_from_being_seen() -> None:
    """Neither by a request that says of itself that it is under way, nor by one left over so."""
    running = move(id="s-2", phase=RequestPhase.RUNNING, at_unix_s=NOW_UNIX_S + 1e6)
    for plan_id in ("", "s-1"):
        standing = (PATHS.request, running), (PATHS.approvers_request, move())
        found = seen(*standing, plan_id=plan_id)
        assert found is not None
        assert (found.by_approver, found.request) == (True, move())


def test_a_request_too_long_to_be_put_on_record_is_none() -> None:
    found = seen((PATHS.request, move(reason="x" * BYTES_MAX)))
    assert found is not None
    assert (found.request, found.version) == (None, 3)
    assert "at most" in found.problem


# --------------------------------------------------------------------------- loss, fencing by hand


@pytest.mark.parametrize("answers", [{"accept_data_loss": True}, {"fenced_site": JAKARTA}])
def test_what_an_approver_answers_for_is_refused_to_an_operator(answers: dict[str, object]) -> None:
    request = move(**answers)
    inputs = replace(healthy(), request=RequestSeen(3, request))
    decision = requests.answer(build_view(CLOSED, inputs))
    assert isinstance(decision, Plan)
    assert decision.step is StepName.REFUSE_REQUEST
    assert "role_allows: accepting loss, or saying that a site is fenced" in decision.sentence
    view = build_view(CLOSED, inputs)
    assert lint(decision, view) == ()

    by_approver = replace(healthy(), request=RequestSeen(3, request, by_approver=True))
    decision = requests.answer(build_view(CLOSED, by_approver))
    assert isinstance(decision, Plan)
    assert "role_allows" not in decision.sentence
    open_tree = requests.answer(build_view(POLICY, inputs))
    assert isinstance(open_tree, Plan)
    assert "role_allows" not in open_tree.sentence


def test_the_answer_goes_where_the_request_stands_and_the_role_on_record() -> None:
    request = move(kind=PlanKind.SWITCHOVER, id="s-1")
    view = build_view(CLOSED, replace(healthy(), request=RequestSeen(3, request, by_approver=True)))
    decision = requests.answer(view)
    assert isinstance(decision, Plan)
    assert decision.step is StepName.BEGIN_SWITCHOVER
    assert lint(decision, view) == ()
    assert isinstance(decision.action, tuple)
    answers = [op for op in decision.action if isinstance(op, Set) and "requests" in op.path]
    assert [op.path for op in answers] == [PATHS.approvers_request]
    created = next(op for op in decision.action if isinstance(op, Create))
    entry = decode_record(HistoryEntry, created.data, path=created.path)
    assert entry.details["role"] == Role.APPROVER


# --------------------------------------------------------------------------- settings


def setting(kind: SettingKind, value: str = "", **details: str) -> SettingRequest:
    return SettingRequest(
        id="1",
        kind=kind,
        value=value,
        summary=f"{kind} {value}",
        by="somebody@desk",
        details={"reason": "because", **details},
        at_unix_s=NOW_UNIX_S,
        answer_by_unix_s=NOW_UNIX_S + 10,
    )


class Desk:
    """The tree with one request at one place."""

    def __init__(self, request: SettingRequest, *, approver: bool = False) -> None:
        self.store: MemoryStore = World().session()
        self.path = PATHS.setting(approver=approver)
        for path in ("/failover", PATHS.root, PATHS.history, PATHS.requests, PATHS.writers):
            self.store.commit((Create(path, b""),))
        for path, data in (
            (PATHS.state, encode_state(STATE)),
            (self.path, encode_setting(request)),
        ):
            self.store.commit((Create(path, data),))

    def answered(self, now_unix_s: float = NOW_UNIX_S) -> SettingRequest:
        answer_settings(self.store, CLOSED, now_unix_s=now_unix_s)
        found = self.store.read(self.path)
        assert found is not None
        return decode_setting(found.data, path=found.path)

    @property
    def state(self) -> GroupState:
        found = self.store.read(PATHS.state)
        assert found is not None
        return decode_state(found.data)

    @property
    def history(self) -> list[HistoryEntry]:
        paths = [f"{PATHS.history}/{name}" for name in self.store.children(PATHS.history)]
        found = [(path, self.store.read(path)) for path in paths]
        entries = [decode_record(HistoryEntry, z.data, path=p) for p, z in found if z is not None]
        for entry in entries:
            entry.details.pop(CHAIN_STARTS, None)
        return entries


@pytest.mark.parametrize(("approver", "role"), [(False, Role.OPERATOR), (True, Role.APPROVER)])
def test_what_is_asked_for_is_set_once_and_on_record_with_its_role(
    approver: bool, role: Role
) -> None:
    desk = Desk(setting(SettingKind.AUTOMATION, Automation.MANUAL), approver=approver)
    assert desk.answered().phase is RequestPhase.DONE
    assert desk.state.automation is Automation.MANUAL
    desk.answered()
    (entry,) = desk.history
    assert (entry.event, entry.by) == ("automation", "somebody@desk")
    assert entry.details == {"reason": "because", "role": role}


def test_nobody_says_of_himself_as_whom_he_asked() -> None:
    claims = {"role": Role.APPROVER, CHAIN_STARTS: "anew"}
    desk = Desk(setting(SettingKind.AUTOMATION, Automation.MANUAL, **claims))
    answer_settings(
        desk.store,
        replace(POLICY, access=ZooKeeperAccess(Access.USE)),
        now_unix_s=NOW_UNIX_S,
    )
    (entry,) = desk.history
    assert entry.details == {"reason": "because"}


def test_what_is_too_long_to_be_put_on_record_is_left() -> None:
    details = {f"{number}": "x" * WORDS_MAX for number in range(DETAILS_MAX - 1)}
    desk = Desk(setting(SettingKind.AUTOMATION, Automation.MANUAL, **details))
    assert desk.answered().waits
    assert (desk.state, desk.history) == (STATE, [])


def test_what_is_so_already_is_said() -> None:
    desk = Desk(setting(SettingKind.AUTOMATION, STATE.automation))
    assert desk.answered().outcome == "it is so already"
    assert desk.history == []


@pytest.mark.parametrize(
    "request_",
    [
        setting(SettingKind.PAUSED, str(NOW_UNIX_S + PAUSE_S_MAX + 1)),
        setting(SettingKind.PAUSED, "for ever"),
        setting(SettingKind.AUTOMATION, "mine"),
    ],
)
def test_what_cannot_be_set_is_refused_and_nothing_is_written(request_: SettingRequest) -> None:
    desk = Desk(request_)
    assert desk.answered().phase is RequestPhase.REFUSED
    assert (desk.state, desk.history) == (STATE, [])


def test_what_waited_for_too_long_is_refused() -> None:
    desk = Desk(setting(SettingKind.PAUSED, str(NOW_UNIX_S + 60)))
    assert desk.answered(NOW_UNIX_S + 11).phase is RequestPhase.REFUSED
    assert desk.state == STATE


def test_a_weaker_mode_without_a_claim_takes_an_approver() -> None:
    strong = replace(STATE, protection=ProtectionMode.MAX_PROTECTION)
    wanted = ProtectionMode.MAX_PERFORMANCE

    def asked(approver: bool, **details: str) -> tuple[SettingRequest, GroupState]:
        desk = Desk(setting(SettingKind.PROTECTION, wanted, **details), approver=approver)
        desk.store.commit((Set(PATHS.state, encode_state(strong), 0),))
        return desk.answered(), desk.state

    ended, state = asked(approver=False)
    assert "nobody holds this claim" in ended.outcome
    ended, state = asked(approver=False, data_loss="accepted")
    assert "approver" in ended.outcome
    assert state == strong
    ended, state = asked(approver=True, data_loss="accepted")
    assert ended.phase is RequestPhase.DONE
    assert state.protection is wanted


def test_a_rehearsal_is_put_on_record_and_nothing_is_set() -> None:
    desk = Desk(setting(SettingKind.REHEARSAL, result="passed"))
    assert desk.answered().phase is RequestPhase.DONE
    (entry,) = desk.history
    assert (entry.event, entry.details["result"]) == ("rehearsed", "passed")
    assert desk.state == STATE


EXCEPTION = NetworkException(
    network=ip_network("203.0.113.0/24"),
    owner="PT Jauh",
    country="SG",
    purposes=(Purpose.OPERATIONS,),
    approver="the director",
    reason="monitoring",
    expires=date(2027, 6, 30),
)
ACCEPTED = AcceptedFinding("setting", "archive_command", "the director", "why", date(2027, 6, 30))
WITH_ENTRIES = replace(
    CLOSED, residency=replace(POLICY.residency, exceptions=(EXCEPTION,), accepted=(ACCEPTED,))
)


def approve(desk: Desk) -> frozenset[str]:
    answer_settings(desk.store, WITH_ENTRIES, now_unix_s=NOW_UNIX_S)
    found = desk.store.read(PATHS.approved)
    return decode_approved(found.data) if found is not None else frozenset()


def test_an_exception_counts_once_an_approver_stands_for_it_as_it_is_written() -> None:
    both = f"{mark(EXCEPTION)} {mark(ACCEPTED)}"
    asked = setting(SettingKind.RESIDENCY_APPROVED, both)
    assert approve(Desk(asked)) == frozenset(), "an operator's key"
    assert approve(Desk(setting(SettingKind.RESIDENCY_APPROVED, "0"), approver=True)) == frozenset()
    desk = Desk(asked, approver=True)
    approved = approve(desk)
    assert unapproved(WITH_ENTRIES, approved) == ()
    assert [entry.event for entry in desk.history] == ["residency_approved"]
    assert counted(WITH_ENTRIES, approved) is WITH_ENTRIES
    widened = replace(EXCEPTION, network=ip_network("203.0.112.0/20"))
    changed = replace(
        WITH_ENTRIES, residency=replace(WITH_ENTRIES.residency, exceptions=(widened,))
    )
    assert unapproved(changed, approved) == (widened,)


def test_what_nobody_stands_for_is_not_accepted_and_only_where_roles_are_told_apart() -> None:
    assert counted(WITH_ENTRIES, frozenset()).residency.accepted == ()
    assert counted(WITH_ENTRIES, frozenset()).residency.exceptions == (EXCEPTION,)
    assert counted(WITH_ENTRIES, None) is WITH_ENTRIES
    assert decode_approved(b"odd") == frozenset()


def test_what_cannot_be_understood_is_left_alone() -> None:
    desk = Desk(setting(SettingKind.ACKNOWLEDGED))
    desk.store.commit((Set(desk.path, b"{}", 0),))
    assert answer_settings(desk.store, CLOSED, now_unix_s=NOW_UNIX_S) == 0
