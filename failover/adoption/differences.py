"""From what was read of a pair to what stands between it and this design. Pure.

What could not be read is a difference too: unknown is not in order.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator

from failover.adoption.difference import Difference, Wanted
from failover.adoption.ensemble import of_ensemble
from failover.adoption.facts import Scope, Snapshot
from failover.adoption.members import of_members
from failover.adoption.needs import Effect, When
from failover.adoption.scopes import of_pair, of_scope

EDIT = "patronictl edit-config"


def differences(snapshot: Snapshot, wanted: Wanted) -> tuple[Difference, ...]:
    """All of them, the weightiest first."""
    found: list[Difference] = [*of_pair(snapshot, wanted)]
    for scope, site in zip(snapshot.scopes, wanted.sites, strict=False):
        found += of_scope(scope, site, wanted)
        found += of_members(scope, site, snapshot, wanted)
    found += of_ensemble(snapshot, wanted)
    order = list(When)
    return tuple(sorted(found, key=lambda each: order.index(each.when)))


def commands(scope: Scope, found: Iterable[Difference]) -> Iterator[tuple[Effect, str]]:
    """What changes the scope's dynamic configuration: one command for each cost of it."""
    pairs: dict[Effect, list[str]] = {}
    for each in found:
        if each.where == scope.name and each.patch and each.when is not When.KNOW:
            pairs.setdefault(each.effect, []).extend(each.patch)
    for effect, values in pairs.items():
        words = " ".join(f"-s {shlex.quote(value)}" for value in dict.fromkeys(values))
        yield effect, f"{EDIT} {scope.name} {words}"
