"""What is installed in the lab's image is what failover runs on."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import failover.lab.image

LOCK = Path(failover.lab.image.__file__).with_name("requirements.lock")


def pinned(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [line.partition("==") for line in lines if line and not line.startswith("#")]
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, _, version in found}


def test_every_dependency_is_in_the_image_in_the_version_that_is_tested_here() -> None:
    with Path("pyproject.toml").open("rb") as file:
        dependencies = tomllib.load(file)["project"]["dependencies"]
    names = {re.split(r"[\[<>=~!;]", one)[0].strip() for one in dependencies}
    image, here = pinned(LOCK), pinned(Path("requirements.lock"))
    assert names <= set(image)
    assert {name: image[name] for name in names} == {name: here[name] for name in names}
