"""Every plan check fires on a plan that was broken on purpose, and on no plan of the planner."""

# ruff: noqa: E501  (one mutation a line: the list reads as a table)

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from ipaddress import ip_address
from typing import Any

import pytest

from failover.health.verdict import judge
from failover.health.view import View
from failover.history import NO_HEAD
from failover.model import (
    Automation,
    ClusterName,
    Epoch,
    HostName,
    Invariant,
    Lsn,
    ProtectionMode,
    SiteName,
)
from failover.planning.plan import Gate, Plan, RestartZooKeeper, StepName
from failover.planning.plan_checks import lint
from failover.planning.planner import plan
from failover.state import (
    ClusterState,
    Dropped,
    GroupState,
    HistoryEntry,
    HistoryHead,
    OperatorRequest,
    PlanKind,
    PlanRecord,
    RequestPhase,
    SalvagePhase,
    decode_record,
    decode_state,
    encode_record,
    encode_state,
)
from failover.znode import Check, Create, Delete, Op, Set, Transaction
from tests.scenarios.language import build
from tests.scenarios.world import FIRST_RUN, NOW_UNIX_S, SECOND_RUN
from tests.unit.candidate_worlds import PARTLY, SENT_MORE, TOLD_MORE, VOID, judged_in

WORLDS = {
    StepName.TAKEOVER: ["jakarta unplugged for 6.3 s", "no claim for 0.1 s"],
    StepName.RECORD_PROMOTION: [
        "makassar has taken over in epoch 2",
        "the promotion of marketplace is not on record",
        "mks-db1 holds the claim of marketplace for 0.4 s in epoch 2",
    ],
    StepName.REINSTATE: [
        "makassar has taken over in epoch 2",
        "jkt-db1 has salvaged 16384 bytes in epoch 2",
    ],
    StepName.FOLLOW: [
        "jkt-db1 gone for 9 s",
        "jkt-db2 holds the claim of marketplace for 1.1 s in epoch 1",
        "PostgreSQL on jkt-db2 is a working primary",
    ],
    StepName.RESTART_ZOOKEEPER: ["jkt-zk1 leads the ensemble"],
    StepName.BEGIN_TAKEOVER: [
        "PostgreSQL on jkt-db1 is silent for 12 s",
        "the last sample is 12 s old",
    ],
    StepName.BEGIN_SWITCHOVER: ["an operator asks for a switchover to makassar, 1 s ago"],
    StepName.SWITCHOVER: [
        "a switchover to makassar is frozen with 12 s left",
        "PostgreSQL on mks-db1 has received 0/5000100, replayed 0/5000100",
        "jkt-db1 is shut down under the plan, its WAL ends at 0/5000029",
    ],
    StepName.ABANDON_SWITCHOVER: ["a switchover to makassar is frozen with -1 s left"],
    StepName.REFUSE_REQUEST: [
        "marketplace-makassar is paused",
        "an operator asks for a switchover to makassar, 1 s ago",
    ],
    StepName.DROP_SYNCHRONOUS: [
        "protection is max-availability, in sync",
        "makassar unplugged for 3.1 s",
        "mks-db1 has not kept up for 2.2 s",
    ],
    StepName.RECORD_SYNCHRONOUS: [
        "protection is max-availability, not in sync",
        "commits wait for jkt-db2, mks-db1",
        "the list is proved to be in force",
    ],
    StepName.LIST_SYNCHRONOUS: [
        "protection is max-availability, not in sync",
        "jkt-db2 has kept up for 3 s",
        "mks-db1 has kept up for 2.5 s",
    ],
}
WORLDS[StepName.NAME_CANDIDATE] = [
    "protection is max-availability, not in sync",
    "makassar has taken over in epoch 2",
    "the promotion of marketplace is not on record",
    "jakarta unplugged for 30 s",
    "mks-db2 had the first permit of this epoch",
    "no claim for 9 s",
    "marketplace-makassar has no leader key",
    "PostgreSQL on mks-db1 is a standby of jkt-db1",
    "PostgreSQL on mks-db1 has received 0/5000900, replayed 0/5000900",
]
BY_POSITION = [
    *WORLDS[StepName.NAME_CANDIDATE][2:4],
    "mks-db2 wrote last",
    *WORLDS[StepName.NAME_CANDIDATE][5:],
    "PostgreSQL on mks-db1 is on timeline 1",
]
ROOT = "/failover/marketplace"
STATE, CLAIM = f"{ROOT}/state", f"{ROOT}/writers/marketplace"
ENTRY, HEAD = f"{ROOT}/history/e-", f"{ROOT}/history_head"
JAKARTA, MAKASSAR = "/service/marketplace-jakarta", "/service/marketplace-makassar"

Case = tuple[Plan, View]


def good(step: StepName, *more: str) -> Case:
    view = build([*more, *WORLDS[step]]).view()
    decided = plan(view, judge(view))
    assert isinstance(decided, Plan), decided
    assert decided.step is step
    return decided, view


def ops(case: Case) -> Transaction:
    assert not isinstance(case[0].action, RestartZooKeeper)
    return case[0].action


def with_ops(case: Case, changed: tuple[Op, ...]) -> Case:
    return replace(case[0], action=changed), case[1]


def without(case: Case, *gone: tuple[type, str]) -> Case:
    return with_ops(case, tuple(op for op in ops(case) if (type(op), op.path) not in gone))


def plus(case: Case, *more: Op) -> Case:
    return with_ops(case, (*ops(case), *more))


def changed(case: Case, kind: type, path: str, **fields: Any) -> Case:
    found = [op for op in ops(case) if type(op) is kind and op.path == path]
    assert found, f"no {kind.__name__} {path}"
    return with_ops(case, tuple(replace(op, **fields) if op in found else op for op in ops(case)))


def with_state(case: Case, edit: Callable[[GroupState], GroupState]) -> Case:
    old = next(op for op in ops(case) if isinstance(op, Set) and op.path == STATE)
    return changed(case, Set, STATE, data=encode_state(edit(decode_state(old.data))))


def with_config(case: Case, scope: str, **keys: Any) -> Case:
    path = f"{scope}/config"
    old = next(op for op in ops(case) if isinstance(op, Set) and op.path == path)
    document = {**json.loads(old.data), **keys}
    return changed(case, Set, path, data=json.dumps(document).encode())


def with_view(case: Case, **fields: Any) -> Case:
    return case[0], replace(case[1], **fields)


def cluster(case: Case, **fields: Any) -> Case:
    (only,) = case[1].clusters
    return with_view(case, clusters=(replace(only, **fields),))


def first_to_end(case: Case, kind: type, path: str) -> Case:
    op = next(op for op in ops(case) if type(op) is kind and op.path == path)
    return with_ops(case, (*(other for other in ops(case) if other is not op), op))


def abroad(case: Case, host: str) -> Case:
    """The same world under a policy in which that host has an address in no network."""
    policy = case[1].policy
    clusters = tuple(
        replace(
            c,
            hosts=tuple(
                replace(h, address=ip_address("203.0.113.9")) if h.name == host else h
                for h in c.hosts
            ),
        )
        for c in policy.clusters
    )
    return with_view(case, policy=replace(policy, clusters=clusters))


def foreign(case: Case, site: str) -> Case:
    """The same world under a policy in which that site is said to be in another country."""
    policy = case[1].policy
    sites = tuple(replace(s, country="SG") if s.name == site else s for s in policy.sites)
    return with_view(case, policy=replace(policy, sites=sites))


def record(case: Case, **fields: Any) -> Callable[[GroupState], GroupState]:
    def edit(state: GroupState) -> GroupState:
        name, only = next(iter(state.clusters.items()))
        return state.with_cluster(name, replace(only, **fields))

    return edit


def with_request(case: Case, **fields: Any) -> Case:
    old = next(op for op in ops(case) if isinstance(op, Set) and op.path == REQUEST)
    request = decode_record(OperatorRequest, old.data, path=old.path)
    return changed(case, Set, REQUEST, data=encode_record(replace(request, **fields)))


def with_entry(case: Case, **fields: Any) -> Case:
    """Another entry, and a head that names it: a chain that goes on from somewhere else."""
    old = next(op for op in ops(case) if op.path == ENTRY)
    assert isinstance(old, Create)
    entry = replace(decode_record(HistoryEntry, old.data, path=ENTRY), **fields)
    data = encode_record(entry)
    return with_head(changed(case, Create, ENTRY, data=data), number=entry.number or 1, data=data)


def with_head(case: Case, *, number: int, data: bytes) -> Case:
    head = HistoryHead(number, sha256(data).hexdigest())
    return changed(case, Set, HEAD, data=encode_record(head))


def proof(case: Case, **fields: Any) -> Case:
    """The view's stopped-proof, changed."""
    (only,) = case[1].clusters
    assert only.stopped is not None
    assert only.stopped.proof is not None
    changed_proof = replace(only.stopped.proof, **fields)
    return cluster(case, stopped=replace(only.stopped, proof=changed_proof))


def before(case: Case, **fields: Any) -> Case:
    """The state that was judged is another one."""
    state = case[1].state
    assert state is not None
    return with_view(case, state=replace(state, **fields))


def promoted(case: Case) -> dict[ClusterName, ClusterState]:
    state = case[1].state
    assert state is not None
    return {name: replace(c, promoted=True) for name, c in state.clusters.items()}


def unpromoted(case: Case) -> dict[ClusterName, ClusterState]:
    state = case[1].state
    assert state is not None
    return {name: replace(c, promoted=False) for name, c in state.clusters.items()}


T, P, R, F = (
    StepName.TAKEOVER,
    StepName.RECORD_PROMOTION,
    StepName.REINSTATE,
    StepName.FOLLOW,
)
B, S, A, N = (
    StepName.BEGIN_SWITCHOVER,
    StepName.SWITCHOVER,
    StepName.ABANDON_SWITCHOVER,
    StepName.REFUSE_REQUEST,
)
G, C = StepName.BEGIN_TAKEOVER, StepName.NAME_CANDIDATE
D, W, L = (
    StepName.DROP_SYNCHRONOUS,
    StepName.RECORD_SYNCHRONOUS,
    StepName.LIST_SYNCHRONOUS,
)
REQUEST, STOPPED = f"{ROOT}/requests/operator", f"{ROOT}/stopped/marketplace"
HOLDING = Gate("automation_auto", None, "unknown", Invariant.DOUBT_MEANS_HOLD)
FENCE, CHILD = f"{JAKARTA}/leader", f"{JAKARTA}/leader/fence"
KEY, NAMED = f"{MAKASSAR}/leader", f"{MAKASSAR}/failover"
CONFIG, LAST = f"{JAKARTA}/config", f"{ROOT}/stopped/marketplace.last_writer"


def waiting(text: str) -> dict[str, Any]:
    return {"parameters": {"synchronous_standby_names": text}}


def sync(case: Case, **fields: Any) -> Case:
    """What looks at the primary have shown, changed."""
    (only,) = case[1].clusters
    assert only.sync is not None
    return cluster(case, sync=replace(only.sync, **fields))


def in_its_own_list(case: Case) -> Case:
    """As after a local failover: the primary is listed, the replica is on the old timeline."""
    (only,) = case[1].clusters
    scope = only.active.scope
    assert scope is not None
    assert scope.config is not None
    text = json.dumps({"postgresql": waiting('2 ("jkt-db1","mks-db1")')})
    hosts = tuple(
        replace(h, sightings=()) if h.host.name == "jkt-db2" else h for h in only.active.hosts
    )
    seen = replace(scope, config=replace(scope.config, text=text))
    return cluster(case, active=replace(only.active, scope=seen, hosts=hosts))


def by_position() -> Case:
    """With asynchronous commits, where only what was judged keeps a host from the permit."""
    view = build(["makassar has taken over in epoch 3", *BY_POSITION]).view()
    decided = plan(view, judge(view))
    assert isinstance(decided, Plan), decided
    return decided, view


def seen_as(case: Case, line: str) -> Case:
    """The same plan in a world with one more change."""
    lines = ["makassar has taken over in epoch 3", *BY_POSITION, line]
    return case[0], build(lines).view()


def on_its_own_branch() -> Case:
    decided, _ = good(C)
    lines = [*WORLDS[C], "PostgreSQL on mks-db1 is on timeline 2"]
    return decided, build(lines).view()


def a_better_one_by_now() -> Case:
    """mks-db1 is on the newest timeline as well, with more WAL."""
    decided, _ = by_position()
    better = [*BY_POSITION[:-1], "PostgreSQL on mks-db1 is on timeline 3"]
    return decided, build(["makassar has taken over in epoch 3", *better]).view()


# What is broken, in which step, by which hand, and which check must say so.
MUTATIONS: list[tuple[str, StepName, Callable[[Case], Case], str]] = [
    ("writes state", C, lambda c: plus(c, Set(STATE, b"{}", 7)), "nothing_but_the_candidate"),
    ("writes config", C, lambda c: plus(c, Set(f"{MAKASSAR}/config", b"{}", 4)), "nothing_but_the_candidate"),
    ("takes the key", C, lambda c: without(c, (Delete, KEY)), "nobody_leads"),
    ("a key may be held", C, lambda c: without(c, (Create, KEY), (Delete, KEY)), "nobody_leads"),
    ("a claim may be held", C, lambda c: without(c, (Create, CLAIM), (Delete, CLAIM)), "nobody_leads"),
    ("named first", C, lambda c: with_ops(c, (*(o for o in ops(c) if o.path == NAMED), *(o for o in ops(c) if o.path != NAMED))), "nobody_leads"),
    ("no name", C, lambda c: without(c, (Create, NAMED)), "candidate_may_write"),
    ("a refused host", C, lambda c: changed(c, Create, NAMED, data=b'{"member": "mks-db1"}'), "candidate_may_write"),
    ("behind what was judged", C, lambda _: changed(by_position(), Create, NAMED, data=b'{"member": "mks-db1"}'), "candidate_may_write"),
    ("a worse one", C, lambda _: a_better_one_by_now(), "loses_nothing"),
    ("nobody is refused", C, lambda c: before(by_position(), clusters=promoted(c)), "loses_nothing"),
    ("another had the permit", C, lambda _: seen_as(by_position(), "mks-db1 had the first permit of this epoch"), "loses_nothing"),
    ("on its own branch", C, lambda _: on_its_own_branch(), "loses_nothing"),
    ("the other site has all", C, lambda c: before(c, in_sync=True), "loses_nothing"),
    ("the run on record", C, lambda _: judged_in(VOID, VOID[:-1]), "loses_nothing"),
    ("maybe that run", C, lambda _: judged_in(VOID, [*VOID[:-1], "PostgreSQL on mks-db1 is silent for 32 s"]), "loses_nothing"),
    ("the other site was sent more", C, lambda _: judged_in(VOID, [*VOID, *SENT_MORE]), "loses_nothing"),
    ("sent more, and the site is kept", C, lambda _: judged_in(PARTLY, [*PARTLY, *SENT_MORE]), "loses_nothing"),
    ("not seen since the claim", C, lambda _: judged_in(PARTLY, [*PARTLY, "PostgreSQL on mks-db1 is silent for 32 s"]), "loses_nothing"),
    ("told the primary of more", C, lambda _: judged_in(PARTLY, [*PARTLY, *TOLD_MORE]), "loses_nothing"),
    ("lost a moment ago", C, lambda _: judged_in(PARTLY, [*PARTLY, "no claim of marketplace for 29 s"]), "loses_nothing"),
    ("the whole group is down", C, lambda _: judged_in(PARTLY, [*PARTLY, "no claim of escrow for 7 s"]), "loses_nothing"),
    ("of the other site", C, lambda c: changed(c, Create, NAMED, data=b'{"member": "jkt-db1"}'), "candidate_may_write"),
    ("withdrawn too early", C, lambda c: changed(c, Create, NAMED, data=b"{}"), "candidate_may_write"),
    ("a switchover", C, lambda c: changed(c, Create, NAMED, data=b'{"leader": "mks-db1", "member": "mks-db2"}'), "candidate_may_write"),
    ("any permit since", C, lambda c: without(c, (Check, LAST)), "candidate_may_write"),
    ("abroad", C, lambda c: foreign(c, "makassar"), "candidate_may_write"),
    ("another's wish", C, lambda c: plus(without(c, (Create, NAMED)), Set(NAMED, b'{"member": "mks-db2"}', 5)), "as_judged"),
    ("paused since", C, lambda c: without(c, (Check, f"{MAKASSAR}/config")), "as_judged"),
    ("only observes", C, lambda c: before(c, automation=Automation.OBSERVE, clusters=promoted(c)), "of_who_may"),
    ("a gate is unknown", T, lambda c: (replace(c[0], gates=(HOLDING,)), c[1]), "gates_pass"),
    ("no gates", F, lambda c: (replace(c[0], gates=()), c[1]), "gates_pass"),
    ("stale state", T, lambda c: changed(c, Set, STATE, version=6), "state_conditional"),
    ("no state check", F, lambda c: without(c, (Check, STATE)), "state_conditional"),
    ("unreadable state", T, lambda c: changed(c, Set, STATE, data=b"{}"), "state_conditional"),
    ("blind set", T, lambda c: changed(c, Set, f"{JAKARTA}/config", version=-1), "never_unconditional"),
    ("blind delete", R, lambda c: changed(c, Delete, FENCE, version=-1), "never_unconditional"),
    ("another's znode", T, lambda c: plus(c, Delete("/service/other/leader", 0)), "known_paths"),
    ("another group", F, lambda c: plus(c, Check("/failover/other/state", 1)), "known_paths"),
    ("no history", R, lambda c: without(c, (Create, f"{ROOT}/history/e-")), "history_written"),
    ("two entries", F, lambda c: plus(c, Create(ENTRY, b"{}", sequence=True)), "history_written"),
    ("unreadable entry", T, lambda c: changed(c, Create, ENTRY, data=b"{}"), "entry_continues_chain"),
    ("unchained entry", P, lambda c: with_entry(c, number=0, previous=""), "entry_continues_chain"),
    ("a number skipped", T, lambda c: with_entry(c, number=14), "entry_continues_chain"),
    ("after another entry", S, lambda c: with_entry(c, previous="00" * 32), "entry_continues_chain"),
    ("a chain started anew", B, lambda c: with_entry(c, number=1, previous=""), "entry_continues_chain"),
    ("another head was seen", A, lambda c: with_view(c, history_head=NO_HEAD), "entry_continues_chain"),
    ("head not written", T, lambda c: without(c, (Set, HEAD)), "head_names_entry"),
    ("head written twice", R, lambda c: plus(c, Set(HEAD, b"{}", 12)), "head_names_entry"),
    ("head unreadable", N, lambda c: changed(c, Set, HEAD, data=b"{}"), "head_names_entry"),
    ("head of another entry", T, lambda c: with_head(c, number=13, data=b"another"), "head_names_entry"),
    ("head of another number", F, lambda c: with_head(c, number=12, data=next(o.data for o in ops(c) if isinstance(o, Create) and o.path == ENTRY)), "head_names_entry"),
    ("head at any version", T, lambda c: changed(c, Set, HEAD, version=-1), "head_names_entry"),
    ("head unread", T, lambda c: changed(c, Set, HEAD, version=12), "head_names_entry"),
    ("head made anew", T, lambda c: plus(without(c, (Set, HEAD)), Create(HEAD, next(o.data for o in ops(c) if isinstance(o, Set) and o.path == HEAD))), "head_names_entry"),
    ("ephemeral fence", T, lambda c: changed(c, Create, FENCE, ephemeral=True), "only_history_is_sequential"),
    ("half a group", T, lambda c: (replace(c[0], clusters=()), c[1]), "whole_group"),
    ("a claim is there", T, lambda c: cluster(c, claim=None), "nobody_writes"),
    ("nobody looks", T, lambda c: with_view(c, observers=()), "nobody_writes"),
    ("same epoch", T, lambda c: with_state(c, lambda s: replace(s, epoch=Epoch(1))), "epoch_is_next"),
    ("epoch skipped", T, lambda c: with_state(c, lambda s: replace(s, epoch=Epoch(3))), "epoch_is_next"),
    ("stays", T, lambda c: with_state(c, lambda s: replace(s, active_site=SiteName("jakarta"))), "moves_to_other_data_site"),
    ("to the witness", T, lambda c: (replace(c[0], to_site=SiteName("surabaya")), c[1]), "moves_to_other_data_site"),
    ("from elsewhere", T, lambda c: (replace(c[0], from_site=SiteName("makassar")), c[1]), "moves_to_other_data_site"),
    ("host abroad", T, lambda c: abroad(c, "mks-db2"), "hosts_in_country"),
    ("site abroad", T, lambda c: foreign(c, "makassar"), "hosts_in_country"),
    ("no proof", T, lambda c: without(c, (Create, CLAIM), (Delete, CLAIM)), "no_claim_is_proved"),
    ("claim kept", T, lambda c: without(c, (Delete, CLAIM)), "no_claim_is_proved"),
    ("proof too late", T, lambda c: first_to_end(first_to_end(c, Create, CLAIM), Delete, CLAIM), "no_claim_is_proved"),
    ("a permit may have been given", T, lambda c: without(c, (Check, LAST)), "no_permit_since"),
    ("of another permit", T, lambda c: changed(c, Check, LAST, version=99), "no_permit_since"),
    ("no fence", T, lambda c: without(c, (Create, FENCE), (Create, CHILD)), "old_site_fenced"),
    ("no child", T, lambda c: without(c, (Create, CHILD)), "old_site_fenced"),
    ("fence of an old epoch", T, lambda c: changed(c, Create, FENCE, data=b"fenced by failover, epoch 1"), "old_site_fenced"),
    ("old key kept", T, lambda c: without(c, (Delete, FENCE)), "old_site_fenced"),
    ("no quarantine", T, lambda c: without(c, (Set, f"{JAKARTA}/config")), "old_site_quarantined"),
    ("upstream in quarantine", T, lambda c: with_config(c, JAKARTA, standby_cluster={"host": "10.77.2.11"}), "old_site_quarantined"),
    ("ttl changed", T, lambda c: with_config(c, JAKARTA, ttl=30), "old_site_quarantined"),
    ("old config unread", T, lambda c: changed(c, Set, f"{JAKARTA}/config", version=9), "old_site_quarantined"),
    ("not promoted", T, lambda c: without(c, (Set, f"{MAKASSAR}/config")), "new_site_released"),
    ("still a standby", T, lambda c: with_config(c, MAKASSAR, standby_cluster={"host": "10.77.1.11"}), "new_site_released"),
    ("ttl changed there", T, lambda c: with_config(c, MAKASSAR, ttl=30), "new_site_released"),
    ("new config unread", T, lambda c: changed(c, Set, f"{MAKASSAR}/config", version=9), "new_site_released"),
    ("min_lsn too low", T, lambda c: with_state(c, record(c, min_lsn=Lsn(1))), "minimum_is_what_was_judged"),
    ("another timeline", T, lambda c: with_state(c, record(c, timeline=9)), "minimum_is_what_was_judged"),
    ("promoted at once", T, lambda c: with_state(c, record(c, promoted=True)), "state_after"),
    ("no such transition", T, lambda c: with_state(c, record(c, promoted=True)), "along_an_edge"),
    ("automation is off", T, lambda c: before(c, automation=Automation.MANUAL), "asked_or_automatic"),
    ("automation is paused", T, lambda c: before(c, paused_until_unix_s=9e10), "asked_or_automatic"),
    ("the quorum was rebuilt", T, lambda c: before(c, unproven_site=SiteName("jakarta")), "asked_or_automatic"),
    ("rebuilt before a plan", B, lambda c: before(c, unproven_site=SiteName("jakarta")), "claims_count"),
    ("rebuilt under a plan", S, lambda c: before(c, unproven_site=SiteName("jakarta")), "claims_count"),
    ("not promoted yet", T, lambda c: before(c, clusters=unpromoted(c)), "asked_or_automatic"),
    ("not armed", T, lambda c: before(c, armed=False), "only_armed"),
    ("not all of them armed", S, lambda c: before(c, arming=True), "only_armed"),
    ("disarmed by a plan", B, lambda c: with_state(c, lambda s: replace(s, armed=False)), "only_armed"),
    ("confirmed by a plan", P, lambda c: with_state(c, lambda s: replace(s, arming=True)), "only_armed"),
    ("in sync", T, lambda c: with_state(c, lambda s: replace(s, in_sync=True)), "state_after"),
    ("automation changed", T, lambda c: with_state(c, lambda s: replace(s, automation="manual")), "state_after"),
    ("proven at once", T, lambda c: with_state(c, lambda s: replace(s, proven_unix_s=1.0)), "nothing_proven_yet"),
    ("not to be proven", T, lambda c: with_state(c, lambda s: replace(s, proving=False)), "nothing_proven_yet"),
    ("follows at once", T, lambda c: with_state(c, record(c, standby="following")), "state_after"),
    ("more than a promotion", P, lambda c: with_state(c, lambda s: replace(s, in_sync=True)), "only_promoted_changes"),
    ("proven at another time", P, lambda c: with_state(c, lambda s: replace(s, proven_unix_s=1.0)), "only_promoted_changes"),
    ("still to be proven", P, lambda c: with_state(c, lambda s: replace(s, proving=True)), "only_promoted_changes"),
    ("no promotion", P, lambda c: with_state(c, record(c, promoted=False)), "only_promoted_changes"),
    ("claim unchecked", P, lambda c: without(c, (Check, CLAIM)), "claims_checked"),
    ("no claim", P, lambda c: cluster(c, claim=None), "claims_checked"),
    ("touches a scope", P, lambda c: plus(c, Delete(FENCE, 0)), "no_other_side"),
    ("active config set", F, lambda c: plus(c, Set(f"{JAKARTA}/config", b"{}", 4)), "no_other_side"),
    ("more than reinstated", R, lambda c: with_state(c, lambda s: replace(s, epoch=Epoch(3))), "only_standby_changes"),
    ("nothing salvaged", R, lambda c: cluster(c, salvage=()), "salvaged_first"),
    ("salvage failed", R, lambda c: cluster(c, salvage=tuple(replace(r, phase=SalvagePhase.FAILED) for r in c[1].clusters[0].salvage)), "salvaged_first"),
    ("old salvage", R, lambda c: cluster(c, salvage=tuple(replace(r, epoch=Epoch(1)) for r in c[1].clusters[0].salvage)), "salvaged_first"),
    ("child stays", R, lambda c: without(c, (Delete, CHILD)), "fence_removed"),
    ("child last", R, lambda c: first_to_end(c, Delete, CHILD), "fence_removed"),
    ("another fence", R, lambda c: changed(c, Delete, FENCE, version=8), "fence_removed"),
    ("status stays", R, lambda c: without(c, (Delete, f"{JAKARTA}/status")), "fence_removed"),
    ("not pointed", R, lambda c: without(c, (Set, f"{JAKARTA}/config")), "points_at_primary"),
    ("to a replica", F, lambda c: with_config(c, MAKASSAR, standby_cluster={"host": "10.77.1.11"}), "points_at_primary"),
    ("no slot", F, lambda c: with_config(c, MAKASSAR, standby_cluster={"host": "10.77.1.12"}), "points_at_primary"),
    ("upstream abroad", F, lambda c: foreign(c, "jakarta"), "points_at_primary"),
    ("config unread", F, lambda c: changed(c, Set, f"{MAKASSAR}/config", version=9), "points_at_primary"),
    ("loop_wait changed", F, lambda c: with_config(c, MAKASSAR, loop_wait=9), "points_at_primary"),
    ("state written", F, lambda c: plus(c, Set(STATE, encode_state(c[1].state), 7)), "state_untouched"),  # type: ignore[arg-type]
    ("out of quarantine", F, lambda c: cluster(c, recorded=replace(c[1].clusters[0].recorded, standby="quarantine")), "follows_on_record"),  # type: ignore[type-var]
    ("in sync and nobody there", P, lambda c: with_state(c, lambda s: replace(s, in_sync=True)), "in_sync_is_true"),
    ("on record asynchronously", P, lambda c: with_state(c, record(c, have=("jkt-db2",))), "in_sync_is_true"),
    ("on record by the way", P, lambda c: with_state(c, record(c, have=("jkt-db2",))), "have_never_grows_by_the_way"),
    ("on record by a takeover", T, lambda c: with_state(c, record(c, have=("mks-db2",))), "state_after"),
    ("list kept in quarantine", T, lambda c: with_config(c, JAKARTA, postgresql=waiting("1 (a)")), "old_site_quarantined"),
    ("an old list released", T, lambda c: with_config(c, MAKASSAR, postgresql=waiting("1 (a)")), "new_site_released"),
    ("on record by a switchover", S, lambda c: with_state(c, record(c, have=("mks-db2",))), "moved_state"),
    ("mode changed", D, lambda c: with_state(c, lambda s: replace(s, protection="max-performance")), "only_have_changes"),
    ("nothing changed", D, lambda c: changed(c, Set, STATE, data=encode_state(c[1].state)), "only_have_changes"),  # type: ignore[arg-type]
    ("under a plan", D, lambda c: before(c, plan=PlanRecord("s", PlanKind.SWITCHOVER, "jakarta", "makassar", 1.0, "x")), "in_a_settled_epoch"),  # type: ignore[arg-type]
    ("before the promotion", W, lambda c: cluster(c, recorded=replace(c[1].clusters[0].recorded, promoted=False)), "in_a_settled_epoch"),  # type: ignore[type-var]
    ("nobody serves", W, lambda c: cluster(c, claim=None), "in_a_settled_epoch"),
    ("record beside any list", W, lambda c: without(c, (Check, CONFIG)), "list_is_conditional"),
    ("list at another version", D, lambda c: changed(c, Set, CONFIG, version=9), "list_is_conditional"),
    ("record leaves, list stays", D, lambda c: without(c, (Set, CONFIG)), "list_is_conditional"),
    ("a drop from the next primary", D, lambda c: without(c, (Check, LAST)), "of_the_primary_that_was_seen"),
    ("a drop without a claim", D, lambda c: without(c, (Check, CLAIM)), "of_the_primary_that_was_seen"),
    ("ttl changed with the list", L, lambda c: with_config(c, JAKARTA, ttl=30), "only_the_list_changes"),
    ("any one of them", L, lambda c: with_config(c, JAKARTA, postgresql=waiting('1 ("jkt-db2","mks-db1")')), "only_the_list_changes"),
    ("list leaves, record stays", D, lambda c: with_state(c, record(c, have=("jkt-db2", "mks-db1"))), "have_is_listed"),
    ("on record and not listed", W, lambda c: with_state(c, record(c, have=("jkt-db2", "mks-db1", "mks-db2"))), "have_is_listed"),
    ("a list that is not understood", D, lambda c: with_config(c, JAKARTA, postgresql=waiting("ANY 1 (*)")), "have_is_listed"),
    ("not in force", W, lambda c: sync(c, in_force=False), "growth_is_proved"),
    ("another configuration", W, lambda c: sync(c, config_version=3), "growth_is_proved"),
    ("another permit", W, lambda c: sync(c, last_writer_version=1), "growth_is_proved"),
    ("another claim", W, lambda c: sync(c, claim_session_id=0x77), "growth_is_proved"),
    ("claim not checked", W, lambda c: without(c, (Check, CLAIM)), "growth_is_proved"),
    ("permit not checked", W, lambda c: without(c, (Check, LAST)), "growth_is_proved"),
    ("proved of others", W, lambda c: sync(c, listed=("jkt-db2",)), "growth_is_proved"),
    ("listed and recorded at once", L, lambda c: with_state(plus(without(c, (Check, STATE)), Set(STATE, encode_state(c[1].state), 7)), record(c, have=("mks-db1",))), "growth_is_proved"),  # type: ignore[arg-type]
    ("no run on record", W, lambda c: with_state(c, record(c, runs={})), "growth_is_proved"),
    ("another run on record", W, lambda c: with_state(c, record(c, runs={"jkt-db2": FIRST_RUN, "mks-db1": SECOND_RUN})), "growth_is_proved"),
    ("a run of nobody", D, lambda c: with_state(c, record(c, runs={"jkt-db2": FIRST_RUN, "mks-db1": FIRST_RUN})), "growth_is_proved"),
    ("a run changed by the way", D, lambda c: with_state(c, record(c, runs={"jkt-db2": SECOND_RUN})), "growth_is_proved"),
    ("who stays counts as dropped", D, lambda c: with_state(c, record(c, dropped={"jkt-db2": Dropped(1, NOW_UNIX_S)})), "only_drops_count"),
    ("dropped in the future", D, lambda c: with_state(c, record(c, dropped={"mks-db1": Dropped(1, 9e10)})), "only_drops_count"),
    ("in sync, and nobody on record", T, lambda c: before(c, protection=ProtectionMode.MAX_AVAILABILITY, in_sync=True), "nothing_acknowledged_is_missing"),
    ("on another branch", D, in_its_own_list, "no_other_branch_on_record"),
    ("weaker than the mode", D, lambda c: before(c, protection=ProtectionMode.MAX_PROTECTION), "never_weaker_than_the_mode"),
    ("listed in observe", L, lambda c: before(c, automation=Automation.OBSERVE), "automation_may"),
    ("recorded in observe", W, lambda c: before(c, automation=Automation.OBSERVE), "automation_may"),
    ("claim taken", W, lambda c: plus(c, Create(CLAIM, b"")), "nothing_but_the_list"),
    ("the other scope", D, lambda c: plus(c, Set(f"{MAKASSAR}/config", b"{}", 4)), "nothing_but_the_list"),
    # A takeover from a site that holds its claims: its beginning (its commit is below) …
    ("no plan", G, lambda c: with_state(c, lambda s: replace(s, plan=None)), "only_a_plan_is_added"),
    ("a planned move", G, lambda c: with_state(c, lambda s: replace(s, plan=replace(s.plan, kind="switchover"))), "only_a_plan_is_added"),
    ("begun, not on record", G, lambda c: with_state(c, lambda s: replace(s, takeover_begun_unix_s=0.0)), "only_a_plan_is_added"),
    ("stopped for ever", G, lambda c: with_state(c, lambda s: replace(s, plan=replace(s.plan, deadline_unix_s=9e9))), "only_a_plan_is_added"),
    ("the quorum was rebuilt", G, lambda c: before(c, unproven_site=SiteName("jakarta")), "claims_count"),
    ("no claim is held", G, lambda c: cluster(c, claim=None), "useless_under_claims"),
    ("it works", G, lambda c: cluster(c, active=serving().clusters[0].active), "useless_under_claims"),
    ("nobody looks", G, lambda c: with_view(c, observers=()), "agreed_by_observers"),
    ("the site alone looks", G, lambda c: with_view(c, observers=tuple(o for o in c[1].observers if o.site == "jakarta")), "agreed_by_observers"),
    ("it starts up", G, lambda c: cluster(c, active=starting().clusters[0].active), "agreed_by_observers"),
    ("automation is off", G, lambda c: before(c, automation=Automation.OBSERVE), "asked_or_automatic"),
    ("automation is paused", G, lambda c: before(c, paused_until_unix_s=9e10), "asked_or_automatic"),
    ("foreign upstream", G, lambda c: with_config(c, JAKARTA, standby_cluster={"host": "203.0.113.9"}), "old_scope_follows_new"),
    ("claim broken", G, lambda c: plus(c, Delete(CLAIM)), "nothing_else"),
    ("claim broken after all", G, lambda c: plus(c, Create(CLAIM, b""), Delete(CLAIM)), "nothing_else"),
    ("new scope promoted", G, lambda c: plus(c, Set(f"{MAKASSAR}/config", b"{}", 4)), "new_scope_untouched"),
    ("fenced already", G, lambda c: plus(c, Create(FENCE, b"fenced by failover, epoch 2")), "leader_keys_untouched"),
    # A planned move: its beginning …
    ("no plan", B, lambda c: with_state(c, lambda s: replace(s, plan=None)), "only_a_plan_is_added"),
    ("more than a plan", B, lambda c: with_state(c, lambda s: replace(s, in_sync=True)), "only_a_plan_is_added"),
    ("plan for ever", B, lambda c: with_state(c, lambda s: replace(s, plan=replace(s.plan, deadline_unix_s=9e9))), "only_a_plan_is_added"),
    ("another's plan", B, lambda c: with_state(c, lambda s: replace(s, plan=replace(s.plan, id="s-1"))), "only_a_plan_is_added"),
    ("nobody serves", B, lambda c: cluster(c, claim=None), "somebody_serves"),
    ("foreign upstream", B, lambda c: with_config(c, JAKARTA, standby_cluster={"host": "203.0.113.9"}), "old_scope_follows_new"),
    ("a way to restore", B, lambda c: with_config(c, JAKARTA, standby_cluster={"host": "10.77.2.11", "restore_command": "curl x"}), "old_scope_follows_new"),
    ("slots gone", B, lambda c: with_config(c, JAKARTA, slots={}), "old_scope_follows_new"),
    ("old scope unread", B, lambda c: changed(c, Set, f"{JAKARTA}/config", version=9), "scope_written"),
    ("claim broken", B, lambda c: plus(c, Delete(CLAIM)), "nothing_else"),
    ("new scope promoted", B, lambda c: plus(c, Set(f"{MAKASSAR}/config", b"{}", 4)), "new_scope_untouched"),
    ("key deleted", B, lambda c: plus(c, Delete(f"{JAKARTA}/leader", 0)), "leader_keys_untouched"),
    ("not answered", B, lambda c: without(c, (Set, REQUEST)), "request_answered"),
    ("answered wrongly", B, lambda c: with_request(c, phase="done"), "request_answered"),
    ("request changed", B, lambda c: with_request(c, by="somebody"), "request_answered"),
    # … its commit …
    ("plan stays", S, lambda c: with_state(c, lambda s: replace(s, plan=c[1].state.plan)), "plan_is_carried_out"),  # type: ignore[union-attr]
    ("epoch stays", S, lambda c: with_state(c, lambda s: replace(s, epoch=Epoch(1))), "epoch_is_next"),
    ("no proof of no claim", S, lambda c: without(c, (Create, CLAIM), (Delete, CLAIM)), "no_claim_is_proved"),
    ("killed", S, lambda c: proof(c, kind="killed"), "everything_is_replayed"),
    ("of another plan", S, lambda c: proof(c, plan_id="s-16"), "everything_is_replayed"),
    ("not replayed", S, lambda c: proof(c, end_of_wal=Lsn.parse("0/6000000")), "everything_is_replayed"),
    ("on another timeline", S, lambda c: proof(c, timeline=9), "everything_is_replayed"),
    ("proof kept", S, lambda c: without(c, (Delete, STOPPED)), "everything_is_replayed"),
    ("old scope unchecked", S, lambda c: without(c, (Check, f"{JAKARTA}/config")), "old_scope_is_checked"),
    ("not released", S, lambda c: without(c, (Set, f"{MAKASSAR}/config")), "new_site_released"),
    ("no slot for it", S, lambda c: with_config(c, MAKASSAR, slots={}), "new_site_released"),
    ("promoted already", S, lambda c: with_state(c, record(c, promoted=True)), "moved_state"),
    ("proven by its commit", S, lambda c: with_state(c, lambda s: replace(s, proving=False, proven_unix_s=s.epoch_started_unix_s)), "nothing_proven_yet"),
    ("bound too low", S, lambda c: with_state(c, record(c, min_lsn=Lsn(1))), "moved_state"),
    ("refused", S, lambda c: with_request(c, phase="refused"), "request_answered"),
    ("claim for ever", S, lambda c: plus(c, Create(CLAIM, b"")), "nothing_else"),
    ("status gone", S, lambda c: plus(c, Delete(f"{JAKARTA}/status", 3)), "nothing_else"),
    # … or its way back, and a refusal.
    ("proven by going back", A, lambda c: with_state(c, lambda s: replace(s, proving=True)), "back_where_it_was"),
    ("plan left", A, lambda c: with_state(c, lambda s: replace(s, plan=c[1].state.plan)), "back_where_it_was"),  # type: ignore[union-attr]
    ("moved", A, lambda c: with_state(c, lambda s: replace(s, active_site=SiteName("makassar"))), "back_where_it_was"),
    ("too early", A, lambda c: with_view(c, now_unix_s=0.0), "back_where_it_was"),
    ("absence unproved", A, lambda c: without(c, (Create, STOPPED)), "no_proof_outlives_it"),
    ("proof left", A, lambda c: without(c, (Create, STOPPED), (Delete, STOPPED)), "no_proof_outlives_it"),
    ("follows for ever", A, lambda c: with_config(c, JAKARTA, standby_cluster={"host": "10.77.2.11"}), "old_scope_ordinary_again"),
    ("slots gone there", A, lambda c: with_config(c, JAKARTA, slots={}), "old_scope_ordinary_again"),
    ("answered as done", A, lambda c: with_request(c, phase="done"), "request_answered"),
    ("proof forged", A, lambda c: plus(c, Create(STOPPED, b"{}")), "nothing_else"),
    ("state written by a refusal", N, lambda c: plus(c, Set(STATE, encode_state(c[1].state), 7)), "nothing_but_the_answer"),  # type: ignore[arg-type]
    ("no reason", N, lambda c: with_request(c, outcome=()), "nothing_but_the_answer"),
    ("accepted by a refusal", N, lambda c: with_request(c, phase="running"), "request_answered"),
]  # fmt: skip


# The commit of a takeover that guards had to make possible, where one of them killed.
KILLED = [
    "a takeover to makassar is frozen with 11 s left",
    "the last sample is 15.5 s old",
    "jkt-db1 is killed under the plan, its WAL ends at 0/5001000, idle for 15 s",
]
AFTER_A_KILL: list[tuple[str, Callable[[Case], Case], str]] = [
    ("a planned move", lambda c: before(c, plan=replace(c[1].state.plan, kind=PlanKind.SWITCHOVER)), "stopped_by_its_guards"),  # type: ignore[union-attr]
    ("the quorum was rebuilt", lambda c: before(c, unproven_site=SiteName("jakarta")), "claims_count"),
    ("no proof", lambda c: cluster(c, stopped=None), "stopped_by_its_guards"),
    ("of another plan", lambda c: proof(c, plan_id="s-16"), "stopped_by_its_guards"),
    ("of the other site", lambda c: proof(c, site="makassar"), "stopped_by_its_guards"),
    ("too much is lost", lambda c: proof(c, end_of_wal=Lsn.parse("0/D000000")), "lost_is_accepted"),
    ("shut down, not replayed", lambda c: proof(c, kind="shut_down"), "lost_is_accepted"),
    ("on another timeline", lambda c: proof(c, timeline=9), "lost_is_accepted"),
    ("nobody leads there", lambda c: cluster(c, standby=replace(c[1].clusters[0].standby, scope=None)), "lost_is_accepted"),
    ("a claim is there", lambda c: cluster(c, claim=None), "nobody_writes"),
    ("not fenced", lambda c: without(c, (Create, FENCE), (Create, CHILD)), "old_site_fenced"),
    ("not in quarantine", lambda c: with_config(c, JAKARTA, standby_cluster={"host": "10.77.2.11"}), "old_site_quarantined"),
    ("plan kept", lambda c: with_state(c, lambda s: replace(s, plan=c[1].state.plan)), "state_after"),  # type: ignore[union-attr]
    ("proof kept", lambda c: without(c, (Delete, STOPPED)), "stopped_proof_removed"),
    ("somebody else is answered", lambda c: plus(c, Set(REQUEST, b"{}", 3)), "request_ended"),
]  # fmt: skip


def killed(*more: str) -> Case:
    view = build([*KILLED, *more]).view()
    decided = plan(view, judge(view))
    assert isinstance(decided, Plan), decided
    assert decided.step is T
    return decided, view


def serving() -> View:
    return build([]).view()


def starting() -> View:
    return build(["PostgreSQL on jkt-db1 rejects for 12 s"]).view()


@pytest.mark.parametrize(
    ("mutate", "check"), [row[1:] for row in AFTER_A_KILL], ids=[row[0] for row in AFTER_A_KILL]
)
def test_check_fires_after_a_kill(mutate: Callable[[Case], Case], check: str) -> None:
    assert lint(*killed()) == ()
    assert check in {problem.check for problem in lint(*mutate(killed()))}


def test_what_was_killed_under_a_planned_move_binds() -> None:
    """Its host alone has the end of what was acknowledged."""
    case = good(A, "jkt-db1 is killed under the plan, its WAL ends at 0/5001000")
    assert lint(*case) == ()
    for forgotten in (record(case, promoted=True), record(case, min_lsn=Lsn(0))):
        unbound = with_state(case, forgotten)
        assert "back_where_it_was" in {problem.check for problem in lint(*unbound)}
    in_sync = "protection is max-availability, in sync"
    on_record = good(A, in_sync, "jkt-db1 is killed under the plan, its WAL ends at 0/5001000")
    assert lint(*on_record) == ()
    bound = with_state(on_record, record(on_record, min_lsn=Lsn.parse("0/5001000")))
    assert "back_where_it_was" in {problem.check for problem in lint(*bound)}


def test_the_operator_of_a_takeover_that_was_begun_is_told_of_its_end() -> None:
    case = killed("the takeover is one that an operator asked for")
    assert lint(*case) == ()
    untold = without(case, (Set, REQUEST))
    assert "request_answered" in {problem.check for problem in lint(*untold)}


@pytest.mark.parametrize("fields", [{"phase": "done"}, {"by": "somebody"}], ids=str)
def test_who_asks_for_a_useless_site_to_be_left_is_answered(fields: dict[str, Any]) -> None:
    case = good(G, "automation is manual", ASKED)
    assert lint(*case) == ()
    problems = lint(*with_request(case, **fields))
    assert "request_answered" in {problem.check for problem in problems}
    other = with_state(case, lambda s: replace(s, plan=replace(s.plan, id="s-1")))  # type: ignore[type-var]
    assert "only_a_plan_is_added" in {problem.check for problem in lint(*other)}


@pytest.mark.parametrize("step", list(StepName))
def test_plans_of_the_planner_are_clean(step: StepName) -> None:
    assert lint(*good(step)) == ()


@pytest.mark.parametrize(
    ("step", "mutate", "check"),
    [(step, mutate, check) for _, step, mutate, check in MUTATIONS],
    ids=[f"{step}: {what}" for what, step, _, _ in MUTATIONS],
)
def test_check_fires(step: StepName, mutate: Callable[[Case], Case], check: str) -> None:
    problems = lint(*mutate(good(step)))
    assert check in {problem.check for problem in problems}


@pytest.mark.parametrize(
    "found", ["the head of the history cannot be understood", "the history has no head"]
)
@pytest.mark.parametrize("step", [step for step in StepName if step in WORLDS])
def test_no_step_waits_for_the_head_of_the_history(step: StepName, found: str) -> None:
    case = good(step, found)
    assert lint(*case) == ()
    if step is StepName.RESTART_ZOOKEEPER:
        return
    silent = without_detail(case, "chain_starts")
    assert "entry_continues_chain" in {p.check for p in lint(*silent)}


def without_detail(case: Case, gone: str) -> Case:
    """The entry without that detail."""
    old = next(op for op in ops(case) if isinstance(op, Create) and op.path == ENTRY)
    entry = decode_record(HistoryEntry, old.data, path=ENTRY)
    details = {name: text for name, text in entry.details.items() if name != gone}
    return changed(case, Create, ENTRY, data=encode_record(replace(entry, details=details)))


def test_a_stopped_proof_left_behind_is_removed() -> None:
    case = good(StepName.TAKEOVER, "a stopped-proof of jkt-db1 is left behind")
    assert lint(*case) == ()
    kept = without(case, (Delete, f"{ROOT}/stopped/marketplace"))
    assert [p.check for p in lint(*kept)] == ["stopped_proof_removed"]


def test_a_proof_of_an_earlier_plan_does_not_outlive_a_beginning() -> None:
    case = good(B, "a stopped-proof of jkt-db1 is left behind")
    assert lint(*case) == ()
    kept = without(case, (Delete, STOPPED))
    assert "no_proof_is_left" in {p.check for p in lint(*kept)}


ASKED = "an operator asks for a takeover to makassar, 1 s ago, accepts the loss"


@pytest.mark.parametrize(
    "fields",
    [{"kind": PlanKind.SWITCHOVER}, {"to_site": SiteName("jakarta")}, {"phase": RequestPhase.DONE}],
    ids=str,
)
def test_a_takeover_by_hand_is_the_one_that_was_asked_for(fields: dict[str, Any]) -> None:
    case = good(T, "automation is manual", ASKED)
    assert lint(*case) == ()
    seen = case[1].request
    assert seen is not None
    assert seen.request is not None
    other = with_view(case, request=replace(seen, request=replace(seen.request, **fields)))
    assert "asked_or_automatic" in {p.check for p in lint(*other)}
    rebuilt = before(case, unproven_site=SiteName("jakarta"))
    assert "asked_or_automatic" in {p.check for p in lint(*rebuilt)}
    unasked = without(case, (Set, REQUEST))
    assert "asked_or_automatic" in {p.check for p in lint(*unasked)}


def test_the_request_of_somebody_else_is_left_alone() -> None:
    """The plan goes on where its own request was replaced by hand."""
    case = good(S)
    seen = case[1].request
    assert seen is not None
    assert seen.request is not None
    other = replace(seen, request=replace(seen.request, id="s-99"))
    problems = lint(*with_view(case, request=other))
    assert "request_ended" in {p.check for p in problems}
    assert lint(*with_view(without(case, (Set, REQUEST)), request=other)) == ()


def test_restart_only_of_the_leader_with_everything_well() -> None:
    case = good(StepName.RESTART_ZOOKEEPER)
    other = replace(case[0], action=RestartZooKeeper(HostName("mks-zk1")))
    assert [p.check for p in lint(other, case[1])] == ["restart_is_leader"]
    silent = tuple(
        replace(z, serving=None) if z.server.name == "mks-zk1" else z for z in case[1].zookeeper
    )
    assert [p.check for p in lint(*with_view(case, zookeeper=silent))] == ["restart_with_quorum"]
    assert [p.check for p in lint(*cluster(case, claim=None))] == ["restart_with_claims"]
    just_elected = with_view(case, ensemble_unchanged_for_s=9.9)
    assert [p.check for p in lint(*just_elected)] == ["restart_of_the_settled"]
    assert "only_armed" in {p.check for p in lint(*before(case, arming=True))}
    wrong = replace(case[0], step=StepName.FOLLOW)
    assert [p.check for p in lint(wrong, case[1])] == ["known_step"]


def test_without_a_state_nothing_is_clean() -> None:
    case = with_view(good(StepName.TAKEOVER), state=None)
    assert [p.check for p in lint(*case)] == ["state_known"]
