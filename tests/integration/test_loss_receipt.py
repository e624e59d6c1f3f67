"""The receipt of a real old branch agrees with what clients were told, key by key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from single_container import lab_output

from failover.lab.workload.attempt import Attempt, decode_attempt
from failover.lab.workload.checker import judge
from failover.lab.workload.receipt_check import ReceiptReport, check_receipts
from failover.lab.workload.survivors import Survivors
from failover.receipt.document import KeysState, LostRow, Receipt, decode_receipt

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
SOURCES = Path("/opt/failover/src")
COMMAND = (
    f"cd /tmp && PYTHONPATH={SOURCES} exec runuser -u postgres -- "
    "/opt/failover/venv/bin/python /opt/failover/loss_story.py"
)


class Story:
    """What the story in the container printed, in its types."""

    def __init__(self, told: dict[str, Any]) -> None:
        lines = (json.dumps(one).encode() for one in told["attempts"])
        self.attempts: list[Attempt] = [decode_attempt(line) for line in lines]
        self.survivors = Survivors(**told["survivors"])
        self.text: str = told["receipt"]
        self.took_s: float = told["took_s"]
        self.receipt = decode_receipt(self.text.encode())
        self.without_server = decode_receipt(told["receipt_without_server"].encode())

    def check(self, receipt: Receipt) -> ReceiptReport:
        return check_receipts(self.attempts, self.survivors, [receipt])

    def odd_keys(self) -> list[LostRow]:
        return [key for one in self.receipt.lost for key in one.keys if key.table == "public.Odd"]


@pytest.fixture(scope="module")
def story() -> Story:
    files = {
        ROOT / "failover": str(SOURCES / "failover"),
        Path(__file__).with_name("loss_story.py"): "/opt/failover/loss_story.py",
    }
    return Story(json.loads(lab_output(["sh", "-c", COMMAND], files).splitlines()[-1]))


def test_what_was_acknowledged_and_is_missing_is_listed_and_nothing_else(story: Story) -> None:
    lost = judge(story.attempts, story.survivors).lost
    assert len(lost) > 50
    report = story.check(story.receipt)
    assert report.problems == ()
    assert report.acked == len(lost)
    assert story.receipt.complete
    assert story.receipt.problems == ()


def test_without_the_server_the_ids_alone_agree_and_the_missing_keys_are_told(
    story: Story,
) -> None:
    assert story.check(story.without_server).problems == ()
    assert story.without_server.keys.state is KeysState.MISSING
    assert "does not answer" in story.without_server.keys.detail
    assert story.without_server.complete


def test_the_shops_keys_are_its_clients_ids(story: Story) -> None:
    by_xid = {one.xid: one.id for one in story.attempts}
    listed = [
        (one.xid, key.key["id"])
        for one in story.receipt.lost
        for key in one.keys
        if key.table == "public.market_transaction"
    ]
    assert listed
    assert all(by_xid[xid] == key for xid, key in listed)


def test_every_other_transaction_is_told_by_relation(story: Story) -> None:
    """An insert, a delete, a prepared one, and one with subtransactions; and the new table."""
    others = story.check(story.receipt).others
    assert others["public.Odd",] == 4
    assert any("pg_catalog.pg_class" in names for names in others)


def test_keys_of_committed_rows_only_and_no_other_column(story: Story) -> None:
    """2 was deleted; 3 and 6 were rolled back; 4 was prepared and 7 is a subtransaction's."""
    assert [key.key["The"] for key in story.odd_keys()] == ["1", "4", "5", "7"]
    missing = [one.keys_missing for one in story.receipt.lost if one.keys_missing]
    assert missing == [{"deleted": 1}, {"deleted": 1}]
    assert "never in a receipt" not in story.text


def test_bounded(story: Story) -> None:
    assert story.took_s < 40
