"""Every metric of a controller: name, kind, meaning, labels. Pure.

Invariant: they stand here and nowhere else; docs/metrics.md is made from it. A value that is not
known is not exported: absent, never 0.
"""

from __future__ import annotations

from failover.metrics.table import Kind, Metric
from failover.model import Invariant

_SAFE = Invariant.SINGLE_WRITER
_LOSS = Invariant.NOTHING_LOST_SILENTLY
_COUNTRY = Invariant.IN_COUNTRY
_DOUBT = Invariant.DOUBT_MEANS_HOLD
_HARM = Invariant.ONE_FAULT_NO_HARM
_PROOF = Invariant.PROOF_BEFORE_PROMOTION
_TURN_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0, 12.0, 30.0, 60.0)
_PROBE_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)

CONSTANT_LABELS = ("group", "reader")


def _gauge(name: str, text: str, *labels: str) -> Metric:
    return Metric(f"failover_{name}", Kind.GAUGE, text, labels)


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(f"failover_{name}", Kind.COUNTER, text, labels)


def _histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Metric:
    return Metric(f"failover_{name}", Kind.HISTOGRAM, text, labels, buckets)


_DECISION = (
    _gauge("verdict", "1 for the present verdict.", "code"),
    _gauge("page", f"1 while a human is needed now ({_DOUBT})."),
    _gauge(
        "gate_passing",
        "Preconditions of a takeover, and of the step that is wanted where it is another: "
        "1 passes, 0 does not, -1 unknown, which holds as firmly.",
        "step",
        "gate",
        "cluster",
        "invariant",
    ),
    _gauge("hold", f"1 while a wanted step is held ({_DOUBT}).", "step"),
    _gauge("missing_evidence", f"Facts that nobody could give ({_DOUBT})."),
    _gauge("automation", "1 for who decides.", "mode"),
    _gauge("cooldown_remaining_seconds", "No other takeover by itself for so long; 0: none."),
    _gauge("pause_remaining_seconds", "An operator's pause of takeovers; 0: none."),
    _counter("steps_total", f"Steps that were tried, by outcome ({_PROOF}).", "step", "outcome"),
    _counter("takeovers_total", f"Takeovers committed by this process ({_PROOF})."),
    _counter(
        "requests_total",
        "Operators' requests that this process saw come to an end, by outcome.",
        "kind",
        "outcome",
    ),
    _gauge("leader", "1 while this controller leads."),
)

_ARRANGEMENT = (
    _gauge("epoch", f"Number of the present arrangement ({_SAFE})."),
    _gauge("active_site", "1 for the site that may write.", "site"),
    _gauge(
        "lease_held",
        f"1 while a host holds the writer claim ({_SAFE}).",
        "cluster",
    ),
    _gauge(
        "lease_remaining_seconds",
        "How long the holder's grant still held without a renewal, when its guard was last asked "
        f"({_SAFE}).",
        "cluster",
    ),
    _gauge(
        "lease_absent_seconds",
        f"How long there has been no writer claim ({_SAFE}).",
        "cluster",
    ),
    _gauge(
        "host_reached",
        "1 while a living observer reaches the database host, 0 while none does.",
        "cluster",
        "site",
        "host",
    ),
    _gauge(
        "last_proven_timestamp_seconds",
        "When a change of the active site last came to its end, planned or not; 0: never. The age "
        f"of readiness is the time since ({_PROOF}).",
    ),
    _gauge(
        "last_move_timestamp_seconds",
        "When the newest change of the active site on record was committed.",
        "kind",
    ),
    _gauge(
        "last_move_phase_seconds",
        "How long each finished phase of the newest change of the active site took.",
        "kind",
        "phase",
    ),
)

_DATA = (
    _gauge("protection", f"1 for the protection mode ({_LOSS}).", "mode"),
    _gauge(
        "in_sync",
        "1 while every acknowledged commit is at the other site as well, on record; absent in an "
        f"asynchronous mode ({_LOSS}).",
    ),
    _gauge(
        "replication_lag_bytes",
        f"WAL of the primary that a standby on its timeline has not received ({_LOSS}).",
        "cluster",
        "host",
    ),
    _gauge(
        "replay_lag_bytes",
        "WAL that a standby has received and not replayed.",
        "cluster",
        "host",
    ),
    _gauge(
        "replication_lag_seconds",
        f"How long ago the primary was where the other site's standby leader is now ({_LOSS}).",
        "cluster",
    ),
    _gauge(
        "loss_estimate_bytes",
        f"What a takeover now would lose, at most; the isolation window included ({_LOSS}).",
        "cluster",
    ),
    _gauge(
        "loss_estimate_seconds",
        f"The same in seconds of acknowledged commits ({_LOSS}).",
        "cluster",
    ),
    _gauge("loss_budget_bytes", f"What automation may give up ({_LOSS})."),
    _gauge("loss_budget_seconds", f"The same in seconds of acknowledged commits ({_LOSS})."),
    _gauge(
        "residency_findings",
        f"Ways out of the country that stand open ({_COUNTRY}); a kind of which none is known is "
        "0 where every host was looked at, else absent.",
        "kind",
    ),
    _gauge(
        "residency_gaps",
        "Database hosts that are not looked at for ways out of the country, so what stands open "
        f"there is not known ({_COUNTRY}).",
    ),
    _gauge(
        "residency_scan_age_seconds",
        f"Since a database host was last looked at for ways out ({_COUNTRY}).",
        "host",
    ),
    _counter(
        "residency_cuts_total",
        "Strangers whose sessions were ended, as this process put it on record: each once a "
        f"minute at most ({_COUNTRY}).",
        "kind",
        "host",
    ),
)

_EYES = (
    _gauge("observer_age_seconds", "Since an observer said news.", "site"),
    _histogram("probe_seconds", "How long the answers of one round took.", _PROBE_S, "part"),
    _counter(
        "probe_failures_total",
        "Questions of this vantage point that got no answer, or one that says no.",
        "target",
        "part",
        "kind",
    ),
    _gauge("probe_round_seconds", "Duration of the last round of probes."),
    _gauge(
        "zookeeper_leader",
        f"1 for the leading ZooKeeper server ({_HARM}).",
        "server",
        "site",
    ),
    _gauge(
        "zookeeper_leader_misplaced",
        f"1 while the ensemble's leader stands in a data site ({_HARM}).",
    ),
    _gauge(
        "zookeeper_serving",
        "1 while a living observer is served by the ZooKeeper server, 0 while none is.",
        "server",
        "site",
    ),
    _gauge("zookeeper_reachable", "1 while ZooKeeper answers this process."),
)

_PROVEN = (
    _gauge(
        "certificate_expires_timestamp_seconds",
        "When the certificate ends that the server shows where its wire has TLS.",
        "target",
        "wire",
    ),
    _gauge(
        "certificate_believed",
        "1 while the server proves itself, 0 while it answers and does not.",
        "target",
        "wire",
    ),
)

_TOLD = (
    _counter("notifications_delivered_total", "Notifications that a target has taken.", "target"),
    _counter("notifications_failed_total", "Tries that a target has not taken.", "target"),
    _counter(
        "notifications_left_out_total",
        "Entries of the history of which a target was not told, because more than 1000 waited.",
        "target",
    ),
    _gauge(
        "notifications_pending",
        "Notifications that wait for a target, as the leading controller last read them.",
        "target",
    ),
    _gauge(
        "notifications_oldest_pending_timestamp_seconds",
        "When what the oldest of them tells of was put on record; absent: none waits.",
        "target",
    ),
)

_PROCESS = (
    _histogram(
        "takeover_decision_seconds",
        "From this controller's first sight of the missing claim to the committed takeover.",
        _TURN_S,
    ),
    _histogram("tick_seconds", "Duration of one turn of the controller.", _TURN_S),
    _gauge("last_tick_timestamp_seconds", "When the last turn without a bug ended."),
    _counter("tick_failures_total", "Turns that ended with a bug."),
    _gauge("build_info", "1, with the version of this program.", "version"),
)

CHAPTERS: tuple[tuple[str, tuple[Metric, ...]], ...] = (
    ("What is decided", _DECISION),
    ("Who may write", _ARRANGEMENT),
    ("What would be lost", _DATA),
    ("What is seen, and from where", _EYES),
    ("Who proves himself", _PROVEN),
    ("Who is told", _TOLD),
    ("The process itself", _PROCESS),
)
METRICS: tuple[Metric, ...] = tuple(metric for _, part in CHAPTERS for metric in part)
