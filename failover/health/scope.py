"""Patroni's dynamic configuration and leader key, as we read and change them. Pure.

Invariant: only ``standby_cluster``, our own slot and ``synchronous_standby_names`` are ever
changed; every other key stays as it was found. What is not a JSON object is None, and None means
hold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeGuard

from failover.foreign import is_whole, json_object
from failover.health.inputs import ConfigSeen, LeaderKeySeen
from failover.model import Epoch, SiteName
from failover.policy import DatabaseHost

_PORT = re.compile("[0-9]{1,5}")
FENCE_PREFIX = "fenced by failover, epoch "
SYNC_NAMES = "synchronous_standby_names"


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a standby cluster streams from. ``host`` None: nowhere, it has a ``restore_command``
    alone (quarantine)."""

    host: str | None
    port: int | None


@dataclass(frozen=True, slots=True)
class PatroniConfig:
    """What matters to us in one scope's ``config``."""

    paused: bool
    upstream: Upstream | None  # None: an ordinary cluster, not a standby cluster
    document: Mapping[str, Any]  # the whole of it: foreign, and kept as found

    @property
    def is_standby_cluster(self) -> bool:
        return self.upstream is not None

    @property
    def is_quarantine(self) -> bool:
        return self.upstream is not None and self.upstream.host is None

    @property
    def sync_names(self) -> str:
        """Whom its primary is told to wait for, as text; empty where it is told nothing."""
        postgresql = self.document.get("postgresql")
        parameters = postgresql.get("parameters") if isinstance(postgresql, dict) else None
        value = parameters.get(SYNC_NAMES) if isinstance(parameters, dict) else None
        return "" if value is None else str(value)


def fence_value(epoch: Epoch) -> str:
    """The value of a fenced leader key: names no member, so nobody takes it for his own."""
    return f"{FENCE_PREFIX}{epoch}"


def is_fence(leader: LeaderKeySeen | None) -> bool:
    """A fence holds only as a persistent znode with a child under it: Patroni deletes a key
    that it believes stale, and cannot delete one that has a child."""
    return (
        leader is not None
        and leader.value.startswith(FENCE_PREFIX)
        and leader.ephemeral_owner == 0
        and leader.children_count > 0
    )


@lru_cache(maxsize=256)  # every look at the group reads the same few texts, which change seldom
def parse_config(config: ConfigSeen | None) -> PatroniConfig | None:
    """The configuration, or None where there is none or it is not a JSON object."""
    if config is None:
        return None
    try:
        document = json_object(config.text)
    except ValueError:
        return None
    standby = document.get("standby_cluster")
    if not is_whole(config.text) or not _can_be_changed(document):
        return None
    if not _is_standby_cluster(standby):
        return PatroniConfig(bool(document.get("pause")), None, document)
    if standby.get("port") and not standby.get("host"):
        return None  # a standby cluster of this host itself, to Patroni: nobody meant that
    if not isinstance(standby.get("host") or "", str):
        return None
    return PatroniConfig(bool(document.get("pause")), _upstream(standby), document)


def _can_be_changed(document: Mapping[str, Any]) -> bool:
    """What we change parts of are objects, so that their other parts can be kept."""
    postgresql = document.get("postgresql") or {}
    parts = [postgresql, document.get("standby_cluster") or {}, document.get("slots") or {}]
    if isinstance(postgresql, dict):
        parts.append(postgresql.get("parameters") or {})
    return all(isinstance(part, dict) for part in parts)


def _is_standby_cluster(standby: dict[str, Any] | None) -> TypeGuard[dict[str, Any]]:
    """As Patroni sees it (its global_config.py): with none of these it is an ordinary cluster,
    whatever else stands there."""
    return standby is not None and any(
        standby.get(key) for key in ("host", "port", "restore_command")
    )


def _upstream(standby: dict[str, Any]) -> Upstream:
    host, port = standby.get("host"), standby.get("port")
    known = _PORT.fullmatch(str(port))
    return Upstream(host=str(host) if host else None, port=int(str(port)) if known else None)


def slot_name(site: SiteName) -> str:
    """The physical slot that the standby scope at ``site`` streams from."""
    return "failover_" + site.replace("-", "_")


def quarantined(config: PatroniConfig) -> bytes:
    """A standby cluster of nobody: what returns stands still with its WAL."""
    return _dump({**_unlisted(config), "standby_cluster": {"restore_command": "false"}})


def promoted(config: PatroniConfig, other: SiteName) -> bytes:
    """An ordinary cluster that waits for nobody, with the slot that the other site streams from."""
    return _ordinary(_unlisted(config), other)


def ordinary_again(config: PatroniConfig, other: SiteName) -> bytes:
    """The same for a site that goes on: whom its commits wait for stays as it is."""
    return _ordinary(config.document, other)


def _ordinary(found: Mapping[str, Any], other: SiteName) -> bytes:
    document = {key: value for key, value in found.items() if key != "standby_cluster"}
    slot = {slot_name(other): {"type": "physical", "cluster_type": "primary"}}
    return _dump({**document, "slots": {**(document.get("slots") or {}), **slot}})


def following(config: PatroniConfig, own: SiteName, primary: DatabaseHost) -> bytes:
    """A standby cluster of exactly one host: with several, a dead first one cost 130 s."""
    standby = {
        "host": str(primary.address),
        "port": primary.postgres_port,
        "primary_slot_name": slot_name(own),
        "create_replica_methods": ["basebackup"],
    }
    return _dump({**config.document, "standby_cluster": standby})


def waiting_for(config: PatroniConfig, text: str) -> bytes:
    """The same scope with this ``synchronous_standby_names``; empty: without it."""
    if not text:
        return _dump(_unlisted(config))
    postgresql = config.document.get("postgresql") or {}
    parameters = {**(postgresql.get("parameters") or {}), SYNC_NAMES: text}
    return _dump({**config.document, "postgresql": {**postgresql, "parameters": parameters}})


def _unlisted(config: PatroniConfig) -> Mapping[str, Any]:
    """As it was found where nobody is listed."""
    if not config.sync_names:
        return config.document
    postgresql = config.document["postgresql"]
    parameters = {k: v for k, v in postgresql["parameters"].items() if k != SYNC_NAMES}
    return {**config.document, "postgresql": {**postgresql, "parameters": parameters}}


def _dump(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
