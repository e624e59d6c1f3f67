"""failover residency check: unknown is not clean, and every finding says what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from ipaddress import ip_network

import pytest
from cli_world import CONFIG, JAKARTA, NOW_UNIX_S, POLICY, healthy
from click.testing import CliRunner, Result
from golden import check_golden

from failover.cli import look
from failover.cli.exit_codes import ExitCode
from failover.cli.look import Seen
from failover.cli.main import cli
from failover.cli.residency_check import ResidencyCheck, as_text, checked
from failover.health.inputs import StateSeen, ViewInputs
from failover.health.view import build_view
from failover.model import HostName
from failover.policy import AcceptedFinding, NetworkException, Policy, Purpose
from failover.residency.findings import Finding, Ledger, LedgerSeen, OpenFinding, OpenGap
from failover.residency.todo import TODO
from failover.residency.ways import WAYS
from failover.residency.ways import Seen as HowOften

DB1 = HostName("jkt-db1")
HBA = Finding("hba_line", DB1, "host all all 0.0.0.0/0.0.0.0 scram-sha-256", "line 12")
DBLINK = Finding("extension", DB1, "marketplace/dblink", "")
EXCEPTION = NetworkException(
    network=ip_network("192.0.2.0/28"),
    owner="Vendor",
    country="SG",
    purposes=(Purpose.OPERATIONS,),
    approver="CTO",
    reason="migration support",
    expires=date(2025, 12, 31),
)
ENDED = replace(EXCEPTION, network=ip_network("198.51.100.0/28"), expires=date(2025, 9, 30))
ACCEPTED = AcceptedFinding("extension", "marketplace/dblink", "CTO", "old job", date(2025, 12, 31))
WITH_EXCEPTIONS = replace(
    POLICY,
    residency=replace(POLICY.residency, exceptions=(EXCEPTION, ENDED), accepted=(ACCEPTED,)),
)


def scanned(*findings: Finding, blind: str = "") -> ViewInputs:
    """Jakarta's controller finds these on jkt-db1; nobody scans the host ``blind``."""
    inputs = healthy()
    observers = []
    for seen in inputs.observers:
        assert seen.observation is not None
        scans = tuple(
            replace(scan, findings=findings if scan.host == DB1 else ())
            for scan in seen.observation.residency
            if scan.host != blind
        )
        observers.append(replace(seen, observation=replace(seen.observation, residency=scans)))
    return replace(inputs, observers=tuple(observers))


def since(inputs: ViewInputs, finding: Finding, age_s: float) -> ViewInputs:
    ledger = Ledger(open=(OpenFinding(finding, NOW_UNIX_S - age_s),))
    return replace(inputs, ledger=LedgerSeen(ledger, 1))


def check(inputs: ViewInputs, policy: Policy = POLICY) -> ResidencyCheck:
    view = build_view(policy, inputs)
    return checked(policy, view.residency, view.now_unix_s, view.store_problem)


FOUND = since(scanned(HBA, DBLINK, blind="mks-db2"), HBA, 750.0)


def test_clean() -> None:
    check_golden("residency_check_clean", as_text(check(scanned())) + "\n")


def test_findings_gaps_and_who_answers_for_what() -> None:
    check_golden("residency_check_findings", as_text(check(FOUND, WITH_EXCEPTIONS)) + "\n")


def test_every_finding_says_since_when_and_what_to_do() -> None:
    (hba, dblink) = check(since(scanned(HBA, DBLINK), HBA, 750.0)).open
    assert (hba.open_for_s, hba.since_unix_s) == (750.0, NOW_UNIX_S - 750.0)
    assert dblink.open_for_s == 0.0
    assert "pg_hba.conf" in hba.todo


def test_every_way_that_can_be_found_has_something_to_do() -> None:
    assert set(TODO) == {way.code for way in WAYS if way.seen is not HowOften.NEVER}


def test_what_cannot_be_seen_is_said_though_all_is_clean() -> None:
    found = check(scanned())
    assert found.clean
    assert [each.way for each in found.unobservable] == [
        way.code for way in WAYS if way.seen is HowOften.NEVER
    ]


def test_an_accepted_finding_is_not_open_and_an_ended_exception_says_so() -> None:
    found = check(scanned(DBLINK), WITH_EXCEPTIONS)
    assert found.clean
    assert [each.approver for each in found.accepted] == ["CTO"]
    assert [each.over for each in found.exceptions] == [False, True]


def test_a_gap_that_is_on_record_says_since_when() -> None:
    gap = OpenGap(HostName("mks-db2"), "not looked at for 61 s", NOW_UNIX_S - 300.0)
    inputs = replace(scanned(blind="mks-db2"), ledger=LedgerSeen(Ledger(gaps=(gap,)), 1))
    assert [each.since_unix_s for each in check(inputs).gaps] == [NOW_UNIX_S - 300.0]
    assert [each.since_unix_s for each in check(scanned(blind="mks-db2")).gaps] == [None]


# --------------------------------------------------------------------------- the command


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("FAILOVER_CONFIG", str(CONFIG))

    def check(inputs: ViewInputs, *options: str) -> Result:
        class Looking:
            def settle(self) -> Seen:
                return Seen.of(POLICY, inputs, 1.2)

        @contextmanager
        def observing(_policy: Policy):
            yield Looking()

        monkeypatch.setattr(look, "observing", observing)
        return CliRunner().invoke(cli, ["residency", "check", *options], prog_name="failover")

    return check


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        (scanned(), ExitCode.OK),
        (scanned(HBA), ExitCode.FINDINGS),
        (scanned(blind="mks-db1"), ExitCode.FINDINGS),
        (
            replace(scanned(), ledger=LedgerSeen(Ledger(), 3, "residency: not a ledger")),
            ExitCode.FINDINGS,
        ),
        (replace(scanned(), state=StateSeen()), ExitCode.STATE_UNREADABLE),
        (replace(scanned(), store_problem="no answer in 1 s"), ExitCode.UNREACHABLE),
    ],
    ids=["clean", "finding", "gap", "ledger unreadable", "no state", "no answer"],
)
def test_exit_code(run, inputs: ViewInputs, code: ExitCode) -> None:
    assert run(inputs).exit_code == code


def test_json(run) -> None:
    result = run(scanned(HBA, blind="mks-db2"), "-o", "json")
    document = json.loads(result.stdout)
    assert (document["schema"], document["clean"]) == (1, False)
    assert document["open"][0]["subject"] == HBA.subject
    assert [gap["host"] for gap in document["gaps"]] == ["mks-db2"]


def test_an_isolated_site_is_not_clean(run) -> None:
    inputs = scanned()
    alone = tuple(seen for seen in inputs.observers if seen.site == JAKARTA)
    result = run(replace(inputs, observers=alone))
    assert result.exit_code == ExitCode.FINDINGS
    assert "NOT KNOWN mks-db1" in result.stdout


def test_a_name_in_a_database_cannot_speak_to_the_terminal() -> None:
    odd = replace(HBA, subject="slot \x1b[2Jgone\r")
    assert "\x1b" not in as_text(check(scanned(odd)))
