"""docs/verdicts.md: every row of the verdict table, with what a human does about it.

``tests/unit/test_reference.py`` demands a line here for every verdict; `make reference` writes the
page anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from failover.health.verdict import RULES, Consequence, Rule
from failover.reference.markdown import link, table

BEGIN, END = "<!-- verdicts that hold: `make reference` -->", "<!-- end of verdicts -->"

_TOP = """\
# Verdicts

Made from `failover/health/verdict.py` and `failover/reference/verdicts.py` by `make reference`; do
not edit.

The verdict is the named scenario that matches what is seen. The rows are in order: the first that
matches is the verdict, and of a group that serves, `failover status` names those further down that
match as well. A verdict asks for a step or for none; whether the step may be made, its
[gates](gates.md) say.

**page**: a human is needed now (metric `failover_page`, alert `FailoverHumanNeeded`).
"""

_ASKS = {
    Consequence.NOTHING: "nothing",
    Consequence.HOLD: "nothing: it holds",
    Consequence.TAKEOVER: "the takeover",
    Consequence.RECORD_PROMOTION: "the promotion on record",
    Consequence.REINSTATE: "the reinstatement",
    Consequence.FOLLOW: "the other site told whom to follow",
    Consequence.RESTART_ZOOKEEPER: "that ZooKeeper server restarted",
    Consequence.ANSWER_REQUEST: "the request answered",
    Consequence.SWITCHOVER: "the switchover ended, or taken back",
    Consequence.BEGIN_TAKEOVER: "a stop by the guards, then the takeover",
    Consequence.END_TAKEOVER: "that takeover ended, or taken back",
    Consequence.NAME_CANDIDATE: "Patroni told whom to promote",
    Consequence.PROTECT: "the list of who is waited for, or the record, changed",
}


@dataclass(frozen=True, slots=True)
class Advice:
    """What a human does, and the runbook under docs/ ("": none is needed)."""

    do: str
    runbook: str = ""


_O = "operations/"
ADVICE: dict[str, Advice] = {
    "keys_refused": Advice(
        "Compare /etc/failover/secrets on this controller's host with what was handed out last. "
        "ZooKeeper itself is well, so break no glass: it is this key, or the list of the znode "
        "that is named.",
        f"{_O}access.md",
    ),
    "quorum_lost": Advice(
        "Restore a majority of the ZooKeeper servers. Writes stop until then.",
        f"{_O}quorum-lost.md",
    ),
    "state_unreadable": Advice(
        "Do not edit it. Compare the versions of failover on all hosts; `failover history` shows "
        "the last good epoch.",
        f"{_O}upgrade.md",
    ),
    "not_initialised": Advice(
        "Only where the group never ran: `failover init`, once. Else the record was lost: call.",
        f"{_O}guard-down.md",
    ),
    "unarmed_move_requested": Advice(
        "Wait for the answer: seconds. `failover adopt arm` first; until then Patroni's own tools.",
        f"{_O}adopt.md",
    ),
    "not_armed": Advice(
        "Nothing has to be done. `failover adopt arm` when the differences are gone.",
        f"{_O}adopt.md",
    ),
    "split_brain_suspected": Advice(
        "Find out who holds the claim, and fence who writes without it.", f"{_O}two-writers.md"
    ),
    "primary_without_claim": Advice(
        "The guard on that host is dead or was never armed: start it; it kills the server or gets "
        "a permit.",
        f"{_O}two-writers.md",
    ),
    "takeover_requested": Advice("Wait for the answer: seconds.", f"{_O}takeover.md"),
    "switchover_stuck": Advice(
        "`failover explain` names what cannot be read, so what it would go back to is not known; "
        "writes wait until it can.",
        f"{_O}switchover.md#it-neither-ends-nor-goes-back",
    ),
    "switchover_in_progress": Advice(
        "Wait: it ends by itself, at its deadline at the latest.", f"{_O}switchover.md"
    ),
    "guards_stop_stuck": Advice(
        "`failover explain` names what cannot be read.",
        f"{_O}switchover.md#it-neither-ends-nor-goes-back",
    ),
    "guards_stop": Advice(
        "Wait: it ends by itself, at its deadline at the latest.", f"{_O}gray-failure.md"
    ),
    "protection_outdated": Advice(
        "Wait a moment. Where it stays, `failover explain` names the gate.",
        f"{_O}protection-degraded.md",
    ),
    "permitted_host_outrun": Advice(
        "Nothing: Patroni promotes the host that it is told.",
        f"{_O}protection-degraded.md#a-host-is-refused-with-not_in_sync",
    ),
    "takeover_stuck": Advice(
        "Patroni's log at that site. Where that site is lost as well: the page says whether the "
        "one before it can take over by hand.",
        f"{_O}takeover.md#afterwards",
    ),
    "takeover_in_progress": Advice("Wait for the promotion: about a second.", f"{_O}site-lost.md"),
    "switchover_requested": Advice("Wait for the answer: seconds.", f"{_O}switchover.md"),
    "patroni_paused": Advice(
        "`patronictl resume`, when whoever paused it is done.", f"{_O}hold.md"
    ),
    "site_isolated": Advice("Wait: at most one lease.", f"{_O}site-lost.md"),
    "site_lost": Advice(
        "A takeover is made, or waits for a gate: `failover explain` names it.", f"{_O}site-lost.md"
    ),
    "primary_down_local_recovery": Advice(
        "Wait `local_recovery` (10 s by default); then a takeover becomes possible.",
        f"{_O}site-lost.md",
    ),
    "local_recovery_failed": Advice(
        "A takeover is made, or waits for a gate: `failover explain` names it.", f"{_O}site-lost.md"
    ),
    "group_partly_down": Advice(
        "Repair the cluster that is down; the clusters move together or not at all.",
        f"{_O}no-writer.md",
    ),
    "primary_unusable": Advice(
        "Where every observer agrees, the guard there is asked to stop it. Else look at that host.",
        f"{_O}gray-failure.md",
    ),
    "standby_scope_altered": Advice(
        "`patronictl show-config` of that scope. In quarantine on record: write no `host` into "
        "it; else put `standby_cluster` back as it was.",
        f"{_O}standby-not-ready.md",
    ),
    "standby_upstream_outdated": Advice("Nothing: it is rewritten at once.", f"{_O}hold.md"),
    "standby_site_lost": Advice(
        "Restore that site, its ZooKeeper server first; the active site writes on.",
        f"{_O}standby-not-ready.md",
    ),
    "link_down": Advice(
        "Restore the link between the data sites; the active site writes on.",
        f"{_O}standby-not-ready.md",
    ),
    "reinstating": Advice(
        "Wait for the salvage. Touch nothing on the returned hosts.", f"{_O}reinstate.md"
    ),
    "standby_not_streaming": Advice(
        "Patroni's and PostgreSQL's log over there; a new copy where the WAL is gone.",
        f"{_O}reinstate.md#when-the-wal-is-gone",
    ),
    "site_unproven": Advice(
        "`failover break-glass done --reason TEXT`, when every ZooKeeper server serves again.",
        f"{_O}two-sites-lost.md",
    ),
    "protection_degraded": Advice(
        "Find out who is waited for, and why he does not keep up.", f"{_O}protection-degraded.md"
    ),
    "witness_lost": Advice(
        "Restore it today: one more lost site would stop the service.", f"{_O}witness-lost.md"
    ),
    "zookeeper_degraded": Advice("Restore that server.", f"{_O}quorum-lost.md#look"),
    "zookeeper_leader_misplaced": Advice(
        "Nothing where `zookeeper_restart_command` is set; else restart that server.",
        f"{_O}zookeeper-leader-misplaced.md",
    ),
    "controller_lost": Advice("Restore that controller.", f"{_O}controller-down.md"),
    "database_host_lost": Advice("Restore that host.", f"{_O}guard-down.md"),
    "patroni_missing": Advice(
        "`systemctl status patroni` on that host, and its journal.", f"{_O}guard-down.md"
    ),
    "guard_missing": Advice(
        "`systemctl status failover-guard` on that host, and its journal.", f"{_O}guard-down.md"
    ),
    "replica_not_streaming": Advice(
        "Patroni's log there; a new copy where the WAL it needs is gone.",
        f"{_O}reinstate.md#when-the-wal-is-gone",
    ),
    "way_out_found": Advice(
        "`failover residency check` says what to do about each.", f"{_O}residency-finding.md"
    ),
    "healthy": Advice("Nothing."),
    "insufficient_evidence": Advice(
        "Restore what `failover explain` lists as missing.", f"{_O}hold.md"
    ),
}


def page() -> str:
    """The whole page."""
    heads = ("verdict", "sentence", "asks for", "page", "what to do", "runbook")
    return f"{_TOP}\n{table(heads, map(_row, RULES))}"


def _row(rule: Rule) -> tuple[str, ...]:
    sentence = rule.sentence.format(active="the active site", standby="the other site")
    advice = ADVICE[rule.code]
    return (
        f"`{rule.code}`",
        sentence[0].upper() + sentence[1:],
        _ASKS[rule.consequence],
        "**page**" if rule.page else "",
        advice.do,
        link(advice.runbook),
    )


def holding_table() -> str:
    """Those that page or hold, for a page in docs/operations/."""
    rows = (
        (f"`{rule.code}`", ADVICE[rule.code].do, link(ADVICE[rule.code].runbook))
        for rule in RULES
        if rule.page or rule.consequence is Consequence.HOLD
    )
    return table(("verdict", "what to do", "runbook"), rows).replace("](operations/", "](")
