"""The model of the protocol: reduced it holds, rules taken away are found, and none is forgotten.

The whole of it is `make model` (docs/model.md).
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import check_model  # noqa: E402
from model_cases import LIMITS, MUTATIONS, Instance  # noqa: E402

SOURCES = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "model").glob("*.pml")}


def run(broken: str = "") -> check_model.Run:
    return check_model.Run(10, 20, 3, 130.0, 0.1, broken, ("jkt-db1: killed",) if broken else ())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("spin") is None, reason="spin: `scripts/setup --model`")
def test_a_reduced_model_holds_and_mutations_are_found() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "check_model.py"), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nobody is promoted" in done.stdout
    assert "NO_PERMIT, promotion without a permit: found by I1_single_writer" in done.stdout
    assert "    jkt-db2: promoted, timeline 1\n" in done.stdout


def test_every_mutation_of_the_model_is_run() -> None:
    in_the_model = set(re.findall(r"MUTATION_(\w+)", "".join(SOURCES.values())))
    assert in_the_model == {mutation.define for mutation in MUTATIONS}


def test_every_assertion_has_a_name_and_something_that_breaks_it() -> None:
    asserted = [
        line for text in SOURCES.values() for line in text.splitlines() if "assert(" in line
    ]
    names = {found[1] for line in asserted if (found := check_model.ASSERTION.search(line))}
    assert len(asserted) >= len(names) > 5
    assert [line for line in asserted if not check_model.ASSERTION.search(line)] == []
    assert names == {case.breaks for case in (*MUTATIONS, *LIMITS)}


def test_a_mutation_that_survives_or_is_found_by_chance_fails_the_run() -> None:
    mutation = MUTATIONS[0]
    instance = Instance("SMALL", "a small one", "protocol.pml", ())
    assert check_model.failures([(instance, run())], [(mutation, run(mutation.breaks))]) == []
    assert check_model.failures([], [(mutation, run())]) == [
        "NO_PERMIT (protocol.pml): found by nothing, not by I1_single_writer"
    ]
    assert check_model.failures([], [(mutation, run("fence_holds"))]) != []
    assert check_model.failures([(instance, run("I2_proof"))], []) == [
        "SMALL: I2_proof does not hold"
    ]


def test_a_name_that_nothing_has_is_refused() -> None:
    assert check_model.selected(quick=False, only=["NO_FENCE"]).instances == ()
    with pytest.raises(check_model.ModelError, match="no NO_FENC;"):
        check_model.selected(quick=False, only=["NO_FENC"])


def test_a_search_that_needs_too_much_of_the_processor_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_model, "PROCESSOR_S_MAX", 1)
    with pytest.raises(check_model.ModelError, match="ended by signal"):
        check_model._command([sys.executable, "-c", "while True: pass"], tmp_path)


def test_a_trail_tells_a_clock_that_goes_on_once() -> None:
    lines = [
        "guard: sends",
        "clock: 250 ms, session 1",
        "clock: 250 ms, session 2",
        "minder: kills",
    ]
    assert check_model.shortened(lines) == (
        "guard: sends",
        "clock: 250 ms, session 2 (2 times)",
        "minder: kills",
    )
