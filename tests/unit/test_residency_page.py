"""docs/residency.md has the table of the code."""

from __future__ import annotations

import golden
import pytest

from failover.residency.page import BEGIN, END, ways_table


@pytest.mark.reference
def test_the_page_has_every_way_as_the_code_has_it() -> None:
    golden.check_part("residency.md", BEGIN, END, ways_table())
