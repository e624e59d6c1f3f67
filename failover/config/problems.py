"""A mistake in failover.yaml as a value: where, what, and what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

Location = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. ``path`` as in ``sites.jakarta.networks[0]``; empty: the file as a whole."""

    path: str
    message: str
    hint: str = ""
    line: int | None = None

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        what = f"{self.path}: {self.message}" if self.path else self.message
        return f"{where}{what}" + (f" ({self.hint})" if self.hint else "")


class ConfigError(Exception):
    """failover.yaml cannot be used. ``problems`` has every mistake, in the order of the file."""

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        count = len(self.problems)
        lines = [f"{source}: {count} mistake{'s' * (count != 1)}"]
        super().__init__("\n".join([*lines, *(f"  {problem}" for problem in self.problems)]))


def path_text(location: Location) -> str:
    """``("sites", "jakarta", "networks", 0)`` as ``sites.jakarta.networks[0]``."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            word = part if part.isprintable() else repr(part)
            text += f".{word}" if text else word
    return text


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint with the nearest known word, else all of them."""
    options = sorted(known)
    near = difflib.get_close_matches(word, options, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"known: {', '.join(options)}" if options else ""
