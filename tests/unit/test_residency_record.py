"""What the bench reads of the controllers' record: lines, sessions and cuts of one address."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from memory_store import World

from failover.config import load
from failover.coordination.init import initialise
from failover.health.observation import SiteObservation, encode_observation
from failover.lab.residency_record import ResidencyRecord
from failover.model import HostName, SiteName
from failover.residency.findings import (
    CutSeen,
    Finding,
    HostScan,
    Ledger,
    OpenFinding,
    encode_ledger,
)
from failover.znode import Committed, Create, GroupPaths, Transaction

POLICY = load(Path("tests/open.yaml"))
PATHS = GroupPaths(POLICY.group)
DB1, DB2 = HostName("jkt-db1"), HostName("jkt-db2")
ABROAD = "10.77.99.11"


def record_of(
    findings: list[Finding], cuts: dict[SiteName, tuple[CutSeen, ...]]
) -> ResidencyRecord:
    store = World().session()
    initialise(store, POLICY, now_unix_s=1.0, by="test")
    ledger = Ledger(tuple(OpenFinding(each, 1.0) for each in findings))
    store.commit(Transaction((Create(PATHS.residency, encode_ledger(ledger)),)))
    for site, seen in cuts.items():
        scan = HostScan(DB1, 0.5, 5.0, "", (), seen)
        observation = SiteObservation(site, 1, 1.0, 0.1, (), (), residency=(scan,))
        data = encode_observation(observation)
        done = store.commit(Transaction((Create(PATHS.observer(site), data),)))
        assert isinstance(done, Committed)
    return ResidencyRecord(store, POLICY)


def cut(way: str, subject: str, sessions: int) -> CutSeen:
    return CutSeen(way, DB1, subject, 1.0, 2.0, sessions, (), "")


def test_findings_and_cuts_are_those_of_the_host_and_the_address() -> None:
    record = record_of(
        [
            Finding("hba_line", DB1, "host all all 0.0.0.0/0.0.0.0 scram-sha-256", ""),
            Finding("client", DB1, ABROAD, ""),
            Finding("walsender", DB2, ABROAD, ""),
            Finding("extension", DB1, "marketplace/dblink", ""),
        ],
        {
            SiteName("jakarta"): (cut("walsender", ABROAD, 2), cut("client", "192.0.2.1", 9)),
            SiteName("surabaya"): (cut("walsender", ABROAD, 1),),
        },
    )
    assert record.open_at("hba_line") == {DB1}
    assert record.standing(DB1, ABROAD) == ["client", "hba_line"]
    assert record.standing(DB2, ABROAD) == ["walsender"]
    assert record.wait_open(DB1, ("extension",), 0.0) == ["extension"]
    assert record.wait_open(DB1, ("extension", "foreign_server"), 0.0) == ["extension"]
    assert record.cuts(DB1, ABROAD) == {"walsender": 3}
    assert record.cuts(DB2, ABROAD) == {}
    assert record.wait_cut(DB1, ABROAD, Counter(walsender=2), 0.0) == {"walsender": 1}
    assert not record.wait_cut(DB1, ABROAD, Counter(walsender=3), 0.0)


def test_nothing_on_record_is_nothing() -> None:
    record = ResidencyRecord(World().session(), POLICY)
    assert record.open_at("hba_line") == set()
    assert not record.wait_cut(DB1, ABROAD, Counter(), 0.0)
