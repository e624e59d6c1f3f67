"""failover explain: gates, what blocks, what comes next; its JSON, its exit codes."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import asdict, replace

import pytest
from cli_world import CLUSTER, CONFIG, POLICY, healthy, jakarta_gone, jakarta_returned
from click.testing import CliRunner
from golden import check_golden, text_of

from failover.cli import look
from failover.cli.exit_codes import ExitCode
from failover.cli.explanation import ExplainSnapshot, as_rich, explain_snapshot
from failover.cli.look import Seen
from failover.cli.main import cli
from failover.coordination import connect
from failover.coordination.session import OwnFilesUnusable
from failover.coordination.store import StoreForbidden, StoreUnavailable
from failover.health.inputs import StateSeen, ViewInputs
from failover.health.verdict import Consequence, Verdict, judge
from failover.health.view import build_view
from failover.model import HostName, Invariant
from failover.planning.explain import explain
from failover.planning.plan import Gate, Hold, Plan, RestartZooKeeper, StepName
from failover.planning.planner import plan

LOST = Verdict(
    "site_lost",
    "Jakarta is lost",
    Consequence.TAKEOVER,
    ("marketplace: no writer claim for 1.5 s",),
    page=True,
)
WAITS = Verdict("site_isolated", "waiting for the lease to end", Consequence.HOLD, ())
WELL = Verdict("healthy", "all is well", Consequence.NOTHING, ())

PASSES = Gate("automation_auto", True, "automation is auto", Invariant.DOUBT_MEANS_HOLD)
CLAIM = Gate(
    "claim_gone",
    False,
    "writer claim held by jkt-db1 (jakarta, epoch 3)",
    Invariant.SINGLE_WRITER,
    CLUSTER,
    opens_in_s=3.21,
)
LOSS = Gate(
    "loss_within_budget",
    None,
    "no samples of the primary's WAL, so nobody can say what would be lost if Makassar took over",
    Invariant.NOTHING_LOST_SILENTLY,
    CLUSTER,
)


def explained(decided: Plan | Hold, verdict: Verdict = LOST) -> ExplainSnapshot:
    view = build_view(POLICY, jakarta_gone())
    return explain_snapshot(view, explain(view, verdict, decided), looked_for_s=1.23)


def held(*gates: Gate) -> ExplainSnapshot:
    return explained(Hold("takeover waits for: something", StepName.TAKEOVER, gates))


def test_hold_in_text() -> None:
    check_golden("explain_hold", text_of(as_rich(held(PASSES, CLAIM, LOSS))))


def test_step_in_text() -> None:
    step = Plan(
        step=StepName.RESTART_ZOOKEEPER,
        sentence="ZooKeeper's leader mks-zk1 is restarted so that the witness leads",
        clusters=(),
        from_site=POLICY.sites[0].name,
        to_site=POLICY.sites[1].name,
        gates=(PASSES,),
        action=RestartZooKeeper(HostName("mks-zk1")),
    )
    shown = explained(step, replace(LOST, page=False))
    assert (shown.decision, shown.wanted, shown.blocking) == ("step", True, None)
    check_golden("explain_step", text_of(as_rich(shown)))


def test_the_first_gate_that_does_not_pass_blocks() -> None:
    shown = held(PASSES, LOSS, CLAIM)
    assert shown.blocking is not None
    assert (shown.blocking.name, shown.blocking.passes) == ("loss_within_budget", None)
    assert "blocked by loss_within_budget [marketplace]" in text_of(as_rich(shown))


def test_when_is_said_only_where_every_blocking_gate_says_it() -> None:
    later = replace(CLAIM, name="local_recovery_over", opens_in_s=8.0)
    assert held(CLAIM, later).next.in_s == 8.0
    assert held(CLAIM, later).next.step == "takeover"
    assert held(CLAIM, LOSS).next.in_s is None
    assert "loss_within_budget" in held(CLAIM, LOSS).next.sentence


def test_a_hold_that_wants_no_step_shows_what_a_takeover_would_need() -> None:
    shown = explained(Hold(WAITS.sentence, None, ()), WAITS)
    assert (shown.decision, shown.wanted, shown.gates_of) == ("hold", False, "takeover")
    assert len(shown.gates) > 10
    assert "if it were wanted now" in text_of(as_rich(shown))


def test_nothing_to_do_shows_the_gates_of_a_takeover_all_the_same() -> None:
    view = build_view(POLICY, healthy())
    shown = explain_snapshot(view, explain(view, WELL, Hold("nothing to do", None, ())))
    assert (shown.decision, shown.healthy) == ("nothing", True)
    claim = next(gate for gate in shown.gates if gate.name == "claim_gone")
    assert claim.passes is False
    assert "jkt-db1" in claim.evidence
    assert "blocked by" not in text_of(as_rich(shown))


@pytest.mark.parametrize("inputs", [healthy(), jakarta_gone(), jakarta_returned()])
def test_every_world_fits_into_80_columns(inputs: ViewInputs) -> None:
    view = build_view(POLICY, inputs)
    verdict = judge(view)
    shown = explain_snapshot(view, explain(view, verdict, plan(view, verdict)))
    text = text_of(as_rich(shown))
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text


# --------------------------------------------------------------------------- the command


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch):
    def command(inputs: ViewInputs, *arguments: str):
        class Fixed:
            def settle(self) -> Seen:
                return Seen.of(POLICY, inputs, looked_for_s=1.2)

        @contextmanager
        def observing(_policy):
            yield Fixed()

        monkeypatch.setattr(look, "observing", observing)
        monkeypatch.setenv("FAILOVER_CONFIG", str(CONFIG))
        return CliRunner().invoke(cli, ["explain", *arguments], prog_name="failover")

    return command


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        (healthy(), ExitCode.OK),
        (jakarta_gone(), ExitCode.FINDINGS),  # a step is due
        (jakarta_returned(), ExitCode.REFUSED),  # held until something is salvaged
        (replace(healthy(), state=StateSeen()), ExitCode.STATE_UNREADABLE),
        (replace(healthy(), store_problem="no answer in 1 s"), ExitCode.UNREACHABLE),
    ],
)
def test_exit_code(run, inputs: ViewInputs, code: ExitCode) -> None:
    result = run(inputs)
    assert result.exit_code == code
    assert "decision" in result.stdout


@pytest.mark.parametrize("arguments", [(), ("--what-if", "link-cut")])
@pytest.mark.parametrize(
    "error",
    [StoreForbidden("no key can be shown"), OwnFilesUnusable("host.pem: no permission")],
)
def test_who_may_not_look_is_told_so_and_gets_no_verdict(
    monkeypatch: pytest.MonkeyPatch, error: StoreUnavailable, arguments: tuple[str, ...]
) -> None:
    @contextmanager
    def open_store(_policy):
        raise error
        yield

    monkeypatch.setattr(connect, "open_store", open_store)
    monkeypatch.setenv("FAILOVER_CONFIG", str(CONFIG))
    result = CliRunner().invoke(cli, ["explain", *arguments], prog_name="failover")
    assert result.exit_code == ExitCode.FORBIDDEN
    assert str(error) in result.stderr
    assert result.stdout == ""


def test_a_silent_ensemble_is_a_verdict_still(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def open_store(_policy):
        raise StoreUnavailable("nobody answers")
        yield

    monkeypatch.setattr(connect, "open_store", open_store)
    monkeypatch.setenv("FAILOVER_CONFIG", str(CONFIG))
    result = CliRunner().invoke(cli, ["explain", "-o", "json"], prog_name="failover")
    assert result.exit_code == ExitCode.UNREACHABLE
    assert json.loads(result.stdout)["verdict"]["code"] == "quorum_lost"


def test_a_key_that_may_not_read_is_no_lost_quorum(run) -> None:
    inputs = replace(healthy(), store_problem="not with this key", store_forbidden=True)
    result = run(inputs)
    assert result.exit_code == ExitCode.FORBIDDEN
    assert "access.md" in result.stderr
    assert result.stdout == ""


def test_an_unbounded_loss_is_unknown_in_seconds_and_valid_json() -> None:
    newest = jakarta_gone().samples[0]
    older = replace(newest, age_s=newest.age_s + 1.0)
    inputs = replace(jakarta_gone(), samples=(newest, older))
    view = build_view(POLICY, inputs)
    shown = explain_snapshot(view, explain(view, LOST, Hold("no", None, ())))
    assert (shown.losses[0].behind_bytes, shown.losses[0].behind_s) == (328, None)
    assert "Infinity" not in json.dumps(asdict(shown))


def test_json(run) -> None:
    document = json.loads(run(jakarta_gone(), "-o", "json").stdout)
    assert document["schema"] == 1
    assert document["verdict"]["code"] == "site_lost"
    assert document["decision"] == "step"
    assert document["gates_of"] == "takeover"
    assert all(gate["passes"] is True for gate in document["gates"])
    assert {"name", "cluster", "passes", "evidence", "invariant", "opens_in_s"} == set(
        document["gates"][0]
    )
