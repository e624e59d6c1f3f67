"""`failover rehearse` on real parts, as its runbook says: on a controller's host."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

import pytest
from drill import Roles, customers, history, state_of, whole

from failover.lab.bench_switchover import last_document
from failover.lab.lab import Lab
from failover.lab.processes import Process

pytestmark = pytest.mark.lab

OPERATOR = "sby-ctl1"
PROVEN_AGE_S_MAX = 60.0


def rehearse(lab: Lab, *options: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, the document and all that was said."""
    command = ["failover", "rehearse", "--yes", "--reason", "drill", *options, "-o", "json"]
    ended = lab.exec(OPERATOR, command)
    print(f"exit {ended.code}: {ended.out}")
    return ended.code, last_document(ended.out) or {}, ended.out


@pytest.fixture
def directory(lab: Lab) -> str:
    return lab.shell(OPERATOR, "mktemp -d").strip()


def test_there_and_back_with_a_report(lab: Lab, directory: str) -> None:
    """Nothing is lost, the group is where it was two epochs later, and the report is signed off."""
    roles = Roles.now(lab)
    with customers(lab, roles.active) as shop:
        code, document, said = rehearse(lab, "--report", directory)
        status = last_document(lab.exec(OPERATOR, ["failover", "status", "-o", "json"]).out)
        assert passed_but_for_the_pause(code, document), said
        shop.wait_served()
        state = whole(lab)
        report = shop.report()
    assert (state.active_site, state.epoch) == (roles.active, roles.state.epoch + 2)
    assert not report.lost
    assert not report.problems
    assert status is not None
    assert status["proven_unix_s"] == state.proven_unix_s
    assert status["proven_age_s"] < PROVEN_AGE_S_MAX
    says_all(document, roles)
    signed_off(lab, directory, document)


def passed_but_for_the_pause(code: int, document: dict[str, Any]) -> bool:
    """A busy machine may keep customers waiting for longer than is promised to them: what the pause
    is, and its limit, is for the bench. Then the command has to say so and nothing else."""
    reasons = document.get("reasons", ["no report"])
    slow = [reason for reason in reasons if "writes paused for" in reason]
    return reasons == slow and code == (1 if slow else 0)


def says_all(document: dict[str, Any], roles: Roles) -> None:
    """Both moves with every moment, timelines that go on, and a pause that was measured."""
    there, back = document["moves"]
    assert (there["to_site"], back["to_site"]) == (roles.standby, roles.active)
    assert there["epoch_after"] == back["epoch_before"] == roles.state.epoch + 1
    for move in (there, back):
        assert move["outcome"] == "done"
        unseen = {step["step"] for step in move["steps"] if step["at_unix_s"] is None}
        assert unseen <= {"stopped_proof"}, "a proof may be used up before anybody looks"
        (cluster,) = move["clusters"]
        assert cluster["timeline_after"] > cluster["timeline_before"]
        assert 0 < cluster["pause_s"] < 10
        assert not cluster["both_sites_writable"]
    (before,), (after,) = there["clusters"], back["clusters"]
    assert before["primary_before"] == roles.primary.name
    assert before["primary_after"] == after["primary_before"]


def signed_off(lab: Lab, directory: str, document: dict[str, Any]) -> None:
    """The sums in the history are those of the files, and those are what was said."""
    entry = history(lab)[-1]
    assert (entry.event, entry.details["rehearsal"]) == ("rehearsed", document["id"])
    assert entry.details["result"] == document["result"]
    for file, sha256 in (("report", "report_sha256"), ("text", "text_sha256")):
        path = PurePosixPath(directory) / entry.details[file]
        found = lab.shell(OPERATOR, f"sha256sum {path}").split()[0]
        assert found == entry.details[sha256]
    written = lab.shell(OPERATOR, f"cat {PurePosixPath(directory) / entry.details['report']}")
    assert json.loads(written) == {k: v for k, v in document.items() if k != "files"}
    assert any(name.endswith(".commit_s") for name in entry.details)


def test_refused_where_no_controller_leads(lab: Lab, directory: str) -> None:
    """Unlike a switchover it is never carried out by the command itself."""
    epoch = state_of(lab).epoch
    for site in lab.policy.sites:
        lab.faults.kill(site.controller.name, Process.CONTROLLER, for_good=True)
    code, _, said = rehearse(lab, "--report", directory)
    assert code == 5
    assert "no controller leads" in said
    assert state_of(lab).epoch == epoch
    assert lab.shell(OPERATOR, f"ls {directory}").strip() == ""
