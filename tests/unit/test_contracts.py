"""The layer contracts of pyproject.toml name modules; one that is new must not be left out."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = {
    each["name"]: set(each["source_modules"])
    for each in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "importlinter"
    ]["contracts"]
}
MIDDLE = next(name for name in CONTRACTS if name.startswith("The middle is pure"))
# Who may, or is not meant: everybody else is under the contract.
FREE = {
    "What runs at a site knows nothing of the lab and the simulation": {
        "cli",
        "console",  # shows what commands show
        "lab",
        "reference",
        "simulation",
    },
    "Only coordination/ talks to ZooKeeper": {"coordination"},
    "Only sites/, the guard on its own host and the lab talk to PostgreSQL": {
        "guard",
        "lab",
        "sites",
    },
    "Only pki/ makes keys and certificates": {"pki"},
}
# They say that they are pure, and import a package that the middle must not, for its values alone.
PURE_OUTSIDE = {
    "failover.console.document",  # a controller's turn; what commands show
    "failover.metrics.names",
    "failover.metrics.page",
    "failover.metrics.table",
    "failover.reference.alerts",
    "failover.reference.markdown",
    "failover.reference.ports",
}


def parts() -> set[str]:
    """The packages and modules right under failover/."""
    found = (ROOT / "failover").iterdir()
    return {
        path.stem
        for path in found
        if not path.name.startswith("__") and (path.suffix == ".py" or path.is_dir())
    }


@pytest.mark.parametrize("contract", FREE)
def test_everybody_is_under_the_contract_or_free_of_it(contract: str) -> None:
    named = {name.removeprefix("failover.") for name in CONTRACTS[contract]}
    assert named == parts() - FREE[contract]


def test_who_says_that_it_is_pure_is_in_the_middle() -> None:
    said = {name for name, text in docstrings() if re.search(r"\bPure[.;]", text)}
    assert len(said) > 100
    outside = {name for name in said if not any(covers(each, name) for each in CONTRACTS[MIDDLE])}
    assert outside == PURE_OUTSIDE


def covers(source: str, name: str) -> bool:
    return name == source or name.startswith(f"{source}.")


def docstrings() -> list[tuple[str, str]]:
    """Of every module but the lab's, which no decision imports."""
    return [
        (".".join(path.relative_to(ROOT).with_suffix("").parts), said)
        for path in sorted((ROOT / "failover").rglob("*.py"))
        if "lab" not in path.parts
        and (said := ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))))
    ]
