"""A history with ways out in it, written by the code that writes real ones, and its group."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

from cli_world import CONFIG
from memory_store import MemoryStore, World

from failover.config import parse
from failover.coordination.history import record
from failover.coordination.residency import ledger_seen, record_residency
from failover.health.residency import Unscanned, residency_view
from failover.model import Epoch, HostName
from failover.policy import Policy
from failover.residency.findings import CutSeen, Finding, HostScan
from failover.residency.report.document import Period
from failover.state import HistoryEntry
from failover.znode import Create, GroupPaths

DECLARED = """\
residency:
  endpoints:
    - {name: archive, host: 10.77.3.80, port: 443, purpose: operations}
  exceptions:
    - {network: 192.0.2.0/28, owner: Vendor, country: SG, purpose: [operations], approver: CTO,
       reason: migration support, expires: 2025-12-31}
  accepted:
    - {way: extension, subject: marketplace/dblink, approver: CTO, reason: old job,
       expires: 2025-09-30}
  settings:
    archive_command: pgbackrest --stanza=shop archive-push %p
"""
TEXT = CONFIG.read_text(encoding="utf-8") + DECLARED
POLICY: Policy = parse(TEXT)
PATHS = GroupPaths(POLICY.group)
HOSTS = tuple(host.name for cluster in POLICY.clusters for host in cluster.hosts)
DB1, DB2, MKS1 = HostName("jkt-db1"), HostName("jkt-db2"), HostName("mks-db1")
OCTOBER = Period(date(2025, 10, 1), date(2025, 10, 31))
MADE_UNIX_S = datetime(2025, 11, 3, 2, 0, tzinfo=UTC).timestamp()

LINE = Finding("hba_line", DB1, "host all all 0.0.0.0/0.0.0.0 scram-sha-256", "line 12")
DBLINK = Finding("extension", DB1, "marketplace/dblink", "")
SLOT = Finding("logical_slot", MKS1, "theirs|*here*", "database marketplace")
CUT = CutSeen(
    way="walsender",
    host=DB1,
    subject="203.0.113.9",
    first_unix_s=0.0,
    last_unix_s=1.0,
    sessions=3,
    slots=("singapore",),
    detail="role replicator",
)


def at(day: int, month: int = 10, hour: int = 0, minute: int = 0) -> float:
    return datetime(2025, month, day, hour, minute, tzinfo=UTC).timestamp()


class Story:
    """A group whose leading controller says what scanners see."""

    def __init__(self) -> None:
        self.store: MemoryStore = World().session()
        self.store.commit(tuple(Create(path, b"") for path in PATHS.all_parents))
        start = HistoryEntry(at(1, 9), Epoch(1), "initialised", "jakarta is active", "root", {})
        record(self.store, PATHS, start)

    def tell(
        self,
        now_unix_s: float,
        *findings: Finding,
        cuts: tuple[CutSeen, ...] = (),
        blind: tuple[HostName, ...] = (),
        blind_for_s: float = 61.0,
    ) -> None:
        """One look; what is new in it is put on record."""
        scans = [
            HostScan(
                name,
                0.5,
                10.0,
                "",
                tuple(found for found in findings if found.host == name),
                tuple(cut for cut in cuts if cut.host == name),
            )
            for name in HOSTS
            if name not in blind
        ]
        view = residency_view(
            POLICY,
            ledger_seen(self.store.read(PATHS.residency)),
            scans,
            now_unix_s,
            [Unscanned(name, blind_for_s) for name in blind],
        )
        if view.to_be_recorded:
            who = {"epoch": Epoch(1), "now_unix_s": now_unix_s, "by": "controller at surabaya"}
            assert record_residency(self.store, PATHS, view, **who)


def october() -> Story:
    """Found before the period and gone in it, found and gone in it, cut, not looked at, open."""
    story = Story()
    story.tell(at(2, 9), LINE)
    story.tell(at(3, 9))
    story.tell(at(30, 9), SLOT)
    story.tell(at(1, hour=20))
    story.tell(at(9, hour=8, minute=53), LINE)
    story.tell(at(9, hour=9, minute=10), LINE, cuts=(CUT,))
    story.tell(at(9, hour=18), cuts=(CUT,))
    story.tell(at(20, hour=3), blind=(MKS1,))
    story.tell(at(20, hour=3, minute=5), blind=(MKS1,), blind_for_s=360.0)
    story.tell(at(20, hour=4))
    story.tell(at(25), DBLINK)
    story.tell(at(1, 11), DBLINK, replace(LINE, detail="line 14"))
    return story


def written(directory: Path) -> Path:
    """failover.yaml of this group."""
    path = directory / "failover.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return path
