"""docs/checks.md is current."""

from __future__ import annotations

import os
from pathlib import Path

from failover.checks.page import page
from failover.checks.table import CHECKS

PAGE = Path(__file__).parents[2] / "docs" / "checks.md"


def test_the_page_is_current() -> None:
    text = page(CHECKS)
    if os.environ.get("REWRITE_GOLDEN"):
        PAGE.write_text(text, encoding="utf-8")
    assert text == PAGE.read_text(encoding="utf-8")
