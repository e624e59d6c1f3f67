"""A campaign's runs in a file, one JSON line each: it goes on where it was stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

Run = TypeVar("Run")


class ResultsError(ValueError):
    """A file of results cannot be read. The message says where."""


def read_runs(path: Path, decoded: Callable[[str], Run]) -> list[Run]:
    """The runs on record, in order. A last line that was cut off by a crash is not one.

    ``decoded`` raises ValueError, TypeError or KeyError. ResultsError where a line that is not the
    last one is damaged; OSError where the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except UnicodeDecodeError:
        raise ResultsError(f"{path}: not text in UTF-8") from None
    runs = []
    for number, line in enumerate(lines, start=1):
        if number == len(lines) and not line.endswith("\n"):
            break
        try:
            runs.append(decoded(line))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ResultsError(f"{path}, line {number}: not a run: {error}") from None
    return runs


def appender(path: Path) -> Callable[[Any], None]:
    """Writes a run, a dataclass, to the end of the file, which is made where it is not there yet.

    A last line that was cut off goes first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and (text := path.read_text(encoding="utf-8")) and not text.endswith("\n"):
        path.write_text(text[: text.rfind("\n") + 1], encoding="utf-8")

    def append(run: Any) -> None:  # any dataclass
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(run)) + "\n")

    return append
