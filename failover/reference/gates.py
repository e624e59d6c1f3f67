"""docs/gates.md: every precondition of every step, with when it passes and what to do if not.

``tests/unit/test_reference.py`` demands a row for every gate in the source; `make reference` writes
the page, and the table in docs/operations/hold.md, anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from failover.reference.markdown import table

BEGIN, END = "<!-- gates of a takeover: `make reference` -->", "<!-- end of gates -->"

_TOP = """\
# Gates

Made from `failover/reference/gates.py` by `make reference`; do not edit.

A gate is one precondition of a step, with what was seen. It passes, it does not, or it is unknown,
which holds as firmly. `failover explain` shows those of the step that is wanted, in words, each
with its [invariant](architecture.md#invariants); metric `failover_gate_passing`. How to read it:
[hold](operations/hold.md).
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One gate. Links are as in docs/."""

    name: str
    passes: str
    otherwise: str


TAKEOVER = (
    Row("state_readable", "`state` was read and understood", "see the verdict `state_unreadable`"),
    Row(
        "nothing_under_way",
        "no plan stands, the last promotion is on record",
        "wait for the promotion; look at the new site's Patroni",
    ),
    Row(
        "automation_auto",
        "`automation: auto` in `state`",
        "`observe` (the installed default) and `manual` only say what they would do: "
        "a site that is lost is taken over from by hand (`failover takeover`); `failover "
        "automation auto` refuses then, since not every check is in order",
    ),
    Row(
        "automation_not_paused",
        "nobody paused the automation",
        "the time left is in the evidence; `failover pause --end --reason TEXT`",
    ),
    Row(
        "no_cooldown",
        "`cooldown` has passed since the last takeover",
        "a second takeover so soon wants a human's eyes; then `failover acknowledge`",
    ),
    Row(
        "living_observer",
        "at least one controller publishes what it sees",
        "[start the controllers](operations/controller-down.md)",
    ),
    Row(
        "claims_prove",
        "this ensemble is the one that the active site asks",
        "the quorum was rebuilt without that site: [two-sites-lost](operations/two-sites-lost.md)",
    ),
    Row(
        "claim_gone",
        "no writer claim",
        "the lease runs; it ends by itself when the site is cut off",
    ),
    Row("local_recovery_over", "no host there could take the lease, or its time is over", "wait"),
    Row(
        "no_working_primary",
        "nobody reaches a working primary there",
        "then there is nothing to take over",
    ),
    Row(
        "old_scope_not_paused",
        "Patroni of the active site is not paused",
        "`patronictl resume`, when whoever paused it is done",
    ),
    Row(
        "old_scope_not_fenced",
        "the old scope is an ordinary cluster",
        "the record and Patroni disagree: a human; where a site still stands in quarantine, "
        "[reinstate](operations/reinstate.md)",
    ),
    Row(
        "new_scope_follows",
        "the new scope is a standby cluster, on record and in fact",
        "it is in quarantine: [reinstate](operations/reinstate.md)",
    ),
    Row(
        "new_scope_not_paused",
        "Patroni of the other site is not paused",
        "`patronictl resume`, when whoever paused it is done",
    ),
    Row(
        "residency",
        "every candidate is in a declared network, and so is every host that `state` names",
        "correct `failover.yaml`, or the host",
    ),
    Row(
        "standby_leader_ready",
        "Patroni there has a standby leader, whose PostgreSQL did not go down since it was seen",
        "its Patroni log",
    ),
    Row(
        "received_wal_replayed",
        "all received WAL is replayed (to within 1 MiB: its end may be half a record), and the "
        "segment of its timeline is whole",
        "wait; a long query on the standby may delay it. Lost within moments of a local failover, "
        "before the new timeline had come: the standby leader cannot be promoted as it is",
    ),
    Row(
        "seen_since_the_claim",
        "in sync: the standby leader was looked at after the claim was gone",
        "wait for the next look, a second or two",
    ),
    Row(
        "protection",
        "the protection mode allows it",
        "`max-protection` out of sync never moves by itself",
    ),
    Row(
        "loss_within_budget",
        "the estimate is inside `loss_budget`",
        "nobody can say what would be lost, or it is too much: a human's decision "
        "([takeover](operations/takeover.md)). In sync on record: who leads there is not who has "
        "everything; wait until it is level, or hand the leadership there to the host that has",
    ),
)

_BY_HAND = (
    Row(
        "request_in_time",
        "a leading controller took the request up within 10 s",
        "is a controller alive? `failover status`",
    ),
    Row(
        "to_the_other_data_site",
        "the site that is asked for is the other data site",
        "it is active already, or holds no data",
    ),
    Row(
        "group_armed",
        "every guard of an adopted group was seen to be armed",
        "`failover adopt arm` ([adopt](operations/adopt.md)); until then Patroni alone decides",
    ),
    Row("no_plan_stands", "no plan stands", "wait: it ends or goes back at its deadline"),
    Row(
        "role_allows",
        "what a human answers for is asked for with an approver's key (`zookeeper.acl`)",
        "[access](operations/access.md)",
    ),
    Row("reason_given", "what a human answers for has a reason", "say it with `--reason`"),
    Row(
        "old_site_cannot_write",
        "Patroni of the old site is not paused and the quorum is the one that it asks, or a human "
        "says that the site is fenced",
        "`--i-have-fenced SITE`, once it is",
    ),
    Row(
        "loss_accepted",
        "nothing would be lost, or what would be is accepted",
        "`--accept-data-loss`; the amount is in the evidence",
    ),
)

_STOP = (
    Row(
        "database_useless", "some cluster has no working primary", "then nothing has to be stopped"
    ),
    Row(
        "everybody_agrees",
        "every living observer, one of them outside, reaches that guard and nothing of its "
        "PostgreSQL",
        "somebody sees less or more: [gray-failure](operations/gray-failure.md#what-it-waits-for)",
    ),
    Row(
        "not_begun_lately",
        "none was begun within `cooldown`",
        "it was tried, and went back; `failover acknowledge` ends that",
    ),
    Row(
        "guards_work",
        "the guards of the host that has to give the proof, and of the one that needs the permit, "
        "answer",
        "`systemctl status failover-guard` there",
    ),
    Row(
        "stopped_under_plan",
        "the guard has proved that no process of its server lives; for a switchover, that it was "
        "shut down and not killed",
        "wait for the proof, or for the deadline, at which all goes back",
    ),
    Row("claim_released", "the claim is gone", "wait: its guard deletes it with the proof"),
    Row(
        "replayed_past_the_stop",
        "the other site has replayed everything that was written before the stop",
        "wait: it replays",
    ),
    Row(
        "old_scope_follows",
        "the old scope is told to stream from the new site",
        "somebody has changed Patroni's configuration meanwhile; it goes back at the deadline",
    ),
)

_SWITCHOVER = (
    Row(
        "claim_held",
        "a host of the active site holds the claim",
        "there is no healthy primary: `failover explain`",
    ),
    Row(
        "primary_works",
        "the claim's holder is reached as a working primary",
        "there is no healthy primary: `failover explain`",
    ),
    Row(
        "old_site_in_country",
        "every host of the old site is in a declared network",
        "`failover config check`",
    ),
    Row(
        "standby_streams",
        "the other site streams",
        "`failover status` shows its lag; [standby-not-ready](operations/standby-not-ready.md)",
    ),
    Row(
        "standby_caught_up",
        "at most 16 MiB are left to send and to replay",
        "wait; `failover status` shows the lag",
    ),
    Row(
        "old_site_on_one_branch",
        "every host of the old site that is seen follows its primary",
        "after a local failover one is rewound within seconds; else its Patroni log",
    ),
    Row("request_waits", "an operator waits for the answer", "nothing: it is being answered"),
    Row(
        "no_way_on",
        "the plan's deadline has passed, or a server was killed under it",
        "wait for the deadline",
    ),
    Row(
        "old_scope_readable",
        "what the old scope is set back from is known",
        "`patronictl show-config` of that scope: it cannot be read",
    ),
)

_OTHERS = (
    Row(
        "automation_acts",
        "automation is `auto` or `manual`",
        "`observe` changes nothing: `failover automation manual --reason TEXT`",
    ),
    Row(
        "upstream_in_country",
        "the primary to stream from is in a declared network",
        "correct `failover.yaml`, or the host",
    ),
    Row(
        "scope_readable",
        "Patroni's configuration of the other site was read",
        "`patronictl show-config` of that scope",
    ),
    Row("standby_not_paused", "Patroni of the other site is not paused", "`patronictl resume`"),
    Row(
        "still_quarantined",
        "fence and quarantine are what the takeover left",
        "somebody has touched them: find out who; "
        "[reinstate-by-hand](operations/reinstate-by-hand.md)",
    ),
    Row(
        "one_host_salvaged",
        "the WAL of one returned host is copied",
        "wait, or [when the salvage fails](operations/reinstate-by-hand.md#when-the-salvage-fails)",
    ),
    Row(
        "restart_command",
        "`zookeeper_restart_command` is set",
        "[restart it by hand](operations/zookeeper-leader-misplaced.md#do)",
    ),
    Row(
        "zookeeper_restart_allowed",
        "no server was restarted just now (30 s, twice as long each time, up to 10 minutes)",
        "wait",
    ),
    Row(
        "ensemble_settled",
        "all observers have seen the same leader and servers for 10 s",
        "wait; if it does not settle, `failover zookeeper status`",
    ),
    Row("every_server_serves", "every ZooKeeper server serves", "`failover zookeeper status`"),
    Row(
        "every_observer_lives",
        "no controller is silent",
        "[controller-down](operations/controller-down.md)",
    ),
    Row(
        "active_scope_readable",
        "Patroni's configuration of the active site was read",
        "`patronictl show-config` of that scope",
    ),
    Row(
        "list_in_force",
        "the list of who is waited for is proved to be in force",
        "[protection-degraded](operations/protection-degraded.md)",
    ),
    Row(
        "active_scope_not_paused", "Patroni of the active site is not paused", "`patronictl resume`"
    ),
    Row(
        "last_writer_known",
        "there is a record of who wrote last: who gets a permit follows from it",
        "[no-writer](operations/no-writer.md)",
    ),
)

_RESEED = (
    Row(
        "not_the_writer",
        "the host holds no claim and is no working primary",
        "a primary is never copied anew",
    ),
    Row("no_grant", "its guard answers, and says that there is no grant", "restart the guard"),
    Row(
        "not_quarantined",
        "the scope is neither fenced nor in quarantine",
        "wait for the salvage and the reinstatement",
    ),
    Row(
        "nothing_to_lose",
        "its WAL is on the primary's history; where its site was ever taken over, salvaged since "
        "or following",
        "[when the salvage fails](operations/reinstate-by-hand.md#when-the-salvage-fails); "
        "start PostgreSQL",
    ),
    Row("not_the_leader", "it does not lead its scope, and somebody does", "another host first"),
    Row(
        "not_the_last_standby",
        "it does not stream, or another host of its site does",
        "repair the other one first",
    ),
    Row("not_paused", "Patroni of its site is not paused", "`patronictl resume`"),
    Row("patroni_answers", "Patroni on it answers", "start Patroni"),
    Row(
        "in_country",
        "every host between which data is copied is in a declared network",
        "correct `failover.yaml`",
    ),
)

CHAPTERS: tuple[tuple[str, str, tuple[Row, ...]], ...] = (
    ("Of a takeover", "Asked for every cluster of the group; all have to pass.", TAKEOVER),
    (
        "Of a takeover by hand, beside those",
        "What a human may answer for is not asked: [takeover](operations/takeover.md).",
        _BY_HAND,
    ),
    (
        "Of a stop by the guards, beside those",
        "A gray failure: the claim is held ([gray-failure](operations/gray-failure.md)).",
        _STOP,
    ),
    (
        "Of a switchover, beside those",
        "Of its beginning, of its commit and of its way back: "
        "[switchover](operations/switchover.md).",
        _SWITCHOVER,
    ),
    (
        "Of the other steps",
        "A promotion on record, following, the reinstatement, moving ZooKeeper's leader, and who "
        "is waited for.",
        _OTHERS,
    ),
    (
        "Of `failover reseed`",
        "[Reseed](operations/reinstate.md#when-the-wal-is-gone); all reasons are given at once.",
        _RESEED,
    ),
)


def page() -> str:
    """The whole page."""
    chapters = (f"## {title}\n\n{text}\n\n{_table(rows)}" for title, text, rows in CHAPTERS)
    return "\n".join([_TOP, *chapters])


def takeover_table() -> str:
    """Those of a takeover, for a page in docs/operations/."""
    return _table(TAKEOVER).replace("](operations/", "](")


def _table(rows: tuple[Row, ...]) -> str:
    cells = ((f"`{row.name}`", row.passes, row.otherwise) for row in rows)
    return table(("gate", "passes when", "where it does not"), cells)
