"""What the site needs beside mkdocs: pages outside of docs/, the forge's anchors, nothing fetched.

mkdocs knows one directory. The READMEs of deploy/ and the changelog are added under the same paths,
and links between them and docs/ are rewritten, so that one source is right in both places.
"""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
OUTSIDE = (
    "CHANGELOG.md",
    "deploy/README.md",
    "deploy/prometheus/README.md",
    "deploy/grafana/README.md",
)
_LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)]*)?\))")
_FETCHED = re.compile(
    r"""<(?:script|img|iframe)[^>]+src=["']?(?:https?:)?//|<link[^>]+href=["']?(?:https?:)?//"""
    r"""|url\(["']?(?:https?:)?//|@import ["'](?:https?:)?//"""
)


def on_config(config: Any) -> Any:
    config["mdx_configs"].setdefault("toc", {})["slugify"] = slug
    return config


def slug(head: str, _separator: str) -> str:
    """As the forge makes anchors; tests/unit/docs_pages.py has the same."""
    plain = unicodedata.normalize("NFC", head).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def on_files(files: Files, config: Any) -> Files:
    for name in OUTSIDE:
        files.append(File.generated(config, name, content=(ROOT / name).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links over the border of docs/ to where the page is in the site."""
    here = page.file.src_uri
    source = Path(here) if here in OUTSIDE else Path("docs", here)

    def moved(found: re.Match[str]) -> str:
        if "://" in found[2]:
            return found[0]
        target = os.path.normpath(source.parent / found[2])
        inside = target.removeprefix("docs/")
        if files.get_file_from_path(inside) is None:
            return found[0]
        return found[1] + os.path.relpath(inside, Path(here).parent) + found[3]

    return _LINK.sub(moved, markdown)


def on_post_build(config: Any) -> None:
    """It is read during an outage: a page that fetches anything from elsewhere is an error."""
    site = Path(config["site_dir"])
    for path in sorted([*site.rglob("*.html"), *site.rglob("*.css")]):
        found = _FETCHED.search(path.read_text("utf-8"))
        if found is not None:
            raise PluginError(f"{path} fetches something from elsewhere: {found[0]}")
