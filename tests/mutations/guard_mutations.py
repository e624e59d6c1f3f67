"""Breakages of the guard: permit, grant, renewal, deadline, release."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from failover import last_writer
from failover.guard import logic, permits
from failover.guard.logic import Renewals
from failover.guard.permits import AskPermit, Member, PermitDecision, PermitInputs, WalEnd
from failover.health import cluster_view
from failover.simulation import guard as simulated
from failover.simulation import guard_worker, world
from failover.simulation.guard import Guard
from failover.simulation.guard_worker import Worker
from failover.state import WriterClaim, encode_record
from failover.timing import LeaseTiming, lease_timing
from failover.znode import Check, Committed, Set
from tests.mutations import stories
from tests.mutations.mutation import Mutation, Replacement


def _yes(_guard: Guard) -> bool:
    return True


def _start_when_the_lock_is_free(self: Guard, *, standby: bool) -> bool:
    """The lock alone: no note of what starts, no question."""
    until_s = self.kernel.now + simulated.START_LIMIT_S
    while self.server.alive or self.lock_held:
        if self.kernel.now >= until_s:
            return False
        self.kernel.sleep(0.05)
    return True


_decide_permit = permits.decide_permit


def _permit_by_a_read(me: Member, seen: PermitInputs) -> PermitDecision:
    """``state`` was read, and that is all: the transaction does not check it."""
    decision = _decide_permit(me, seen)
    if not isinstance(decision, AskPermit):
        return decision
    left = (op for op in decision.transaction if not _checks(op, me.paths.state))
    return replace(decision, transaction=tuple(left))


def _checks(op: object, path: str) -> bool:
    return isinstance(op, Check) and op.path == path


def _renewed_by_a_read(self: Worker, sent_s: float) -> None:
    session_id = self.store.session_id
    if session_id is None or not self.store.connected:
        return
    if self._token_of != session_id and not self._open(session_id):
        return
    if self.store.read(self.me.paths.session(session_id)) is not None:
        self.guard.tell(lambda: self.guard.renewed(session_id, sent_s))


_renew = Worker._renew


def _renewed_on_the_claim(self: Worker, sent_s: float) -> None:
    """A write on the claim's path, whoever holds it, prolongs the grant that there is."""
    grant = self.guard.logic.grant
    if grant is None:
        _renew(self, sent_s)
        return
    if not self.store.connected:
        return
    claim = WriterClaim(host=self.me.host, site=self.me.site, epoch=grant.epoch)
    write = Set(self.me.paths.writer(self.me.cluster), encode_record(claim), version=-1)
    if isinstance(self.store.commit((write,)), Committed):
        self.guard.tell(lambda: self.guard.renewed(grant.session_id, sent_s))


def _newest_renewal(
    before: Renewals | None, session_id: int, sent_s: float, limits: logic.Limits
) -> Renewals:
    return Renewals(session_id, sent_s, base_sent_s=sent_s)


_save = Guard.save


def _save_without_the_grant(self: Guard) -> None:
    _save(self)
    self.files.grant = None


_round = Worker._round


def _round_that_releases_early(self: Worker) -> None:
    """The claim goes as soon as the server is to be stopped or killed."""
    _round(self)
    guard, session_id = self.guard, self.store.session_id
    ending = guard.logic.stop_wanted or guard.logic.killing is not None
    if guard.logic.grant is not None and ending and session_id is not None:
        self._commit_claim(self._read(), session_id)


def _not_behind(_me: Member, _state: object, _wal_end: WalEnd | None) -> None:
    return None


_permitted_hosts = last_writer.permitted_hosts


def _permitted_whoever_was_first(*seen: Any, judged_unix_s: float = 0.0, **more: Any) -> Any:
    """No permit was ever given under the present judgement."""
    return _permitted_hosts(*seen, **more)


def _session_too_short(lease_s: float) -> LeaseTiming:
    timing = lease_timing(lease_s)
    return replace(timing, session_ms=int(timing.deadline_s * 1000) - 1500)


def _kills_nobody(_worker: Worker) -> None:
    """The worker of a dead minder leaves the deadline to the next minder."""


GUARD = (
    Mutation(
        "no permit",
        "pre_promote and the promotion's barrier say yes without asking anybody",
        (Replacement(Guard, "pre_promote", _yes), Replacement(Guard, "pg_ctl_promote", _yes)),
        (stories.old_config, stories.lost_and_back),
    ),
    Mutation(
        "permit by a read",
        "the permit's transaction does not check the version of `state` that was read",
        (Replacement(guard_worker, "decide_permit", _permit_by_a_read),),
        (stories.held_between_read_and_permit, stories.raced),
    ),
    Mutation(
        "no start barrier",
        "a start of a writable server asks nobody and leaves no note",
        (Replacement(Guard, "start", _start_when_the_lock_is_free),),
        (stories.started_after_the_takeover, stories.switched_over_and_restarted),
    ),
    Mutation(
        "deadline counted from a read",
        "a read of the token counts as a renewal",
        (Replacement(Worker, "_renew", _renewed_by_a_read),),
        (stories.lost_and_back, stories.lost_with_nothing_to_spare),
    ),
    Mutation(
        "deadline from the newest renewal",
        "the last committed renewal counts, and not the last but one",
        (Replacement(logic, "renewed", _newest_renewal),),
        (stories.cut_off_right_after_a_renewal,),
    ),
    Mutation(
        "renewal on the claim",
        "the lease is renewed by a write on the claim's path, whoever holds it by now",
        (Replacement(Worker, "_renew", _renewed_on_the_claim),),
        (stories.lost_and_back, stories.lost_with_nothing_to_spare),
    ),
    Mutation(
        "session shorter than deadline and kill",
        "the session ends 1.5 s before the deadline",
        (Replacement(world, "lease_timing", _session_too_short),),
        (stories.lost_and_back,),
    ),
    Mutation(
        "nobody in the minder's place",
        "the worker of a dead minder renews for it, and does not kill at the deadline",
        (Replacement(Worker, "_stand_in", _kills_nobody),),
        (stories.the_minder_dies_and_then_the_site_is_cut_off,),
    ),
    Mutation(
        "grant forgotten before the server is gone",
        "the record on disk has no grant: a guard that is started again knows of no deadline",
        (Replacement(Guard, "save", _save_without_the_grant),),
        (stories.a_guard_is_killed_while_the_lease_ends,),
    ),
    Mutation(
        "claim deleted before PostgreSQL is stopped",
        "the guard gives its claim back when it begins to stop the server",
        (Replacement(Worker, "_round", _round_that_releases_early),),
        (stories.frozen_under_the_stop,),
    ),
    Mutation(
        "no min_lsn",
        "a host with less WAL than was judged gets its permit",
        (Replacement(permits, "_behind", _not_behind),),
        (stories.the_judged_host_dies,),
    ),
    Mutation(
        "the first permit binds nobody",
        "in a synchronous mode whoever has min_lsn may write until the promotion is on record",
        (
            Replacement(permits, "permitted_hosts", _permitted_whoever_was_first),
            Replacement(cluster_view, "permitted_hosts", _permitted_whoever_was_first),
        ),
        (stories.the_first_one_promoted_dies_before_it_is_on_record,),
    ),
)
