"""How the plan checks read a transaction: operations by path, znodes as they would become. Pure.

Shares no code with what builds plans; only paths and the decoders of znodes are common.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from failover.foreign import json_object
from failover.health.cluster_view import ClusterView, SideView
from failover.health.view import View
from failover.model import SiteName
from failover.planning.plan import Plan
from failover.policy import Address, Site
from failover.state import GroupState, StateError, decode_state
from failover.znode import Check, Create, Delete, GroupPaths, Op, ScopePaths, Set, Transaction

OpKind = TypeVar("OpKind", Check, Create, Delete, Set)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a plan must not be committed."""

    check: str
    detail: str


Problems = Iterator[Problem]


@dataclass(frozen=True, slots=True)
class Reading:
    """One transactional plan, as a reviewer reads it, next to the view it was made from."""

    plan: Plan
    view: View
    ops: Transaction
    before: GroupState
    after: GroupState | None  # None: the plan leaves ``state`` as it is, or writes no state

    @property
    def paths(self) -> GroupPaths:
        return GroupPaths(self.view.policy.group)

    @property
    def request_path(self) -> str:
        """Where the request that was read stands."""
        return self.view.request_path

    @property
    def clusters(self) -> tuple[ClusterView, ...]:
        """The clusters that the plan says it is about."""
        return tuple(c for c in self.view.clusters if c.name in self.plan.clusters)

    def scope(self, cluster: ClusterView, side: SideView) -> ScopePaths:
        name = self.view.policy.cluster(cluster.name).scope(side.site)
        return ScopePaths(self.view.policy.patroni_namespace, name)

    def find(self, kind: type[OpKind], path: str) -> OpKind | None:
        """The first operation of that kind on that path."""
        return next((op for op in self.ops if isinstance(op, kind) and op.path == path), None)

    def position(self, op: Op | None) -> int:
        """Where the operation stands; -1 for none."""
        return -1 if op is None else self.ops.index(op)


def read(plan: Plan, view: View, ops: Transaction) -> Reading | None:
    """None where the view has no state to compare with."""
    if view.state is None:
        return None
    path = GroupPaths(view.policy.group).state
    written = next((op for op in ops if isinstance(op, Set) and op.path == path), None)
    return Reading(plan, view, ops, view.state, _state(written))


def _state(written: Set | None) -> GroupState | None:
    if written is None:
        return None
    try:
        return decode_state(written.data)
    except StateError:
        return None


def declared(reading: Reading, site: Site, address: Address) -> bool:
    """A whole copy may stand at the address now: in a network of that site, in Indonesia, for
    replication. Says again in its own words what ``residency/allowlist.py`` says."""
    today = datetime.fromtimestamp(reading.view.now_unix_s, UTC).date()
    return site.country == "ID" and any(
        address in each.network
        and each.country == "ID"
        and "replication" in each.purposes
        and (each.expires is None or today <= each.expires)
        for each in site.declared
    )


def document(data: bytes | str | None) -> dict[str, Any] | None:
    """A JSON object, or None."""
    try:
        return json_object(data) if data is not None else None
    except ValueError:
        return None


def config_before(side: SideView) -> dict[str, Any] | None:
    config = side.scope.config if side.scope is not None else None
    return document(config.text) if config is not None else None


def slots_with(before: dict[str, Any], site: SiteName) -> dict[str, Any]:
    """The slots as they were, and the one that this site streams from."""
    name = "failover_" + site.replace("-", "_")
    slot = {"type": "physical", "cluster_type": "primary"}
    return {**(before.get("slots") or {}), name: slot}


def sync_names(config: dict[str, Any]) -> str:
    """The text of ``synchronous_standby_names`` in a scope's configuration; empty for none."""
    postgresql = config.get("postgresql")
    parameters = postgresql.get("parameters") if isinstance(postgresql, dict) else None
    found = parameters.get("synchronous_standby_names") if isinstance(parameters, dict) else None
    return "" if found is None else str(found)


def without_list(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration without the list of those that commits wait for."""
    postgresql = config.get("postgresql")
    parameters = postgresql.get("parameters") if isinstance(postgresql, dict) else None
    if not isinstance(postgresql, dict) or not isinstance(parameters, dict):
        return config
    rest = {k: v for k, v in parameters.items() if k != "synchronous_standby_names"}
    return {**config, "postgresql": {**postgresql, "parameters": rest}}


def other_keys(config: dict[str, Any], *changed: str) -> dict[str, Any]:
    """All that a plan may not touch."""
    return {key: value for key, value in config.items() if key not in changed}
