"""The documentation builds as a site (`make docs`), strictly, with nothing from elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from docs_pages import ROOT

LIMIT_S = 300.0


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    """That nothing is fetched scripts/site_hook.py checks after the build."""
    words = ("-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path))
    ended = subprocess.run(
        (sys.executable, *words), cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (tmp_path / "operations" / "hold.html").is_file()
    assert (tmp_path / "deploy" / "prometheus").is_dir()
