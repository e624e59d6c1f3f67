"""failover status: the tree of a snapshot, its JSON, its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace

import pytest
from cli_world import (
    CLUSTER,
    CONFIG,
    HOSTS,
    MAKASSAR,
    POLICY,
    REFUSED,
    STATE,
    healthy,
    jakarta_gone,
    jakarta_returned,
    observer,
    standby,
)
from click.testing import CliRunner
from golden import check_golden, text_of
from rich.console import Console

from failover.checks import table
from failover.checks.result import Result, Subject
from failover.checks.result import Verdict as Checked
from failover.cli import check, look
from failover.cli.exit_codes import ExitCode
from failover.cli.host_node import HostNode
from failover.cli.look import Seen
from failover.cli.main import cli
from failover.cli.ready import Readiness
from failover.cli.ready import as_rich as ready_as_rich
from failover.cli.snapshot import Snapshot, status_tree
from failover.cli.status import as_json
from failover.cli.tree import as_rich
from failover.cli.units import duration, size
from failover.health.inputs import StateSeen, ViewInputs
from failover.health.observation import HostObservation
from failover.health.verdict import Consequence, Verdict
from failover.health.view import build_view
from failover.model import HostName, ProtectionMode, TimelineId

WELL = Verdict("healthy", "Jakarta serves, Makassar streams", Consequence.NOTHING, ("all of it",))
LOST = Verdict(
    "site_lost",
    "Jakarta is lost: its claims are gone and no host there can be reached",
    Consequence.TAKEOVER,
    ("marketplace: no writer claim for 1.5 s", "living observers: makassar, surabaya"),
    page=True,
    also=("controller_lost",),
)
BACK = Verdict(
    "reinstating",
    "Jakarta stands in quarantine on its own branch until its WAL is salvaged",
    Consequence.REINSTATE,
    ("marketplace: nothing salvaged yet",),
)


def snapshot(inputs: ViewInputs, verdict: Verdict = WELL) -> Snapshot:
    return status_tree(build_view(POLICY, inputs), verdict)


def host(shown: Snapshot, name: str) -> HostNode:
    nodes = (h for site in shown.sites for side in site.clusters for h in side.hosts)
    return next(node for node in nodes if node.name == name)


@pytest.mark.parametrize(
    ("name", "inputs", "verdict"),
    [
        ("status_healthy", healthy, WELL),
        ("status_jakarta_gone", jakarta_gone, LOST),
        ("status_jakarta_returned", jakarta_returned, BACK),
    ],
)
def test_tree(name: str, inputs: Callable[[], ViewInputs], verdict: Verdict) -> None:
    check_golden(name, text_of(as_rich(snapshot(inputs(), verdict))))


def test_colours_say_nothing_that_words_do_not() -> None:
    shown = as_rich(snapshot(jakarta_gone(), LOST))
    coloured = Console(force_terminal=True, width=80, highlight=False)
    with coloured.capture() as capture:
        coloured.print(shown)
    assert "\x1b" in capture.get()
    assert "NOBODY" in text_of(shown)
    assert "unreachable" in text_of(shown)
    assert "a human is needed now" in text_of(shown)


def test_a_scope_that_was_not_read_is_neither_fenced_nor_free() -> None:
    shown = text_of(as_rich(snapshot(replace(healthy(), scopes=()))))
    assert "configuration unknown, fence unknown, pause unknown" in shown
    assert "unknown, fence" not in text_of(as_rich(snapshot(healthy())))


def test_no_state_shows_why_and_names_no_active_site() -> None:
    unread = replace(healthy(), state=StateSeen(version=3, problem="state: schema 9"))
    shown = snapshot(unread)
    assert (shown.epoch, shown.active_site, shown.problem) == (None, None, "state: schema 9")
    assert {site.part for site in shown.sites} == {"data", "witness"}
    assert all(side.lease is None for site in shown.sites for side in site.clusters)


def test_lag_is_unknown_on_another_branch_and_zero_when_all_is_received() -> None:
    ahead = replace(standby("0/5000148"), timeline=TimelineId(2))
    hosts = {**HOSTS, "mks-db1": replace(HOSTS["mks-db1"], postgres=ahead)}
    shown = snapshot(replace(healthy(), observers=(observer(MAKASSAR, hosts),)))
    assert host(shown, "mks-db1").lag_bytes is None
    assert (host(shown, "jkt-db2").lag_bytes, host(shown, "jkt-db2").lag_s) == (0, 0.0)


def test_lag_older_than_every_sample_is_known_in_bytes_only() -> None:
    shown = snapshot(replace(healthy(), samples=healthy().samples[:1]))
    assert (host(shown, "mks-db2").lag_bytes, host(shown, "mks-db2").lag_s) == (16777544, None)


def test_a_refusal_is_told_with_its_reason() -> None:
    stopped = HostObservation(HOSTS["jkt-db2"].host, REFUSED, REFUSED, REFUSED)
    hosts = {**HOSTS, "jkt-db2": stopped}
    shown = snapshot(replace(healthy(), observers=(observer(MAKASSAR, hosts),)))
    assert host(shown, "jkt-db2").role == "stopped"
    assert host(shown, "jkt-db2").notes == tuple(
        f"{part}: refused (connection refused)" for part in ("PostgreSQL", "Patroni", "guard")
    )


def test_whom_commits_wait_for_and_who_has_everything() -> None:
    have = (HostName("mks-db1"),)
    recorded = replace(STATE.clusters[CLUSTER], have=have)
    state = replace(STATE.with_cluster(CLUSTER, recorded), in_sync=True)
    state = replace(state, protection=ProtectionMode.MAX_AVAILABILITY)
    inputs = replace(healthy(), state=StateSeen(state, 7))
    shown = text_of(as_rich(snapshot(inputs)))
    assert "protection max-availability, in sync" in shown
    assert "commits wait for nobody; surely with everything: mks-db1" in shown
    assert "commits wait" not in text_of(as_rich(snapshot(healthy())))


def test_json_is_the_snapshot_with_a_schema() -> None:
    document = json.loads(json.dumps(as_json(snapshot(healthy()))))
    assert (document["schema"], document["healthy"], document["epoch"]) == (1, True, 3)
    jakarta = document["sites"][0]
    assert jakarta["part"] == "active"
    assert jakarta["clusters"][0]["lease"]["host"] == "jkt-db1"
    assert jakarta["clusters"][0]["hosts"][0]["lsn"] == "0/5000148"
    assert [site["zookeeper"][0]["mode"] for site in document["sites"]] == [
        "follower",
        "follower",
        "leader",
    ]


def test_sizes_and_durations() -> None:
    assert [size(n) for n in (0, 1023, 1536, 5 * 1024**4)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "5.0 TiB",
    ]
    assert [duration(s) for s in (None, 3.25, 31.0, 200, 7300)] == [
        "?",
        "3.2 s",
        "31 s",
        "3 min 20 s",
        "2 h 1 min",
    ]


# --------------------------------------------------------------------------- the command


class Fixed:
    """An observer that always sees the same."""

    def __init__(self, inputs: ViewInputs) -> None:
        self.seen = Seen.of(POLICY, inputs, looked_for_s=1.2)

    def settle(self) -> Seen:
        return self.seen

    def forever(self):
        yield self.seen
        yield self.seen
        raise KeyboardInterrupt


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch):
    def status(inputs: ViewInputs, *arguments: str):
        @contextmanager
        def observing(_policy):
            yield Fixed(inputs)

        monkeypatch.setattr(look, "observing", observing)
        monkeypatch.setenv("FAILOVER_CONFIG", str(CONFIG))
        return CliRunner().invoke(cli, ["status", *arguments], prog_name="failover")

    return status


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        (healthy(), ExitCode.OK),
        (jakarta_gone(), ExitCode.FINDINGS),
        (replace(healthy(), state=StateSeen()), ExitCode.STATE_UNREADABLE),
        (replace(healthy(), store_problem="no answer in 1 s"), ExitCode.UNREACHABLE),
        (
            replace(healthy(), store_problem="not with this key", store_forbidden=True),
            ExitCode.FORBIDDEN,
        ),
    ],
)
def test_exit_code(run, inputs: ViewInputs, code: ExitCode) -> None:
    assert run(inputs).exit_code == code


def test_one_site_and_one_cluster(run) -> None:
    document = json.loads(run(healthy(), "--site", "makassar", "-o", "json").stdout)
    assert [site["name"] for site in document["sites"]] == ["makassar"]
    document = json.loads(run(healthy(), "--cluster", CLUSTER, "-o", "json").stdout)
    assert len(document["sites"]) == 3


@pytest.mark.parametrize(
    ("option", "name", "known"),
    [("--site", "bali", "jakarta, makassar, surabaya"), ("--cluster", "shop", "marketplace")],
)
def test_unknown_names_are_refused_with_the_known_ones(run, option, name, known) -> None:
    result = run(healthy(), option, name)
    assert result.exit_code == ExitCode.BAD_INPUT
    assert name in result.stderr
    assert known in result.stderr
    assert result.stdout == ""


def test_watch_as_json_is_one_document_per_line(run) -> None:
    result = run(healthy(), "--watch", "-o", "json")
    assert result.exit_code == ExitCode.INTERRUPTED
    assert [json.loads(line)["healthy"] for line in result.stdout.splitlines()] == [True, True]


def test_watch_without_a_terminal_prints_one_tree_after_the_other(run) -> None:
    result = run(healthy(), "--watch")
    assert result.exit_code == ExitCode.INTERRUPTED
    assert result.stdout.count("verdict healthy") == 2


# --------------------------------------------------------------------------- ready


def results(*failing: str) -> tuple[Result, ...]:
    said = {
        "guard-alive": Checked.OK,
        "rehearsal": Checked.WARNING,
        "hypervisor-clock": Checked.UNKNOWN,
    }
    said |= dict.fromkeys(failing, Checked.FAILED)
    return tuple(
        Result(name, Subject.GROUP, verdict, f"{name} says so", "do this.", name in failing)
        for name, verdict in said.items()
    )


@pytest.fixture
def ready(run, monkeypatch: pytest.MonkeyPatch):
    def status(inputs: ViewInputs, *arguments: str, failing: tuple[str, ...] = ()):
        monkeypatch.setattr(Fixed, "store", None, raising=False)
        monkeypatch.setattr(check, "everything", lambda *_: None)
        monkeypatch.setattr(table, "run", lambda _found: results(*failing))
        return run(inputs, "--ready", *arguments)

    return status


def test_ready_where_no_check_fails(ready) -> None:
    done = ready(healthy())
    assert done.exit_code == ExitCode.OK
    assert "ready: none fails or is unknown, of 3 checks, 1 with a warning" in done.stdout
    document = json.loads(ready(healthy(), "-o", "json").stdout)
    assert document["readiness"] == {
        **{"ready": True, "checks": 3, "warnings": 1, "failing": [], "unknown": []}
    }


def test_a_healthy_group_with_a_failing_check_is_not_ready(ready) -> None:
    done = ready(healthy(), failing=("permit-hook",))
    assert done.exit_code == ExitCode.FINDINGS
    assert "NOT READY: 1 fail, 0 are unknown, of 4 checks, 1 with a warning" in done.stdout
    assert "permit-hook: permit-hook says so" in done.stdout
    document = json.loads(ready(healthy(), "-o", "json", failing=("permit-hook",)).stdout)
    assert document["healthy"]
    assert [each["check"] for each in document["readiness"]["failing"]] == ["permit-hook"]


def test_what_is_not_known_is_not_ready() -> None:
    """As where no database lets this host in. What nobody can ever see is no such thing."""
    blind = Result("clocks", Subject.HOSTS, Checked.UNKNOWN, "nobody told", "do this.", False)
    found = Readiness.of((*results(), blind))
    assert not found.ready
    assert [each.check for each in found.unknown] == ["clocks"]
    assert "clocks: unknown: nobody told" in text_of(ready_as_rich(found))


def test_not_asked_it_is_not_known(run) -> None:
    assert json.loads(run(healthy(), "-o", "json").stdout)["readiness"] is None


def test_readiness_is_not_looked_at_again_and_again(ready) -> None:
    assert ready(healthy(), "--watch").exit_code == ExitCode.BAD_INPUT
