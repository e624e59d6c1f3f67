"""What deploy/README.md and tests/open.yaml say of deploy/failover.yaml."""

from __future__ import annotations

from pathlib import Path

from failover.config import load
from failover.transport import Wire

DEPLOY = Path(__file__).parents[2] / "deploy"
OPEN = Path(__file__).parents[1] / "open.yaml"


def test_what_a_site_starts_from_is_closed() -> None:
    here = load(DEPLOY / "failover.yaml")
    required = Wire.REQUIRE
    assert (here.tls.postgresql, here.tls.zookeeper, here.tls.patroni, here.tls.http) == (
        *(required, required, required, required),
    )
    assert here.access.position.closed


def test_the_open_one_differs_in_its_wires_and_keys_alone() -> None:
    here = load(OPEN)
    assert not here.tls.any
    assert not here.access.position.shown
    assert _rows(OPEN) == _rows(DEPLOY / "failover.yaml")


def _rows(path: Path) -> list[str]:
    """What is said, but for the two switches."""
    return [
        row
        for row in path.read_text(encoding="utf-8").splitlines()
        if row.strip() and not row.startswith(("#", "tls:", "zookeeper:"))
    ]


def test_the_page_names_every_folder() -> None:
    text = (DEPLOY / "README.md").read_text(encoding="utf-8")
    folders = [path.name for path in DEPLOY.iterdir() if path.is_dir()]
    assert [name for name in folders if f"`{name}/`" not in text] == []
