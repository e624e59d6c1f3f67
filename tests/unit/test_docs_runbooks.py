"""Runbooks are of one shape: whoever is woken up finds each thing where it was last time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from docs_pages import ROOT, name

OPERATIONS = ROOT / "docs" / "operations"
# Planned work, and pages about a tool: of their own shape.
PLANNED = {
    *("install", "containers", "upgrade", "switchover", "rehearsal"),
    *("certificates", "access", "adopt"),
    "passwords",
    *("notifications", "history", "README"),
}
WANTED = (
    *("hold", "takeover", "two-writers", "loss-receipt", "two-sites-lost", "reinstate-by-hand"),
    *("witness-lost", "add-cluster", "move-witness", "backups"),
)
SHAPE = ("## Look", "## Do", "## Stop and call", "## Do not")
RUNBOOKS = [page for page in sorted(OPERATIONS.glob("*.md")) if page.stem not in PLANNED]


def alerts() -> list[dict[str, Any]]:
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.rules.yml").read_text("utf-8"))
    return [rule for group in rules["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("page", RUNBOOKS, ids=name)
def test_a_runbook_has_the_shape_in_order(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    heads = [line for line in text.splitlines() if line in SHAPE]
    assert heads == list(SHAPE)
    assert "**It means**" in text
    assert "**You see**" in text or "**Planned work.**" in text
    assert text.index("**It means**") < text.index("## Look")


def test_every_runbook_that_is_wanted_is_there_and_in_the_list() -> None:
    listed = (OPERATIONS / "README.md").read_text(encoding="utf-8")
    assert [page for page in WANTED if not (OPERATIONS / f"{page}.md").exists()] == []
    assert [page.stem for page in RUNBOOKS if f"]({page.name}" not in listed] == []


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_the_runbook_of_an_alert_names_it(alert: dict[str, Any]) -> None:
    """Whoever has the name of the alert, and not its link, finds the page by a search."""
    page = alert["annotations"]["runbook"].partition("#")[0]
    assert f"`{alert['alert']}`" in (ROOT / page).read_text(encoding="utf-8")
