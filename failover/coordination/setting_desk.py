"""The leading controller's answer to people who ask for a setting, and their wait for it.

Invariant: what is asked for and its answer are one transaction, on condition of the request that
was read; where it stands says which role asks, and nothing in it does.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from failover.access import Role
from failover.coordination.history import record
from failover.coordination.protection import NobodyWrites, Protection
from failover.coordination.reads import read_all
from failover.coordination.requests_seen import BYTES_MAX
from failover.coordination.settings import Setting, apply_setting, read_state
from failover.coordination.store import FORBIDDEN, Store, StoreForbidden, StoreUnavailable
from failover.history import CHAIN_STARTS
from failover.model import ProtectionMode
from failover.policy import Policy
from failover.residency.approved import decode_approved, encode_approved, entries, mark
from failover.setting_request import (
    SettingKind,
    SettingRequest,
    answered,
    change_of,
    decode_setting,
    encode_setting,
)
from failover.state import GroupState, HistoryEntry, RequestPhase, StateError
from failover.znode import Committed, Create, GroupPaths, Op, Set, Znode

POLL_S = 0.2


class Refused(Exception):
    """It is not carried out. The message says why."""


# --------------------------------------------------------------------------- the controller's half


def answer_settings(store: Store, policy: Policy, *, now_unix_s: float) -> int:
    """Carry out, or refuse, what waits; how many were answered. Only for whoever leads.

    Nothing is raised where the ensemble is silent: the next turn looks again.
    """
    if not policy.access.position.shown:
        return 0
    paths = GroupPaths(policy.group)
    roles = {paths.setting(approver=a): a for a in (True, False)}
    count = 0
    try:
        for path, znode in read_all(store, roles).items():
            if znode is not None and znode.data:
                count += _answer(store, policy, znode, approver=roles[path], now_unix_s=now_unix_s)
    except (StoreUnavailable, StateError):  # of ``state``: nothing is set then
        return count
    return count


def _answer(
    store: Store, policy: Policy, found: Znode, *, approver: bool, now_unix_s: float
) -> bool:
    if len(found.data) > BYTES_MAX:
        return False
    try:
        request = decode_setting(found.data, path=found.path)
    except StateError:
        return False  # whoever wrote that waits in vain, and is told so by his own command
    if not request.waits:
        return False
    try:
        _carry_out(store, policy, found, request, approver=approver, now_unix_s=now_unix_s)
    except (Refused, NobodyWrites, ValueError) as refusal:
        done = answered(request, RequestPhase.REFUSED, str(refusal))
        store.commit((Set(found.path, encode_setting(done), found.version),))
    return True


def _carry_out(
    store: Store,
    policy: Policy,
    found: Znode,
    request: SettingRequest,
    *,
    approver: bool,
    now_unix_s: float,
) -> None:
    if now_unix_s > request.answer_by_unix_s:
        raise Refused("no controller took it up in time")
    if request.needs_approver and not approver and policy.access.position.closed:
        raise Refused("this takes an approver's key")
    done = Set(found.path, encode_setting(answered(request, RequestPhase.DONE)), found.version)
    # Nobody but the controller says as whom he asked, nor that the chain of entries begins anew.
    details = {k: v for k, v in request.details.items() if k not in ("role", CHAIN_STARTS)}
    if policy.access.position.closed:
        details["role"] = Role.APPROVER if approver else Role.OPERATOR
    if request.kind in (SettingKind.REHEARSAL, SettingKind.RESIDENCY_APPROVED):
        marks = _approved(store, policy, request)
        _put_on_record(store, policy, request, details, (*marks, done), now_unix_s=now_unix_s)
        return
    change, beside = _change(policy, request, now_unix_s=now_unix_s)
    setting = Setting(
        request.kind,
        request.summary,
        request.by,
        details,
        change,
        lambda now: (*beside(now), done),
    )
    if apply_setting(store, policy, setting, now_unix_s=now_unix_s) is None:
        same = answered(request, RequestPhase.DONE, "it is so already")
        store.commit((Set(found.path, encode_setting(same), found.version),))


def _change(
    policy: Policy, request: SettingRequest, *, now_unix_s: float
) -> tuple[Callable[[GroupState], GroupState], Callable[[Store], tuple[Op, ...]]]:
    if request.kind is SettingKind.PROTECTION:
        wanted = Protection(
            policy, ProtectionMode(request.value), accept_data_loss=request.accepts_loss
        )
        return wanted.change, wanted.beside
    return change_of(request, now_unix_s=now_unix_s), lambda _store: ()


def _put_on_record(
    store: Store,
    policy: Policy,
    request: SettingRequest,
    details: dict[str, str],
    writes: tuple[Op, ...],
    *,
    now_unix_s: float,
) -> None:
    entry = HistoryEntry(
        at_unix_s=now_unix_s,
        epoch=read_state(store, policy)[0].epoch,
        event=request.kind,
        summary=request.summary,
        by=request.by,
        details=details,
    )
    record(store, GroupPaths(policy.group), entry, *writes)


def _approved(store: Store, policy: Policy, request: SettingRequest) -> tuple[Op, ...]:
    """What was approved before and is still written so, and this."""
    if request.kind is not SettingKind.RESIDENCY_APPROVED:
        return ()
    written, asked = frozenset(map(mark, entries(policy))), frozenset(request.value.split())
    if not asked or asked - written:
        raise Refused("this controller's failover.yaml has no such entry: the same file everywhere")
    path = GroupPaths(policy.group).approved
    found = store.read(path)
    if found is None:
        return (Create(path, encode_approved(asked)),)
    before = decode_approved(found.data) & written
    return (Set(path, encode_approved(before | asked), found.version),)


# --------------------------------------------------------------------------- the command's half


def ask_setting(
    store: Store, policy: Policy, request: SettingRequest, *, approver: bool
) -> SettingRequest:
    """Put it before the leading controller and wait; as it is answered.

    StoreForbidden where this key may not ask; StoreUnavailable where nobody answers in time, or
    another one waits.
    """
    path = GroupPaths(policy.group).setting(approver=approver)
    _put(store, path, request)
    give_up_s = time.monotonic() + request.answer_by_unix_s - request.at_unix_s
    while time.monotonic() < give_up_s:
        found = store.read(path)
        if found is None or not found.data:
            break
        now = decode_setting(found.data, path=path)
        if now.id != request.id:
            break
        if not now.waits:
            return now
        time.sleep(POLL_S)
    raise StoreUnavailable(
        f"{path}: no controller has answered; whether it is set `failover status` tells"
    )


def _put(store: Store, path: str, request: SettingRequest) -> None:
    store.sync()
    found = store.read(path)
    if found is None:
        raise StoreForbidden(f"{path} is missing: `failover zookeeper acl apply`")
    if _stands(found, request.at_unix_s):
        raise StoreUnavailable(f"{path}: another one waits there for a controller; ask again")
    outcome = store.commit((Set(path, encode_setting(request), found.version),))
    if isinstance(outcome, Committed):
        return
    if outcome.reason == FORBIDDEN:
        raise StoreForbidden(f"{path} {FORBIDDEN}")
    raise StoreUnavailable(f"{path}: {outcome.reason}")


def _stands(found: Znode, now_unix_s: float) -> bool:
    if not found.data:
        return False
    try:
        before = decode_setting(found.data, path=found.path)
    except StateError:
        return False
    return before.waits and now_unix_s <= before.answer_by_unix_s
