"""Text that a test compares with a file beside it, so that output can be read and reviewed.

``REWRITE_GOLDEN=1 pytest …`` writes the files anew; the change is then reviewed in the diff.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

from rich.console import Console, RenderableType

DIRECTORY = Path(__file__).parent / "golden"
WIDTH_MAX = 80


def text_of(shown: RenderableType) -> str:
    """As it is printed where there is no terminal, in 80 columns."""
    out = io.StringIO()
    Console(file=out, width=WIDTH_MAX, highlight=False).print(shown)
    return "".join(line.rstrip() + "\n" for line in out.getvalue().splitlines())


def check_golden(name: str, text: str) -> None:
    """The text is that of the file ``golden/<name>.txt``, plain and not wider than 80 columns."""
    assert "\x1b" not in text, "no colours where there is no terminal"
    assert max(map(len, text.splitlines())) <= WIDTH_MAX
    check_golden_file(f"{name}.txt", text)


def check_golden_file(name: str, text: str) -> None:
    """The text is that of the file ``golden/<name>``."""
    path = DIRECTORY / name
    if os.environ.get("REWRITE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


DOCS = Path(__file__).parents[2] / "docs"


def check_page(name: str, text: str) -> None:
    """The page ``docs/<name>`` is what the code makes of it. ``make reference`` writes them all."""
    path = DOCS / name
    if os.environ.get("REWRITE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), "`make reference` writes it anew"


def check_part(name: str, begin: str, end: str, text: str) -> None:
    """The same of what stands between two lines of a page that is written by hand."""
    before, found, rest = (DOCS / name).read_text(encoding="utf-8").partition(f"{begin}\n")
    assert found, f"{name}: {begin}"
    _old, found, after = rest.partition(end)
    assert found, f"{name}: {end}"
    check_page(name, f"{before}{begin}\n{text}{end}{after}")
