"""What deploy/README.md says of deploy/failover.yaml."""

from __future__ import annotations

from pathlib import Path

from failover.config import parse
from failover.transport import Wire

DEPLOY = Path(__file__).parents[2] / "deploy"


def test_the_lab_is_open_by_two_lines_that_a_site_leaves_out() -> None:
    lines = (DEPLOY / "failover.yaml").read_text(encoding="utf-8").splitlines()
    two = [line for line in lines if line.startswith(("tls:", "zookeeper:"))]
    assert len(two) == 2
    here = parse("\n".join(lines))
    assert not here.tls.any
    assert not here.access.position.shown
    there = parse("\n".join(line for line in lines if line not in two))
    required = Wire.REQUIRE
    assert (there.tls.postgresql, there.tls.zookeeper, there.tls.patroni, there.tls.http) == (
        *(required, required, required, required),
    )
    assert there.access.position.closed


def test_the_page_names_every_folder() -> None:
    text = (DEPLOY / "README.md").read_text(encoding="utf-8")
    folders = [path.name for path in DEPLOY.iterdir() if path.is_dir()]
    assert [name for name in folders if f"`{name}/`" not in text] == []
