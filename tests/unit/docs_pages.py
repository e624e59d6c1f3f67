"""The pages of the documentation as tests read them: links, anchors, command lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "deploy").rglob("*.md"),
    ]
)
_FENCE = re.compile(r"^\s*(```|~~~)")
_INDENTED = re.compile(r"^( {4}|\t)")
_LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")  # its words may begin a line above
_HEAD = re.compile(r"^#{1,6} +(.*?)#*$")
_LINKED = re.compile(r"\[([^\]]*)\]\([^)]*\)")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def lines(page: Path) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it is code: fenced, or indented after an empty line."""
    fenced = indented = False
    before = ""
    for line in page.read_text(encoding="utf-8").splitlines():
        if _FENCE.match(line):
            fenced = not fenced
            yield line, True
            continue
        if not fenced and line.strip():
            indented = bool(_INDENTED.match(line)) and (indented or not before.strip())
        yield line, fenced or indented
        before = line


def links(page: Path) -> Iterator[tuple[str, str]]:
    """Target and anchor of each relative link; an empty target is the page itself."""
    for line, code in lines(page):
        if code:
            continue
        for target, anchor in _LINK.findall(re.sub(r"`[^`]*`", "``", line)):
            if "://" not in target and not target.startswith("mailto:"):
                yield target, anchor


def slug(head: str) -> str:
    """As the forge makes it, and the site by scripts/site_hook.py."""
    plain = _LINKED.sub(r"\1", head).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    found: set[str] = set()
    for line, code in lines(page):
        head = _HEAD.match(line)
        if head and not code:
            base = slug(head[1])
            again = (f"{base}-{number}" for number in range(1, 100))
            found.add(base if base not in found else next(a for a in again if a not in found))
    return found
