"""Every relative link and anchor of the documentation leads somewhere."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import docs_pages
import pytest
import yaml
from docs_pages import PAGES, ROOT

anchors = cache(docs_pages.anchors)


@pytest.mark.parametrize("page", PAGES, ids=docs_pages.name)
def test_links_and_anchors_lead_somewhere(page: Path) -> None:
    wrong = []
    for target, anchor in docs_pages.links(page):
        path = (page.parent / target).resolve() if target else page
        if not path.exists():
            wrong.append(f"{target}: there is no such file")
        elif anchor and path.suffix == ".md" and anchor not in anchors(path):
            wrong.append(f"{target}#{anchor}: no heading makes that anchor")
    assert wrong == []


def test_links_are_found() -> None:
    assert sum(1 for page in PAGES for _ in docs_pages.links(page)) > 300


def test_a_link_whose_words_go_over_two_lines_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("See [the other\npage](other.md#there), `[no](code.md)`, [x](https://x.id/).\n")
    assert list(docs_pages.links(page)) == [("other.md", "there")]


def nav_pages(entry: object) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    inner = entry.values() if isinstance(entry, dict) else entry
    assert not isinstance(inner, str | int)
    return [page for each in inner for page in nav_pages(each)]  # type: ignore[attr-defined]


def test_every_page_is_in_the_navigation_of_the_site_once() -> None:
    """mkdocs itself says nothing of a page that is left out where others are generated."""
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    told = nav_pages(site["nav"])
    there = [name.removeprefix("docs/") for name in map(docs_pages.name, PAGES)]
    assert sorted(told) == sorted(page for page in there if page != "README.md")


def test_the_site_needs_nothing_from_elsewhere() -> None:
    """It is read during an outage."""
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert site["theme"]["highlightjs"] is False, "the theme fetches it from a CDN"
    assert site["plugins"] == ["search"]
    assert "extra_javascript" not in site
