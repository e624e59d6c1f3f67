"""What the demo shows: verdicts stay on the screen once, gates are words, not only colours."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from failover.config import load
from failover.health.inputs import ViewInputs
from failover.health.verdict import Consequence, Verdict
from failover.health.view import build_view
from failover.lab.demo_screen import Screen, SiteTraffic, title
from failover.lab.evidence import Evidence
from failover.model import Invariant, SiteName
from failover.planning.plan import Gate, Hold, StepName

POLICY = load(Path(__file__).parents[2] / "tests" / "open.yaml")
TRAFFIC = (SiteTraffic("jakarta", 0.0, None), SiteTraffic("makassar", 49.5, "makassar"))


def evidence(at_s: float, code: str) -> Evidence:
    view = build_view(POLICY, ViewInputs(now_unix_s=0.0, reader=SiteName("surabaya")))
    gates = (
        Gate("claim_gone", False, "held by jkt-db1", Invariant.SINGLE_WRITER),
        Gate("standby_ready", True, "mks-db1", Invariant.NOTHING_LOST_SILENTLY),
        Gate("local_recovery", None, "3 s", Invariant.DOUBT_MEANS_HOLD, opens_in_s=7.0),
    )
    hold = Hold("waiting for the lease to end", StepName.TAKEOVER, gates)
    return Evidence(at_s, view, Verdict(code, "a sentence.", Consequence.HOLD, ()), hold)


def shown(*looks: Evidence, terminal: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=terminal, no_color=True)
    with Screen(console).moving(since_s=100.0) as show:
        for look in looks:
            show(look, TRAFFIC)
    return out.getvalue()


def test_frame_says_everything_in_words() -> None:
    text = shown(evidence(101.0, "site_isolated"), terminal=True)
    for words in (
        "customers in Jakarta",
        "nothing is acknowledged",
        "49.5/s by Makassar",
        "waiting for the lease to end",
        "claim_gone",
        "blocks",
        "passes",
        "unknown",
        "opens in 7.0 s",
    ):
        assert words in text


def test_each_new_verdict_is_said_once_with_its_time() -> None:
    looks = [
        evidence(101.0, "healthy"),
        evidence(101.5, "healthy"),
        evidence(102.0, "site_isolated"),
    ]
    lines = [line for line in shown(*looks, terminal=False).splitlines() if "verdict" in line]
    assert [line.split(":")[0].split() for line in lines] == [
        ["+1.0", "s", "verdict", "healthy"],
        ["+2.0", "s", "verdict", "site_isolated"],
    ]


def test_headings_are_numbered() -> None:
    out = io.StringIO()
    screen = Screen(Console(file=out, width=60))
    screen.heading("one")
    screen.heading("two")
    assert "1. one" in out.getvalue()
    assert "2. two" in out.getvalue()
    assert title("makassar") == "Makassar"
