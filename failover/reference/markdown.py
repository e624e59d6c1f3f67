"""Tables and sentences as the pages of docs/ have them. Pure."""

from __future__ import annotations

from collections.abc import Iterable


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table; a bar inside of a cell does not end it."""
    names = tuple(heads)
    lines = [_row(names), "|" + "---|" * len(names), *(_row(row) for row in rows)]
    return "\n".join(lines) + "\n"


def link(page: str) -> str:
    """A page under docs/, by its name; a link is left out where there is none."""
    name = page.rpartition("/")[2].partition("#")[0].removesuffix(".md")
    return f"[{name}]({page})" if page else ""


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", r"\|") for cell in cells) + " |"
