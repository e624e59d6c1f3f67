"""What `make model` checks: instances of the model, rules taken away one at a time, and limits.

A mutation is a ``MUTATION_*`` of model/*.pml: one rule of the protocol is gone, and the model has
to find it. A limit is an assumption of the model that is dropped: what is found then is what the
protocol does not promise (docs/model.md says what that means).
"""

from __future__ import annotations

from dataclasses import dataclass

from failover.timing import LeaseTiming, lease_timing

UNITS_PER_S = 4  # lease.pml counts in 250 ms
LEASES_S = (6.0, 8.0, 20.0)  # the default, the one for slow ensembles, the one for watchdogs


@dataclass(frozen=True, slots=True)
class Instance:
    """One exhaustive run. ``defines`` are the preprocessor's."""

    name: str
    sentence: str
    file: str
    defines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mutation:
    """One rule gone. ``breaks``: the assertion that has to find it."""

    define: str
    sentence: str
    breaks: str
    file: str = "protocol.pml"
    defines: tuple[str, ...] = ("WRITES=1", "TIMELINES=1", "MOVES=1")


@dataclass(frozen=True, slots=True)
class Limit:
    """One assumption dropped."""

    define: str
    sentence: str
    breaks: str
    file: str
    defines: tuple[str, ...]


def lease_defines(timing: LeaseTiming) -> tuple[str, ...]:
    """The numbers of one lease, in units of 250 ms."""
    return (
        f"SESSION={timing.session_ms * UNITS_PER_S // 1000}",
        f"DEADLINE={round(timing.deadline_s * UNITS_PER_S)}",
        f"INTERVAL={round(timing.renewal_interval_s * UNITS_PER_S)}",
        f"ANSWER={round(timing.answer_limit_s * UNITS_PER_S)}",
        f"STALL={timing.zookeeper_sync_limit_ticks * 2}",
    )


LEASE = lease_defines(lease_timing(LEASES_S[0]))
# Renewals half a tick apart: not as the keeper sends them, but the rule that counts only every
# second one of them must then be needed, and enough.
LEASE_OFTEN = tuple("INTERVAL=1" if each.startswith("INTERVAL=") else each for each in LEASE)
SYNC = ("SYNC", "WRITES=1", "TIMELINES=1", "MOVES=1")
# Until the promotion is on record: who is promoted second must have what the first acknowledged.
GONE_BACK = ("SYNC", "PLANNED", "WRITES=1", "TIMELINES=2", "MOVES=0")
JUST_MOVED = (*GONE_BACK, "JUST_MOVED")

INSTANCES = (
    *(
        Instance(
            f"LEASE_{lease_s:g}S",
            f"the lease's arithmetic, `lease: {lease_s:g}s`",
            "lease.pml",
            lease_defines(lease_timing(lease_s)),
        )
        for lease_s in LEASES_S
    ),
    Instance("LEASE_OFTEN", "the same, 6 s, renewed twice as often", "lease.pml", LEASE_OFTEN),
    Instance(
        "BASE",
        "a write, a promotion: the bounds of the mutations",
        "protocol.pml",
        ("WRITES=1", "TIMELINES=1", "MOVES=1"),
    ),
    Instance("SYNCHRONOUS", "a synchronous mode, without plans", "protocol.pml", SYNC),
    Instance(
        "JUST_MOVED",
        "the same right after a move: nobody promoted yet, two promotions, plans",
        "protocol.pml",
        JUST_MOVED,
    ),
    Instance(
        "GONE_BACK",
        "the same without a move: plans that go back, two promotions",
        "protocol.pml",
        GONE_BACK,
    ),
)

# By name only (`--only`): no run of these has come to its end yet.
LARGE = (
    Instance(
        "WRITES",
        "two writes, one promotion",
        "protocol.pml",
        ("SORTED", "WRITES=2", "TIMELINES=1", "MOVES=1"),
    ),
    Instance(
        "FAILOVERS",
        "a write, two promotions: a local failover before or after the move",
        "protocol.pml",
        ("SORTED", "WRITES=1", "TIMELINES=2", "MOVES=1"),
    ),
    Instance(
        "SYNCHRONOUS_PLANNED",
        "a synchronous mode, with plans",
        "protocol.pml",
        ("PLANNED", *SYNC),
    ),
)

# For a test: seconds, not minutes.
QUICK = (
    Instance(
        "QUICK",
        "one host may write, nobody is promoted",
        "protocol.pml",
        ("WRITES=1", "TIMELINES=0", "MOVES=1"),
    ),
)

MUTATIONS = (
    Mutation("NO_PERMIT", "promotion without a permit", "I1_single_writer"),
    Mutation("NO_START_BARRIER", "a start in place asks nobody", "I2_proof"),
    Mutation("PERMIT_BY_A_READ", "the permit does not check `state`", "I1_active_site"),
    Mutation(
        "PERMIT_IGNORES_LAST_WRITER",
        "the permit does not check `last_writer`",
        "I3_start_goes_on_with_the_newest_branch",
    ),
    Mutation(
        "START_BY_ANOTHER",
        "a start in place by a host that did not write last",
        "I3_start_goes_on_with_the_newest_branch",
    ),
    Mutation(
        "RENEWALS_TOO_CLOSE",
        "two renewals less than a tick apart both count, where they are sent twice as often",
        "I1_deadline_before_session_end",
        "lease.pml",
        LEASE_OFTEN,
    ),
    Mutation("LATE_ANSWER_GRANTS", "a yes after the deadline grants", "I2_proof"),
    Mutation("RENEWAL_ON_THE_CLAIM", "renewal on the claim instead of the token", "I1_active_site"),
    Mutation("SESSION_TOO_SHORT", "session shorter than deadline and kill", "I2_proof"),
    Mutation(
        "SESSION_TOO_SHORT",
        "the same with the real numbers",
        "I1_deadline_before_session_end",
        "lease.pml",
        LEASE,
    ),
    Mutation(
        "DEADLINE_FROM_NEWEST",
        "deadline from the newest renewal",
        "I1_deadline_before_session_end",
        "lease.pml",
        LEASE,
    ),
    Mutation(
        "DEADLINE_FROM_A_READ",
        "deadline counted from a read",
        "I1_deadline_before_session_end",
        "lease.pml",
        LEASE,
    ),
    Mutation("GRANT_FORGOTTEN", "grant forgotten before the server is gone", "I2_proof"),
    Mutation("CLAIM_DELETED_EARLY", "claim deleted before PostgreSQL is stopped", "I2_proof"),
    Mutation(
        "OWNER_FROM_MEMORY", "whose claim it is, told from memory, not by its owner", "I2_proof"
    ),
    Mutation(
        "NO_PROOF_OF_NO_CLAIM",
        "takeover without proof that the claim is gone (nor `last_writer`)",
        "I2_proof",
    ),
    Mutation(
        "MOVE_IGNORES_LAST_WRITER",
        "takeover does not check that nobody got the claim since",
        "I3_loss_was_judged",
    ),
    Mutation("EPOCH_NOT_CHECKED", "a controller does not check `state`", "I2_epoch_rises"),
    Mutation("NO_FENCE", "no fence", "fence_holds"),
    Mutation("FENCE_WITHOUT_CHILD", "fence without a child", "fence_holds"),
    Mutation(
        "QUARANTINE_WITH_ADDRESS", "quarantine with an upstream address", "quarantine_keeps_wal"
    ),
    Mutation("NO_MIN_LSN", "no `min_lsn`", "I3_promoted_has_what_was_judged"),
    Mutation(
        "PLAN_NOT_CHECKED",
        "a permit although a plan stands",
        "I3_promoted_has_what_was_judged",
    ),
    Mutation(
        "SWITCHOVER_WITHOUT_PROOF",
        'switchover by "shut down" in the control file, without the stopped-proof',
        "I3_promoted_has_what_was_judged",
    ),
    Mutation(
        "ABANDON_WITHOUT_MIN_LSN",
        "a plan abandoned without the end of WAL of its proof",
        "I3_promoted_has_what_was_judged",
    ),
    Mutation(
        "ABANDON_IGNORES_NEW_PROOF",
        "a plan abandoned past a proof that has just come",
        "I3_promoted_has_what_was_judged",
    ),
    Mutation(
        "LOOKED_BEFORE_CLAIM_GONE",
        "`min_lsn` from a look before the claim had gone",
        "I3_loss_was_judged",
        defines=SYNC,
    ),
    Mutation(
        "RECORD_BEFORE_IN_FORCE",
        "`in_sync` written in the wrong order: on record before the list is in force",
        "I3_in_sync_loses_nothing",
        defines=SYNC,
    ),
    Mutation(
        "LIST_SHRINKS_BEFORE_RECORD",
        "`in_sync` written in the wrong order: off the list before off the record",
        "I3_in_sync_loses_nothing",
        defines=SYNC,
    ),
    Mutation(
        "PERMIT_NOT_IN_SYNC",
        "a permit for a host that is not on record",
        "I3_in_sync_loses_nothing",
        defines=SYNC,
    ),
    Mutation(
        "FIRST_PERMIT_BINDS_NOBODY",
        "until the promotion is on record whoever has `min_lsn` gets a permit, after a move",
        "I3_in_sync_loses_nothing",
        defines=("SYNC", "WRITES=1", "TIMELINES=2", "MOVES=1"),
    ),
    Mutation(
        "FIRST_PERMIT_BINDS_NOBODY",
        "the same, after a plan that went back",
        "I3_in_sync_loses_nothing",
        defines=GONE_BACK,
    ),
    Mutation(
        "RETURNED_THOUGH_USED",
        "a permit that was used binds nobody any more once the claim is given back",
        "I3_in_sync_loses_nothing",
        defines=JUST_MOVED,
    ),
    Mutation(
        "SECOND_PERMIT_COUNTS_AS_FIRST",
        "a second permit that was not used takes what the first one binds with it",
        "I3_in_sync_loses_nothing",
        defines=JUST_MOVED,
    ),
)

LIMITS = (
    Limit(
        "ONE_WAY",
        "the link between ZooKeeper's leader and the follower breaks in one direction only",
        "I1_deadline_before_session_end",
        "lease.pml",
        LEASE,
    ),
    Limit(
        "FROZEN_WORKER",
        "the guard's worker sends its renewals when it likes",
        "I1_deadline_before_session_end",
        "lease.pml",
        LEASE,
    ),
)
