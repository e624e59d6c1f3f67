"""What is installed in the lab's image is what failover runs on."""

from __future__ import annotations

import re
import tomllib
from itertools import pairwise
from pathlib import Path

import failover.lab.image

LOCK = Path(failover.lab.image.__file__).with_name("requirements.lock")


def pinned(path: Path) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)==([\w.+-]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


def test_every_dependency_is_in_the_image_in_the_version_that_is_tested_here() -> None:
    with Path("pyproject.toml").open("rb") as file:
        dependencies = tomllib.load(file)["project"]["dependencies"]
    names = {re.split(r"[\[<>=~!;]", one)[0].strip() for one in dependencies}
    image, here = pinned(LOCK), pinned(Path("requirements.lock"))
    assert names <= set(image)
    assert {name: image[name] for name in names} == {name: here[name] for name in names}


def test_what_is_installed_here_is_what_the_index_had_when_it_was_locked() -> None:
    """With one hash in the file pip takes nothing that has none."""
    rows = Path("requirements.lock").read_text(encoding="utf-8").splitlines()
    bare = [row for row, after in pairwise([*rows, ""]) if "==" in row and "--hash=" not in after]
    assert bare == []
