"""docs/residency.md has the table of the code."""

from __future__ import annotations

import os
from pathlib import Path

from failover.residency.page import BEGIN, END, ways_table

PAGE = Path(__file__).parents[2] / "docs" / "residency.md"


def test_the_page_has_every_way_as_the_code_has_it() -> None:
    before, begin, rest = PAGE.read_text().partition(f"{BEGIN}\n")
    table, end, after = rest.partition(END)
    assert begin, BEGIN
    assert end, END
    if os.environ.get("REWRITE_GOLDEN"):
        PAGE.write_text(f"{before}{begin}{ways_table()}{end}{after}")
    else:
        assert table == ways_table(), "REWRITE_GOLDEN=1 writes it anew"
