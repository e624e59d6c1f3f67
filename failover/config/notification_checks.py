"""What failover.yaml says about notifications, between its values.

A webhook is an endpoint like every other: it stands in a declared network for operations. Its name
is that of its place in the history, so no two targets share one.
"""

from __future__ import annotations

from typing import Any

from failover.config import units
from failover.config.document import Document
from failover.config.draft import Draft, items, usable
from failover.config.problems import Location
from failover.config.residency_checks import dialled
from failover.policy import Purpose

KINDS = ("webhook", "command")


def notification_checks(document: Document, root: dict[str, Any], draft: Draft) -> None:
    """Note every mistake in ``document.problems``."""
    seen: set[str] = set()
    for index, said in items(root.get("notifications")):
        location: Location = ("notifications", index)
        given = [kind for kind in KINDS if said.get(kind) is not None]
        if len(given) != 1:
            what = "is both a webhook and a command" if given else "is neither webhook nor command"
            document.problem(location, what, "one of them in each item of the list")
        for kind in given:
            if isinstance(target := said[kind], dict):
                _target(document, draft, (*location, kind), target, seen)


def _target(
    document: Document, draft: Draft, location: Location, target: dict[str, Any], seen: set[str]
) -> None:
    name = target.get("name")
    if isinstance(name, str):
        if name in seen:
            document.problem((*location, "name"), f"{name!r} is given twice", "one for each")
        seen.add(name)
    url = usable(units.url, target.get("url"))
    if url is not None and "bearer_file" in target and not url.text.startswith("https:"):
        what = "would be readable on its way: the URL is not https"
        document.problem((*location, "bearer_file"), what, "https, or no bearer")
    if url is not None and not isinstance(url.host, str):
        dialled(document, draft, (*location, "url"), url.host, Purpose.OPERATIONS)
