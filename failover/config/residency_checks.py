"""What failover.yaml says about residency, against the rule: nothing outside Indonesia.

An exception may let a client or a tool in from elsewhere until a day; it never lets a whole copy
of a cluster stand abroad.
"""

from __future__ import annotations

from typing import Any

from failover.config import units
from failover.config.document import Document
from failover.config.draft import Draft, DraftNetwork, items, mapping, usable
from failover.config.problems import Location, did_you_mean
from failover.policy import Address, Purpose
from failover.residency.allowlist import COUNTRY, unmapped
from failover.residency.ways import ACCEPTABLE, SETTINGS

WHOLE_COPIES = (Purpose.REPLICATION, Purpose.BACKUP)


def residency_checks(document: Document, root: dict[str, Any], draft: Draft) -> None:
    """Note every mistake in ``document.problems``."""
    said = mapping(root.get("residency"))
    _countries(document, draft)
    for index, exception in items(said.get("exceptions")):
        _exception(document, ("residency", "exceptions", index), exception)
    seen: set[Any] = set()
    for index, endpoint in items(said.get("endpoints")):
        _endpoint(document, draft, ("residency", "endpoints", index), endpoint, seen)
    for index, accepted in items(said.get("accepted")):
        way = accepted.get("way")
        if isinstance(way, str) and way not in ACCEPTABLE:
            location: Location = ("residency", "accepted", index, "way")
            document.problem(
                location, f"{way!r} is no way out that is known", did_you_mean(way, ACCEPTABLE)
            )
    for name in mapping(said.get("settings")):
        if name not in SETTINGS:
            hint = did_you_mean(name, SETTINGS)
            document.problem(("residency", "settings", name), "is not looked at", hint)


def _countries(document: Document, draft: Draft) -> None:
    for name, site in draft.sites.items():
        for index, network in items(site.get("networks")):
            country = network.get("country")
            if isinstance(country, str) and country != COUNTRY:
                document.problem(
                    ("sites", name, "networks", index, "country"),
                    f"{country!r} is not Indonesia",
                    "what has to be let in from elsewhere stands under residency.exceptions, "
                    "with approver, reason and end",
                )


def _exception(document: Document, location: Location, exception: dict[str, Any]) -> None:
    purposes, country = exception.get("purpose"), exception.get("country")
    if not isinstance(purposes, list) or not isinstance(country, str) or country == COUNTRY:
        return
    copies = [each.value for each in WHOLE_COPIES if each in purposes]
    if copies:
        document.problem(
            (*location, "purpose"),
            f"{' and '.join(copies)} in {country}: a whole copy of a cluster stays in Indonesia",
            "no exception is made of that",
        )


def _endpoint(
    document: Document,
    draft: Draft,
    location: Location,
    endpoint: dict[str, Any],
    seen: set[Any],
) -> None:
    name, purpose = endpoint.get("name"), endpoint.get("purpose")
    if isinstance(name, str):
        if name in seen:
            document.problem((*location, "name"), f"{name!r} is given twice", "one for each")
        seen.add(name)
    address = usable(units.address, endpoint.get("host"))
    if address is not None and purpose in tuple(Purpose):
        dialled(document, draft, (*location, "host"), address, Purpose(purpose))


def dialled(
    document: Document, draft: Draft, location: Location, address: Address, purpose: Purpose
) -> None:
    """An address outside is a mistake. What a name stands for is asked when the file is used."""
    network = _network_of(draft, address)
    if network is None:
        document.problem(
            location, f"{address} is in no declared network", "declare its network first"
        )
    elif purpose not in network.purposes:
        document.problem(
            location,
            f"{address} stands in {network.network}, which is not for {purpose}",
            f"add {purpose} to its purpose, or declare another network",
        )


def _network_of(draft: Draft, address: Address) -> DraftNetwork | None:
    plain = unmapped(address)
    return next((each for each in draft.networks if plain in each.network), None)
