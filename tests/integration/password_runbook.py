"""The commands of docs/operations/passwords.md, as they stand there."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/operations/passwords.md"


def block(section: str, word: str) -> str:
    """The one shell block of a section that has this word in it."""
    sections = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    text = next(each for each in sections if each.startswith(f"{section}\n"))
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```$", text, flags=re.MULTILINE | re.DOTALL)
    (found,) = [each for each in blocks if word in each]
    return textwrap.dedent(found)
