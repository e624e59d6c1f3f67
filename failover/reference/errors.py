"""docs/errors.md (steps, why a guard says no, why it kills), and the exit codes in docs/cli.md."""

from __future__ import annotations

from failover.cli.exit_codes import ExitCode
from failover.guard.logic import KillReason
from failover.guard.permits import RefusalReason, Refuse
from failover.planning.plan import StepName
from failover.reference.markdown import table

BEGIN, END = "<!-- exit codes: `make reference` -->", "<!-- end of exit codes -->"

_TOP = """\
# Errors, steps and refusals

Made from `failover/reference/errors.py` by `make reference`; do not edit.

Every error of a command goes to stderr as *what*, *where* and *what to do*, without a traceback; a
traceback is a bug.
"""

EXIT_CODES = {
    ExitCode.OK: ("ok", ""),
    ExitCode.FINDINGS: (
        "it worked, and what it found is not healthy (a verdict other than `healthy`, a "
        "difference, a limit not kept)",
        "the output says what; [verdicts](verdicts.md), [checks](checks.md)",
    ),
    ExitCode.BAD_INPUT: (
        "the command line or `failover.yaml` is wrong; every mistake is listed",
        "[commands](commands.md), [configuration](configuration.md)",
    ),
    ExitCode.UNREACHABLE: (
        "the ZooKeeper ensemble gives no answer (said within 5 s, with the servers tried), or no "
        "controller takes up in time what it was asked for: the message says which",
        "[quorum-lost](operations/quorum-lost.md)",
    ),
    ExitCode.STATE_UNREADABLE: (
        "the `state` znode is absent or cannot be understood; nothing is decided",
        "`failover init` where there never was one; else [upgrade](operations/upgrade.md)",
    ),
    ExitCode.REFUSED: (
        "refused, or held: understood and not carried out, with the reasons",
        "[gates](gates.md)",
    ),
    ExitCode.FORBIDDEN: (
        "ZooKeeper, or the controller, does not let the role of this key do that; or this user "
        "cannot read the key or the certificate, and nobody was asked",
        "[access](operations/access.md), [certificates](operations/certificates.md)",
    ),
    ExitCode.INTERRUPTED: ("interrupted (Ctrl-C), also the usual end of `--watch`", ""),
}

STEPS = {
    StepName.TAKEOVER: "the other site becomes active: proof, fence, quarantine, release, epoch",
    StepName.RECORD_PROMOTION: "the epoch's first promotion is put on record",
    StepName.REINSTATE: "the quarantine of the lost site is lifted; it follows",
    StepName.FOLLOW: "the other site is told who the primary is now",
    StepName.RESTART_ZOOKEEPER: "ZooKeeper's leader is moved out of a data site",
    StepName.BEGIN_TAKEOVER: "a takeover is begun whose guards stop what they hold a claim for",
    StepName.BEGIN_SWITCHOVER: "a planned move is begun: the old site gets no permit any more",
    StepName.SWITCHOVER: "it is committed: the old site is stopped and everything replayed",
    StepName.ABANDON_SWITCHOVER: "a plan (of either kind) goes back",
    StepName.REFUSE_REQUEST: "an operator's request is refused, with all reasons",
    StepName.DROP_SYNCHRONOUS: "commits do not wait for a host any more, on record",
    StepName.RECORD_SYNCHRONOUS: "a host has everything, on record",
    StepName.LIST_SYNCHRONOUS: "commits are made to wait for a host",
    StepName.NAME_CANDIDATE: "Patroni is told which host may be promoted, by its `failover` key",
}

REFUSALS = {
    RefusalReason.NOT_ACTIVE_SITE: ("another site is active", "nothing: that is what it is for"),
    RefusalReason.PLAN_UNDER_WAY: ("a plan forbids this site to write", "wait for its end"),
    RefusalReason.BEHIND: (
        "its WAL ends before what the present epoch needs",
        "another host of the site has it, and Patroni is told so; else `failover takeover`",
    ),
    RefusalReason.WAL_END_UNKNOWN: ("the end of its WAL cannot be read", "its guard's journal"),
    RefusalReason.TIMELINE_UNKNOWN: (
        "control file or pg_wal do not say which timelines it knows",
        "its guard's journal",
    ),
    RefusalReason.NOT_IN_SYNC: (
        "the mode is synchronous, and it may lack what was acknowledged",
        "[not_in_sync](operations/protection-degraded.md#a-host-is-refused-with-not_in_sync)",
    ),
    RefusalReason.NOT_LAST_WRITER: (
        "a start in place, and another host has written since",
        "nothing: Patroni starts it as a replica, and may promote it",
    ),
    RefusalReason.STATE_UNREADABLE: (
        "`state` is gone or not understood, or does not know the cluster",
        "see the verdict `state_unreadable`; a new cluster: "
        "[add-cluster](operations/add-cluster.md)",
    ),
    RefusalReason.RECOVERY_TARGET: (
        "a recovery target is set: the server would end in the past, writable",
        "take the setting out",
    ),
    RefusalReason.CLAIM_HELD: ("another host holds the claim", "wait: a lease at most"),
    RefusalReason.NO_LEASE: ("two renewals of its session are not committed yet", "wait: seconds"),
    RefusalReason.NO_ANSWER: (
        "ZooKeeper, or the guard's worker, gives no answer",
        "[guard-down](operations/guard-down.md), [quorum-lost](operations/quorum-lost.md)",
    ),
}

KILLS = {
    KillReason.DEADLINE: "no committed renewal in time",
    KillReason.SESSION_LOST: "the session that held the claim is over",
    KillReason.CLAIM_LOST: "somebody removed the claim",
    KillReason.LEADER_KEY_LOST: "Patroni's leader key names another member, or nobody",
    KillReason.NO_GRANT: "out of recovery without a permit, whoever started it",
    KillReason.PLAN: "a plan has the guard stop it, and a fast stop was not enough",
}


_STEPS = """\
## Steps

What a controller does, one at a time; in `explain`, in metrics (`step`), and held ones in the
history.
"""
_REFUSALS = """\
## Why a host gets no permit

In Patroni's log (lines of `failover guard`), in the guard's (`permit`), and in
`failover_guard_permits_total` (`reason`). Those that pass by themselves within seconds are waited
for.
"""
_KILLS = """\
## Why a guard killed its server

In its log and in `failover_guard_kills_total`; what to do:
[guard-down](operations/guard-down.md#it-killed-a-server).
"""


def exit_codes() -> str:
    """The table alone."""
    rows = ((str(int(code)), meaning, then) for code, (meaning, then) in EXIT_CODES.items())
    return table(("code", "meaning", "then"), rows)


def page() -> str:
    """The whole page."""
    steps = ((f"`{step}`", meaning) for step, meaning in STEPS.items())
    refusals = (
        (f"`{reason}`", meaning, "yes" if Refuse(reason, "").passes_by_itself else "", do)
        for reason, (meaning, do) in REFUSALS.items()
    )
    kills = ((f"`{reason}`", meaning) for reason, meaning in KILLS.items())
    return "\n".join(
        (
            _TOP,
            "Exit codes: [the command line](cli.md#exit-codes).\n",
            _STEPS,
            table(("step", "does"), steps),
            _REFUSALS,
            table(("reason", "means", "passes by itself", "what to do"), refusals),
            _KILLS,
            table(("reason", "means"), kills),
        )
    )
