"""docs/checks.md is current."""

from __future__ import annotations

import golden
import pytest

from failover.checks.page import page
from failover.checks.table import CHECKS


@pytest.mark.reference
def test_the_page_is_current() -> None:
    golden.check_page("checks.md", page(CHECKS))
