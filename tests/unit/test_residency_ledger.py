"""What stands on record: findings stay until they are seen to be gone, cuts are said once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from controller_world import JAKARTA, Group
from hypothesis import given
from hypothesis import strategies as st

from failover.controller import TickResult
from failover.model import HostName
from failover.policy import AcceptedFinding, Policy, Residency
from failover.residency.findings import (
    CutSeen,
    Finding,
    HostScan,
    Ledger,
    OpenGap,
    decode_ledger,
    encode_ledger,
)
from failover.residency.ledger import (
    CUT_AGAIN_S,
    GAP_ON_RECORD_S,
    NOTHING_NEW,
    OPEN_MAX,
    Changes,
    updated,
    with_gaps,
)
from failover.state import StateError
from failover.znode import Create, Set
from tests.scenarios.world import NOW_UNIX_S, policy_of

POLICY = policy_of()
DB1, DB2 = HostName("jkt-db1"), HostName("jkt-db2")
LINE = Finding("hba_line", DB1, "host all all 0.0.0.0/0.0.0.0 md5", "")
DBLINK = Finding("extension", DB1, "marketplace/dblink", "")
CUT = CutSeen(
    way="walsender",
    host=DB1,
    subject="203.0.113.9",
    first_unix_s=NOW_UNIX_S,
    last_unix_s=NOW_UNIX_S,
    sessions=1,
    slots=("theirs",),
    detail="role replicator",
)


def scan(
    *findings: Finding,
    host: HostName = DB1,
    age_s: float | None = 0.5,
    into_s: float | None = 10.0,
    cuts: tuple[CutSeen, ...] = (),
) -> HostScan:
    return HostScan(host, age_s, into_s, "", findings, cuts)


def after(before: Ledger, *scans: HostScan, later_s: float = 0.0) -> Ledger:
    return updated(POLICY, before, scans, NOW_UNIX_S + later_s)[0]


def subjects(ledger: Ledger) -> list[str]:
    return [each.finding.subject for each in ledger.open]


# --------------------------------------------------------------------------- findings


def test_a_finding_is_said_once_and_stays_with_its_time() -> None:
    ledger, changes = updated(POLICY, Ledger(), [scan(LINE)], NOW_UNIX_S)
    assert changes.found == (LINE,)
    again, nothing = updated(POLICY, ledger, [scan(replace(LINE, detail="x"))], NOW_UNIX_S + 60)
    assert (again, nothing) == (ledger, NOTHING_NEW)
    assert ledger.open[0].since_unix_s == NOW_UNIX_S


@pytest.mark.parametrize(
    ("scans", "gone"),
    [
        ([], False),  # nobody looks
        ([scan(host=DB2)], False),  # at another host
        ([scan(age_s=None)], False),  # not yet
        ([scan(age_s=9.0)], False),  # not lately
        ([scan(LINE, age_s=9.0), scan()], False),  # somebody else sees it
        ([scan(into_s=None)], True),  # the catalogues have nothing to do with it
        ([scan()], True),
    ],
)
def test_a_finding_of_every_second_goes_when_a_late_look_misses_it(
    scans: list[HostScan], gone: bool
) -> None:
    ledger = after(Ledger(), scan(LINE))
    assert subjects(after(ledger, *scans)) == ([] if gone else [LINE.subject])


@pytest.mark.parametrize(
    ("scans", "gone"),
    [
        ([scan(into_s=None)], False),
        ([scan(into_s=90.0)], False),
        ([scan(age_s=None, into_s=30.0)], True),
        ([scan()], True),
    ],
)
def test_a_finding_in_a_catalogue_goes_when_a_look_into_it_misses_it(
    scans: list[HostScan], gone: bool
) -> None:
    ledger = after(Ledger(), scan(DBLINK))
    assert subjects(after(ledger, *scans)) == ([] if gone else [DBLINK.subject])


@pytest.mark.parametrize(
    ("scans", "gone"),
    [
        ([scan(into_s=None)], False),  # a controller that has just begun, or begun to lead
        ([scan(into_s=90.0)], False),
        ([scan(age_s=None)], False),
        ([scan()], True),
    ],
)
@pytest.mark.parametrize(
    "found",
    [
        Finding("setting", DB1, "archive_command of database any, role app", ""),
        Finding("subscription", DB1, "marketplace: worker", ""),
        Finding("unseen", DB1, "database marketplace", "permission denied"),
    ],
)
def test_what_either_look_may_have_found_goes_when_both_miss_it(
    found: Finding, scans: list[HostScan], gone: bool
) -> None:
    ledger = after(Ledger(), scan(found))
    assert subjects(after(ledger, *scans)) == ([] if gone else [found.subject])


def test_an_accepted_finding_is_none_until_its_end() -> None:
    last_day = datetime.fromtimestamp(NOW_UNIX_S, UTC).date()
    said = AcceptedFinding("extension", DBLINK.subject, "CTO", "old job", last_day)
    policy = replace(POLICY, residency=Residency(accepted=(said,)))
    opened = after(Ledger(), scan(DBLINK))
    ledger, changes = updated(policy, opened, [scan(DBLINK)], NOW_UNIX_S)
    assert (ledger.open, changes.gone) == ((), (DBLINK,))
    _, changes = updated(policy, ledger, [scan(DBLINK)], NOW_UNIX_S + 86400)
    assert changes.found == (DBLINK,)


def test_a_host_that_is_nobodys_any_more_takes_its_findings_along() -> None:
    ledger = after(Ledger(), scan(replace(LINE, host=HostName("gone-db1")), host=DB1))
    assert subjects(after(ledger)) == []


FINDINGS = st.sampled_from([LINE, DBLINK, replace(LINE, host=DB2), replace(DBLINK, host=DB2)])
SCANS = st.builds(
    lambda found, host, age_s, into_s: scan(
        *(f for f in found if f.host == host), host=host, age_s=age_s, into_s=into_s
    ),
    st.lists(FINDINGS, unique=True),
    st.sampled_from([DB1, DB2]),
    st.sampled_from([None, 0.5, 30.0]),
    st.sampled_from([None, 10.0, 300.0]),
)


@given(st.lists(st.lists(SCANS, max_size=4), max_size=6))
def test_what_is_seen_is_open_and_what_was_said_balances(story: list[list[HostScan]]) -> None:
    ledger, balance = Ledger(), set[tuple[str, HostName, str]]()
    for second, scans in enumerate(story):
        ledger, changes = updated(POLICY, ledger, scans, NOW_UNIX_S + second)
        balance |= {finding.key for finding in changes.found}
        balance -= {finding.key for finding in changes.gone}
        assert {each.finding.key for each in ledger.open} == balance
        assert {f.key for s in scans for f in s.findings} <= balance
        assert decode_ledger(encode_ledger(ledger), path="residency") == ledger
        assert updated(POLICY, ledger, scans, NOW_UNIX_S + second)[1] == NOTHING_NEW


# --------------------------------------------------------------------------- cuts


def test_a_cut_is_said_once_and_again_after_a_minute_of_coming_again() -> None:
    ledger, changes = updated(POLICY, Ledger(), [scan(cuts=(CUT,)), scan(cuts=(CUT,))], NOW_UNIX_S)
    assert changes.cut == (CUT,)
    more = replace(CUT, sessions=9, last_unix_s=NOW_UNIX_S + 30)
    ledger, changes = updated(POLICY, ledger, [scan(cuts=(more,))], NOW_UNIX_S + 30)
    assert changes == NOTHING_NEW
    ledger, changes = updated(POLICY, ledger, [scan(cuts=(more,))], NOW_UNIX_S + CUT_AGAIN_S)
    assert changes.cut == (more,)
    _, changes = updated(POLICY, ledger, [scan(cuts=(more,))], NOW_UNIX_S + 10 * CUT_AGAIN_S)
    assert changes == NOTHING_NEW


def test_odd_bytes_are_no_ledger() -> None:
    with pytest.raises(StateError, match="residency: not a ledger"):
        decode_ledger(b'{"open": 1}', path="residency")


# --------------------------------------------------------------------------- gaps


def gaps_after(before: Ledger, for_s: float | None, later_s: float = 0.0) -> tuple[Ledger, Changes]:
    """With jkt-db1 not looked at for so long; None: it is looked at."""
    now_are = {} if for_s is None else {DB1: ("not looked at", for_s)}
    return with_gaps(before, NOTHING_NEW, now_are, NOW_UNIX_S + later_s)


def test_a_gap_is_said_once_after_a_minute_and_said_to_be_over_at_once() -> None:
    young, changes = gaps_after(Ledger(), GAP_ON_RECORD_S - 0.1)
    assert (young, changes) == (Ledger(), NOTHING_NEW)
    ledger, changes = gaps_after(Ledger(), GAP_ON_RECORD_S)
    assert (
        changes.gaps
        == ledger.gaps
        == (OpenGap(DB1, "not looked at", NOW_UNIX_S - GAP_ON_RECORD_S),)
    )
    again, changes = gaps_after(ledger, 90.0, later_s=30.0)
    assert (again, changes) == (ledger, NOTHING_NEW)
    over, changes = gaps_after(ledger, None)
    assert (over.gaps, changes.gaps_over) == ((), (DB1,))


def test_a_new_leader_that_has_not_watched_for_long_leaves_a_gap_on_record() -> None:
    ledger, _ = gaps_after(Ledger(), GAP_ON_RECORD_S)
    assert gaps_after(ledger, 0.0, later_s=300.0) == (ledger, NOTHING_NEW)


def test_gaps_survive_what_else_changes_in_the_ledger() -> None:
    ledger, _ = gaps_after(Ledger(), GAP_ON_RECORD_S)
    assert after(ledger, scan(LINE, host=DB2)).gaps == ledger.gaps
    assert decode_ledger(encode_ledger(ledger), path="residency") == ledger


# --------------------------------------------------------------------------- on record


class Scanned(Group):
    """A group whose Jakarta controller publishes what a scanner says."""

    scans: tuple[HostScan, ...] = ()

    def observation(self, observer):  # type: ignore[no-untyped-def]
        seen = super().observation(observer)
        return replace(seen, residency=self.scans) if observer == JAKARTA else seen

    def ledger(self) -> Ledger:
        found = self.guard.read(self.paths.residency)
        assert found is not None
        return decode_ledger(found.data, path=found.path)


@pytest.fixture
def group(policy: Policy) -> Scanned:
    return Scanned(policy)


@pytest.fixture(scope="module")
def policy() -> Policy:
    return policy_of()


def recorded(results: list[TickResult]) -> list[str]:
    return [
        *(f"found {f.subject}" for r in results for f in r.residency_recorded.found),
        *(f"gone {f.subject}" for r in results for f in r.residency_recorded.gone),
        *(f"cut {c.subject}" for r in results for c in r.residency_recorded.cut),
    ]


def test_the_leader_puts_it_on_record_once_in_the_chain(group: Scanned) -> None:
    group.run(10)
    assert "residency" not in group.history()
    group.scans = (scan(LINE, cuts=(CUT,)),)
    assert recorded(group.run(10)) == [f"found {LINE.subject}", f"cut {CUT.subject}"]
    assert group.history().count("residency") == 1
    assert subjects(group.ledger()) == [LINE.subject]


def test_another_leader_does_not_say_it_again_and_says_when_it_is_gone(group: Scanned) -> None:
    group.scans = (scan(LINE),)
    leader = next(r.leader for r in reversed(group.run(10)) if r.leader)
    if leader != JAKARTA:
        group.stop(leader)
    assert recorded(group.run(20)) == []
    group.scans = ()
    assert recorded(group.run(5)) == []
    group.scans = (scan(),)
    assert recorded(group.run(5)) == [f"gone {LINE.subject}"]
    assert group.ledger().open == ()


def test_a_ledger_that_cannot_be_read_stays_until_every_host_was_looked_at(group: Scanned) -> None:
    """It may name what stands on a host that nobody can look at now."""
    hosts = sorted(host.name for cluster in group.policy.clusters for host in cluster.hosts)
    group.scans = (scan(LINE),)
    group.run(10)
    found = group.guard.read(group.paths.residency)
    assert found is not None
    group.guard.commit((Set(group.paths.residency, b"scrawl", found.version),))
    looks = group.run(5)
    assert recorded(looks) == []
    assert subjects(looks[-1].view.residency.ledger) == [LINE.subject]
    assert any("cannot be understood" in line for line in looks[-1].view.missing)
    group.scans = (scan(LINE), *(scan(host=name) for name in hosts if name != DB1))
    looks = group.run(5)
    assert recorded(looks) == [f"found {LINE.subject}"]
    assert subjects(group.ledger()) == [LINE.subject]
    assert group.history().count("residency") == 2
    assert not looks[-1].view.residency.missing


def test_what_is_more_than_the_record_holds_is_said(group: Scanned) -> None:
    many = tuple(replace(LINE, subject=f"line {number}") for number in range(OPEN_MAX + 3))
    group.scans = (scan(*many),)
    last = group.run(10)[-1]
    assert len(group.ledger().open) == OPEN_MAX
    assert [line for line in last.view.missing if "3 more findings" in line]


def test_the_leader_puts_a_gap_on_record_after_a_minute_and_its_end(group: Scanned) -> None:
    hosts = sorted(host.name for cluster in group.policy.clusters for host in cluster.hosts)
    group.scans = tuple(scan(host=name) for name in hosts)
    group.run(10)
    group.scans = group.scans[1:]
    group.run(GAP_ON_RECORD_S - 5)
    assert "residency" not in group.history()
    opened = [r.residency_recorded.gaps for r in group.run(10) if r.residency_recorded.gaps]
    assert [gap.host for gaps in opened for gap in gaps] == [hosts[0]]
    group.scans = (scan(host=hosts[0]), *group.scans)
    over = [r.residency_recorded.gaps_over for r in group.run(5) if r.residency_recorded.gaps_over]
    assert over == [(hosts[0],)]
    assert group.history().count("residency") == 2
    assert group.ledger().gaps == ()


def test_a_site_that_is_lost_is_taken_over_before_anything_is_written_about_gaps(
    group: Scanned,
) -> None:
    hosts = sorted(host.name for cluster in group.policy.clusters for host in cluster.hosts)
    group.scans = tuple(scan(host=name) for name in hosts)
    group.run(10)
    group.lose_jakarta()
    group.release()
    group.run(GAP_ON_RECORD_S - 5)
    assert group.state.active_site != JAKARTA
    assert "residency" not in group.history()


def test_nothing_is_lost_when_somebody_else_writes_first(group: Scanned) -> None:
    """The ledger appears between the look and the write: the next look takes it into account."""
    group.run(10)
    group.guard.commit((Create(group.paths.residency, encode_ledger(Ledger())),))
    group.scans = (scan(LINE),)
    assert recorded(group.run(5)) == [f"found {LINE.subject}"]


def test_the_verdict_says_so_and_nothing_waits_for_it(group: Scanned) -> None:
    group.run(10)
    group.scans = (scan(LINE),)
    last = group.run(5)[-1]
    assert last.verdict.code == "way_out_found"
    assert last.verdict.page
    group.lose_jakarta()
    group.release()
    group.run(30)
    assert group.state.active_site != JAKARTA
