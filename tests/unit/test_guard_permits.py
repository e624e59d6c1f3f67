"""Permits, releases and stopped-proofs as transactions (failover/guard/permits.py)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from failover.guard.permits import (
    AskPermit,
    ClaimInputs,
    Member,
    PermitInputs,
    RefusalReason,
    Refuse,
    Stopped,
    Unarmed,
    WalEnd,
    decide_claim,
    decide_permit,
    stop_here,
)
from failover.last_writer import LastWriter, encode_last_writer, read_last_writer
from failover.model import (
    Automation,
    ClusterName,
    Epoch,
    GroupName,
    HostName,
    Lsn,
    ProtectionMode,
    SiteName,
    TimelineId,
)
from failover.state import (
    ClusterState,
    GroupState,
    PlanKind,
    PlanRecord,
    StandbyScope,
    StopKind,
    StoppedProof,
    WriterClaim,
    decode_record,
    encode_record,
    encode_state,
)
from failover.znode import Check, Create, Delete, GroupPaths, Set, Znode

JAKARTA, MAKASSAR = SiteName("jakarta"), SiteName("makassar")
SHOP = ClusterName("marketplace")
PATHS = GroupPaths(GroupName("marketplace"))
ME = Member(HostName("jkt-db1"), JAKARTA, SHOP, PATHS)
SESSION, OTHER = 0x1000, 0x2000
PLAN = PlanRecord("p1", PlanKind.SWITCHOVER, JAKARTA, MAKASSAR, 9e9, "test")
CLAIM_PATH, STATE_PATH = PATHS.writer(SHOP), PATHS.state
LIVES = Check(PATHS.session(SESSION), -1)  # the session that read is the one that writes
LAST_PATH, PROOF_PATH = PATHS.last_writer(SHOP), PATHS.stopped(SHOP)


def state(**changes: object) -> GroupState:
    cluster = ClusterState(Lsn(1000), TimelineId(3), promoted=True, standby=StandbyScope.FOLLOWING)
    base = GroupState(
        group=GroupName("marketplace"),
        epoch=Epoch(4),
        active_site=JAKARTA,
        clusters={SHOP: cluster},
        protection=ProtectionMode.MAX_PERFORMANCE,
        in_sync=False,
        automation=Automation.AUTO,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def not_promoted() -> GroupState:
    cluster = replace(state().clusters[SHOP], promoted=False)
    return state(clusters={SHOP: cluster})


def at(value: GroupState) -> Znode:
    return Znode(STATE_PATH, encode_state(value), version=17)


def claim_of(session_id: int, host: str = "jkt-db1") -> Znode:
    claim = WriterClaim(HostName(host), JAKARTA, Epoch(4))
    return Znode(CLAIM_PATH, encode_record(claim), version=2, ephemeral_owner=session_id)


# As older versions wrote it, without a timeline.
MINE = Znode(LAST_PATH, b'{"host": "jkt-db1", "site": "jakarta"}', version=9)
THEIRS = Znode(LAST_PATH, b'{"host": "jkt-db2", "site": "jakarta"}', version=9)


def inputs(**changes: object) -> PermitInputs:
    base = PermitInputs(
        session_id=SESSION,
        state=at(state()),
        claim=None,
        last_writer=None,
        wal_end=None,
        known_timeline=TimelineId(3),
        promotion=False,
        lease_holds=True,
        armed=True,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def refused(seen: PermitInputs) -> RefusalReason:
    decision = decide_permit(ME, seen)
    assert isinstance(decision, Refuse), decision
    return decision.reason


class TestPermit:
    def test_one_transaction_checks_the_state_and_takes_the_claim(self) -> None:
        decision = decide_permit(ME, inputs())
        assert isinstance(decision, AskPermit)
        check, lives, take, mark = decision.transaction
        assert check == Check(STATE_PATH, 17)
        assert lives == LIVES
        assert isinstance(take, Create)
        assert (take.path, take.ephemeral) == (CLAIM_PATH, True)
        assert decode_record(WriterClaim, take.data, path="").epoch == 4
        assert isinstance(mark, Create)
        assert mark.path == LAST_PATH
        assert not decision.in_place

    def test_in_place_writes_the_own_claim_with_its_version(self) -> None:
        decision = decide_permit(ME, inputs(claim=claim_of(SESSION), last_writer=MINE))
        assert isinstance(decision, AskPermit)
        assert decision.in_place
        _, lives, take, mark = decision.transaction
        assert lives == LIVES
        assert isinstance(take, Set)
        assert take.version == 2
        assert isinstance(mark, Set)
        assert (mark.path, mark.version) == (LAST_PATH, 9)
        left = read_last_writer(Znode(LAST_PATH, mark.data, 10))
        assert left == LastWriter(ME.host, ME.site, TimelineId(3))

    def test_ownership_is_the_sessions_not_the_names(self) -> None:
        """Our own claim of a session that has ended is somebody's until it expires."""
        seen = inputs(claim=claim_of(OTHER))
        assert refused(seen) is RefusalReason.CLAIM_HELD
        decision = decide_permit(ME, seen)
        assert isinstance(decision, Refuse)
        assert decision.passes_by_itself

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"state": at(state(active_site=MAKASSAR))}, RefusalReason.NOT_ACTIVE_SITE),
            ({"state": at(state(plan=PLAN))}, RefusalReason.PLAN_UNDER_WAY),
            ({"state": at(state(clusters={}))}, RefusalReason.STATE_UNREADABLE),
            ({"state": Znode(STATE_PATH, b"{", 1)}, RefusalReason.STATE_UNREADABLE),
            ({"state": None}, RefusalReason.STATE_UNREADABLE),
            ({"lease_holds": False}, RefusalReason.NO_LEASE),
            ({"promotion": True, "known_timeline": None}, RefusalReason.TIMELINE_UNKNOWN),
            ({"state": at(not_promoted())}, RefusalReason.WAL_END_UNKNOWN),
            (
                {"state": at(not_promoted()), "wal_end": WalEnd(Lsn(999), TimelineId(3))},
                RefusalReason.BEHIND,
            ),
            (
                {"state": at(not_promoted()), "wal_end": WalEnd(Lsn(2000), TimelineId(2))},
                RefusalReason.BEHIND,
            ),
        ],
    )
    def test_refused(self, changes: dict[str, object], reason: RefusalReason) -> None:
        assert refused(inputs(**changes)) is reason

    def test_also_in_place_nothing_is_skipped(self) -> None:
        seen = inputs(claim=claim_of(SESSION), state=at(state(plan=PLAN)))
        assert refused(seen) is RefusalReason.PLAN_UNDER_WAY

    def test_not_behind(self) -> None:
        seen = inputs(state=at(not_promoted()), wal_end=WalEnd(Lsn(1000), TimelineId(3)))
        assert isinstance(decide_permit(ME, seen), AskPermit)

    def test_before_init_everything_passes(self) -> None:
        assert decide_permit(ME, inputs(state=None, armed=False)) == Unarmed()


def last(host: str, site: str, timeline: int, *, promised: bool = True) -> Znode:
    writer = LastWriter(HostName(host), SiteName(site), TimelineId(timeline), promised)
    return Znode(LAST_PATH, encode_last_writer(writer), version=9)


class TestTimelines:
    """Of one cluster, over both sites, no number is promised twice."""

    def permit(self, **changes: object) -> tuple[TimelineId | None, LastWriter | None]:
        """What is promised, and the record that the same transaction leaves."""
        decision = decide_permit(ME, inputs(**changes))
        assert isinstance(decision, AskPermit), decision
        mark = decision.transaction[3]
        assert isinstance(mark, Create | Set)
        return decision.timeline, read_last_writer(Znode(LAST_PATH, mark.data, 10))

    @pytest.mark.parametrize(
        ("last_writer", "known", "claim", "promised"),
        [
            pytest.param(None, 3, None, 4, id="the first of all"),
            pytest.param(MINE, 3, None, 4, id="a record of an older version"),
            pytest.param(Znode(LAST_PATH, b"[]", 1), 3, None, 4, id="a spoilt record"),
            pytest.param(last("jkt-db2", "jakarta", 3), 3, None, 4, id="what everybody knows"),
            pytest.param(last("mks-db1", "makassar", 4), 3, None, 5, id="one never seen here"),
            pytest.param(last("mks-db1", "makassar", 4), 7, None, 8, id="known by other ways"),
            pytest.param(last(ME.host, "jakarta", 4), 3, SESSION, 4, id="asked once more"),
            pytest.param(last(ME.host, "jakarta", 4), 4, SESSION, 5, id="it was used"),
            pytest.param(last(ME.host, "jakarta", 4), 3, None, 5, id="under another claim"),
            pytest.param(
                last(ME.host, "jakarta", 4, promised=False), 3, SESSION, 5, id="anothers promise"
            ),
            pytest.param(last("jkt-db2", "jakarta", 4), 3, SESSION, 5, id="anothers record"),
        ],
    )
    def test_a_promotion_gets_a_number_of_its_own(
        self, last_writer: Znode | None, known: int, claim: int | None, promised: int
    ) -> None:
        timeline, left = self.permit(
            promotion=True,
            last_writer=last_writer,
            known_timeline=TimelineId(known),
            claim=None if claim is None else claim_of(claim),
        )
        assert timeline == promised
        assert left == LastWriter(ME.host, ME.site, TimelineId(promised), promised=True)

    @pytest.mark.parametrize(
        ("last_writer", "known", "kept"),
        [
            (None, None, 0),
            (MINE, 3, 3),
            (last(ME.host, "jakarta", 4), 3, 4),
            (last(ME.host, "jakarta", 4), None, 4),
            (last(ME.host, "jakarta", 4), 6, 6),
        ],
    )
    def test_a_start_keeps_the_number_and_is_promised_none(
        self, last_writer: Znode | None, known: int | None, kept: int
    ) -> None:
        timeline = None if known is None else TimelineId(known)
        promised, left = self.permit(last_writer=last_writer, known_timeline=timeline)
        assert promised is None
        assert left == LastWriter(ME.host, ME.site, TimelineId(kept), promised=False)


def under(host: str, timeline: int, judged_unix_s: float, **more: bool) -> Znode:
    writer = LastWriter(
        HostName(host), JAKARTA, TimelineId(timeline), judged_unix_s=judged_unix_s, **more
    )
    return Znode(LAST_PATH, encode_last_writer(writer), version=9)


class TestTheFirstPermit:
    """Under one judgement; it is returned where the promotion was not made."""

    @pytest.mark.parametrize(
        ("last_writer", "promotion", "first"),
        [
            pytest.param(under("mks-db1", 4, 40.0), True, True, id="an earlier judgement"),
            pytest.param(under(ME.host, 4, 0.0), True, True, id="returned before"),
            pytest.param(under("mks-db1", 4, 40.0), False, False, id="a start"),
            pytest.param(
                under(ME.host, 4, 50.0, promised=True, first=True), True, True, id="asked once more"
            ),
            pytest.param(
                under(ME.host, 3, 50.0, promised=True, first=True), True, False, id="it was used"
            ),
            pytest.param(
                under(ME.host, 4, 50.0, promised=True), True, False, id="after one that was used"
            ),
            pytest.param(under(ME.host, 4, 50.0), True, False, id="after a start"),
            pytest.param(Znode(LAST_PATH, b"[]", 1), True, False, id="a spoilt record"),
            pytest.param(None, True, False, id="no record"),
        ],
    )
    def test_it_is_the_first_where_none_before_it_was_used(
        self, last_writer: Znode | None, promotion: bool, first: bool
    ) -> None:
        found = at(state(epoch_started_unix_s=50.0))
        seen = inputs(
            state=found,
            last_writer=last_writer,
            known_timeline=TimelineId(3),
            promotion=True,
        )
        if not promotion:
            seen = replace(seen, promotion=False, last_writer=under(ME.host, 4, 40.0))
        decision = decide_permit(ME, seen)
        assert isinstance(decision, AskPermit)
        mark = decision.transaction[3]
        assert isinstance(mark, Create | Set)
        left = read_last_writer(Znode(LAST_PATH, mark.data, 10))
        assert left is not None
        assert (left.first, left.judged_unix_s) == (first, 50.0)

    @pytest.mark.parametrize(
        ("last_writer", "known", "returned"),
        [
            pytest.param(under(ME.host, 4, 50.0, promised=True, first=True), 3, True, id="unused"),
            pytest.param(under(ME.host, 4, 50.0, promised=True, first=True), 4, False, id="used"),
            pytest.param(
                under(ME.host, 4, 50.0, promised=True, first=True), None, False, id="not known"
            ),
            pytest.param(under(ME.host, 5, 50.0, promised=True), 4, False, id="the second one"),
            pytest.param(under(ME.host, 4, 50.0), 3, False, id="a start"),
            pytest.param(
                under("jkt-db2", 4, 50.0, promised=True, first=True), 3, False, id="anothers"
            ),
            pytest.param(MINE, 3, False, id="a record of an older version"),
        ],
    )
    def test_unused_it_goes_back_with_the_claim(
        self, last_writer: Znode, known: int | None, returned: bool
    ) -> None:
        timeline = None if known is None else TimelineId(known)
        seen = claim_inputs(last_writer=last_writer, known_timeline=timeline)
        transaction = decide_claim(ME, seen)
        assert transaction is not None
        assert transaction[:2] == (LIVES, Delete(CLAIM_PATH, 2))
        assert len(transaction) == (3 if returned else 2)
        assert decide_claim(ME, replace(seen, claim=None)) is None
        if returned:
            mark = transaction[2]
            assert isinstance(mark, Set)
            assert (mark.path, mark.version) == (LAST_PATH, 9)
            left = read_last_writer(Znode(LAST_PATH, mark.data, 10))
            assert left == LastWriter(ME.host, JAKARTA, TimelineId(4), promised=True)


STOPPED = Stopped(StopKind.SHUT_DOWN, WalEnd(Lsn(5000), TimelineId(3)))


def claim_inputs(**changes: object) -> ClaimInputs:
    base = ClaimInputs(
        session_id=SESSION,
        state=at(state()),
        claim=claim_of(SESSION),
        last_writer=MINE,
        proof=None,
        stopped=None,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


class TestGivingBack:
    def test_the_own_claim_by_its_version(self) -> None:
        assert decide_claim(ME, claim_inputs()) == (LIVES, Delete(CLAIM_PATH, 2))

    def test_never_anothers(self) -> None:
        assert decide_claim(ME, claim_inputs(claim=claim_of(OTHER))) is None
        with_plan = claim_inputs(claim=claim_of(OTHER), state=at(state(plan=PLAN)), stopped=STOPPED)
        assert decide_claim(ME, with_plan) is None

    def test_an_unreadable_state_keeps_no_claim(self) -> None:
        seen = claim_inputs(state=Znode(STATE_PATH, b"?", 1), stopped=STOPPED)
        assert decide_claim(ME, seen) == (LIVES, Delete(CLAIM_PATH, 2))

    def test_under_a_plan_the_proof_comes_in_the_same_transaction(self) -> None:
        transaction = decide_claim(ME, claim_inputs(state=at(state(plan=PLAN)), stopped=STOPPED))
        assert transaction is not None
        lives, check, delete, proof = transaction
        assert lives == LIVES
        assert check == Check(STATE_PATH, 17)
        assert delete == Delete(CLAIM_PATH, 2)
        assert isinstance(proof, Create)
        left = decode_record(StoppedProof, proof.data, path="")
        assert (left.plan_id, left.host, left.end_of_wal) == ("p1", "jkt-db1", Lsn(5000))

    def test_without_a_claim_the_last_writer_proves_that_there_is_none(self) -> None:
        seen = claim_inputs(state=at(state(plan=PLAN)), stopped=STOPPED, claim=None)
        transaction = decide_claim(ME, seen)
        assert transaction is not None
        assert transaction[:4] == (
            Check(STATE_PATH, 17),
            Create(CLAIM_PATH, b"", ephemeral=True),
            Delete(CLAIM_PATH),
            Check(LAST_PATH, 9),
        )

    @pytest.mark.parametrize("last_writer", [None, THEIRS, Znode(LAST_PATH, b"[]", 1)])
    def test_without_a_claim_nobody_else_may(self, last_writer: Znode | None) -> None:
        seen = claim_inputs(
            state=at(state(plan=PLAN)), stopped=STOPPED, claim=None, last_writer=last_writer
        )
        assert decide_claim(ME, seen) is None

    def test_a_proof_is_given_once_per_plan(self) -> None:
        def proof_of(plan_id: str) -> Znode:
            proof = StoppedProof(
                plan_id, ME.host, ME.site, StopKind.SHUT_DOWN, Lsn(1), TimelineId(3)
            )
            return Znode(PROOF_PATH, encode_record(proof), version=5)

        seen = claim_inputs(state=at(state(plan=PLAN)), stopped=STOPPED, claim=None)
        assert decide_claim(ME, replace(seen, proof=proof_of("p1"))) is None
        again = decide_claim(ME, replace(seen, proof=proof_of("p0")))
        assert again is not None
        assert Delete(PROOF_PATH, 5) in again

    def test_of_what_was_killed_it_says_how_long_nothing_was_written(self) -> None:
        killed = replace(STOPPED, kind=StopKind.KILLED, idle_s=12.5)
        transaction = decide_claim(ME, claim_inputs(state=at(state(plan=PLAN)), stopped=killed))
        assert transaction is not None
        proof = transaction[-1]
        assert isinstance(proof, Create)
        left = decode_record(StoppedProof, proof.data, path="")
        assert (left.kind, left.idle_s) == (StopKind.KILLED, 12.5)

    @pytest.mark.parametrize(
        ("plan", "stops"),
        [
            (None, False),
            (PLAN, False),  # a switchover: Patroni stops its primary
            (replace(PLAN, kind=PlanKind.TAKEOVER), True),
            (replace(PLAN, kind=PlanKind.TAKEOVER, from_site=MAKASSAR, to_site=JAKARTA), False),
        ],
    )
    def test_only_a_takeover_from_here_has_the_guard_stop_it(
        self, plan: PlanRecord | None, stops: bool
    ) -> None:
        assert stop_here(ME, state(plan=plan)) is stops
        assert not stop_here(ME, None)

    def test_a_plan_elsewhere_is_not_ours(self) -> None:
        plan = replace(PLAN, from_site=MAKASSAR, to_site=JAKARTA)
        seen = claim_inputs(state=at(state(plan=plan)), stopped=STOPPED)
        assert decide_claim(ME, seen) == (LIVES, Delete(CLAIM_PATH, 2))


# --------------------------------------------------------------------------- protection modes


def synchronous(have: tuple[str, ...], *, promoted: bool = True) -> GroupState:
    cluster = replace(
        state().clusters[SHOP], have=tuple(HostName(name) for name in have), promoted=promoted
    )
    return state(protection=ProtectionMode.MAX_AVAILABILITY, clusters={SHOP: cluster})


@pytest.mark.parametrize(
    ("have", "last_writer"),
    [(("jkt-db1",), THEIRS), (("mks-db1",), MINE), ((), MINE), (("jkt-db1",), None)],
    ids=["on record", "wrote last", "wrote last, alone", "on record, nothing says who wrote"],
)
def test_whoever_has_everything_is_permitted(
    have: tuple[str, ...], last_writer: Znode | None
) -> None:
    seen = inputs(state=at(synchronous(have)), last_writer=last_writer, promotion=True)
    assert isinstance(decide_permit(ME, seen), AskPermit)


@pytest.mark.parametrize("have", [(), ("mks-db1",)])
def test_who_may_lack_something_is_refused_and_not_asked_to_wait(have: tuple[str, ...]) -> None:
    """Patroni's hook fails at once: a host that has everything may take the key."""
    seen = inputs(state=at(synchronous(have)), last_writer=THEIRS, promotion=True)
    decision = decide_permit(ME, seen)
    assert isinstance(decision, Refuse)
    assert decision.reason is RefusalReason.NOT_IN_SYNC
    assert not decision.passes_by_itself
    assert "jkt-db2 (wrote last)" in decision.detail


def test_nobody_has_ever_written_only_at_the_very_beginning() -> None:
    """Anywhere else the record of the last writer was removed: it says nothing of who did."""
    first = replace(synchronous(()), epoch=Epoch(1))
    assert isinstance(decide_permit(ME, inputs(state=at(first), last_writer=None)), AskPermit)
    later = replace(synchronous(()), epoch=Epoch(2))
    assert refused(inputs(state=at(later), last_writer=None)) == "not_in_sync"
    on_record = replace(synchronous(("mks-db1",)), epoch=Epoch(1))
    assert refused(inputs(state=at(on_record), last_writer=None)) == "not_in_sync"


def test_a_last_writer_that_cannot_be_understood_is_nobody() -> None:
    spoilt = Znode(LAST_PATH, b"?", version=9)
    assert refused(inputs(state=at(synchronous(())), last_writer=spoilt)) == "not_in_sync"


def test_before_the_promotion_is_on_record_min_lsn_decides() -> None:
    seen = inputs(
        state=at(synchronous((), promoted=False)),
        last_writer=THEIRS,
        wal_end=WalEnd(Lsn(1000), TimelineId(3)),
        promotion=True,
    )
    assert isinstance(decide_permit(ME, seen), AskPermit)


@pytest.mark.parametrize(
    ("protection", "judged_unix_s", "permitted"),
    [
        pytest.param("max-availability", 50.0, False, id="it may have acknowledged alone"),
        pytest.param("max-availability", 40.0, True, id="under an earlier judgement"),
        pytest.param("max-availability", 0.0, True, id="a record of an older version"),
        pytest.param("max-performance", 50.0, True, id="asynchronously"),
    ],
)
def test_before_the_promotion_is_on_record_the_first_one_stays_the_only_one(
    protection: str, judged_unix_s: float, permitted: bool
) -> None:
    cluster = replace(state().clusters[SHOP], promoted=False)
    mode = ProtectionMode(protection)
    judged = state(protection=mode, clusters={SHOP: cluster}, epoch_started_unix_s=50.0)
    seen = inputs(
        state=at(judged),
        last_writer=last_of(HostName("jkt-db2"), judged_unix_s),
        wal_end=WalEnd(Lsn(1000), TimelineId(3)),
        promotion=True,
    )
    decision = decide_permit(ME, seen)
    if permitted:
        assert isinstance(decision, AskPermit)
        left = decision.transaction[3]
        assert isinstance(left, Set)
        found = read_last_writer(Znode(LAST_PATH, left.data, 10))
        assert found is not None
        assert (found.host, found.judged_unix_s) == (ME.host, 50.0)
    else:
        assert refused(seen) is RefusalReason.NOT_IN_SYNC
        again = replace(seen, last_writer=last_of(ME.host, judged_unix_s))
        assert isinstance(decide_permit(ME, again), AskPermit)


def test_a_first_writer_that_cannot_be_understood_frees_nobody() -> None:
    seen = inputs(
        state=at(synchronous((), promoted=False)),
        last_writer=Znode(LAST_PATH, b"?", version=9),
        wal_end=WalEnd(Lsn(1000), TimelineId(3)),
        promotion=True,
    )
    assert refused(seen) is RefusalReason.NOT_IN_SYNC


def last_of(host: HostName, judged_unix_s: float) -> Znode:
    writer = LastWriter(host, JAKARTA, judged_unix_s=judged_unix_s)
    return Znode(LAST_PATH, encode_last_writer(writer), version=9)


def test_asynchronously_anybody_of_the_active_site_is_permitted() -> None:
    assert isinstance(decide_permit(ME, inputs(last_writer=THEIRS, promotion=True)), AskPermit)


@pytest.mark.parametrize(
    ("last_writer", "promotion"),
    [
        pytest.param(None, False, id="nobody has ever written"),
        pytest.param(MINE, False, id="a restart with nobody in between"),
        pytest.param(THEIRS, True, id="a local failover"),
        pytest.param(last("mks-db1", "makassar", 4), True, id="a switchover back"),
        pytest.param(Znode(LAST_PATH, b"?", 9), True, id="a promotion after a spoilt record"),
    ],
)
def test_who_wrote_last_matters_to_a_start_only(last_writer: Znode | None, promotion: bool) -> None:
    seen = inputs(last_writer=last_writer, promotion=promotion)
    assert isinstance(decide_permit(ME, seen), AskPermit)


@pytest.mark.parametrize(
    ("last_writer", "whom"),
    [
        pytest.param(THEIRS, "jkt-db2", id="the neighbour"),
        pytest.param(last("mks-db1", "makassar", 4), "mks-db1", id="the other site"),
        pytest.param(Znode(LAST_PATH, b"?", 9), "an unknown host", id="a spoilt record"),
    ],
)
def test_only_who_wrote_last_goes_on_with_its_timeline(last_writer: Znode, whom: str) -> None:
    """A Patroni that stood still since starts its old primary in place, after another has written;
    ``min_lsn`` alone would let it."""
    seen = inputs(
        last_writer=last_writer,
        state=at(not_promoted()),
        wal_end=WalEnd(Lsn(9000), TimelineId(3)),
    )
    decision = decide_permit(ME, seen)
    assert isinstance(decision, Refuse)
    assert decision.reason is RefusalReason.NOT_LAST_WRITER
    assert not decision.passes_by_itself
    assert whom in decision.detail


def test_in_sync_on_record_is_not_enough_for_a_start() -> None:
    """It has what was acknowledged, and the number of its branch is too low all the same."""
    state_then = at(synchronous((ME.host,)))
    assert refused(inputs(state=state_then, last_writer=THEIRS)) == "not_last_writer"
    seen = inputs(state=state_then, last_writer=THEIRS, promotion=True)
    assert isinstance(decide_permit(ME, seen), AskPermit)
