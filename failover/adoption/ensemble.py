"""The ZooKeeper ensemble under a pair: that both scopes are in it, and how it keeps time. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from failover.adoption.difference import UNKNOWN, Difference, Wanted
from failover.adoption.facts import Ensemble, Server, Snapshot
from failover.adoption.needs import Effect, When
from failover.endpoints import endpoint
from failover.timing import INIT_LIMIT_TICKS, lease_timing

RUNBOOK = "docs/operations/etcd-to-zookeeper.md"
LEASE = "docs/decisions/0002-lease-arithmetic.md"
WHERE = "ensemble"
SIZES = (3, 5)


def of_ensemble(snapshot: Snapshot, wanted: Wanted) -> Iterator[Difference]:
    ensemble = snapshot.ensemble
    if ensemble is None:
        yield _said(
            "servers",
            UNKNOWN,
            "3 or 5 over three sites",
            "it says who may write; none was named here",
            "docs/operations/install.md",
            Effect.NONE,
            ("name them: --zookeeper HOST:PORT, each",),
        )
        return
    yield from _scopes(ensemble, snapshot)
    if len(ensemble.servers) not in SIZES:
        yield _said(
            "servers",
            str(len(ensemble.servers)),
            "3 or 5 over three sites",
            "with one site or one link lost a majority has to be left",
            "docs/operations/install.md",
            Effect.MOVE,
        )
    for server in ensemble.servers:
        yield from _server(server, wanted)


def _scopes(ensemble: Ensemble, snapshot: Snapshot) -> Iterator[Difference]:
    if ensemble.scopes is None:
        yield _said(
            "scopes",
            f"{UNKNOWN}: {ensemble.problem}",
            "both, below one namespace",
            "takeover is one transaction over both scopes",
            RUNBOOK,
            Effect.NONE,
        )
        return
    for scope in snapshot.scopes:
        if scope.name not in ensemble.scopes:
            yield _said(
                "scopes",
                f"{scope.name} is not below {ensemble.namespace}",
                "both, below one namespace",
                "takeover is one transaction over both scopes: Patroni has to keep its state here",
                RUNBOOK,
                Effect.MOVE,
                (f"where Patroni keeps it in another store: {RUNBOOK}",),
            )


def _server(server: Server, wanted: Wanted) -> Iterator[Difference]:
    name = endpoint(server.address, server.port)
    if server.mode not in ("leader", "follower"):
        yield _said(
            name,
            server.mode or f"no answer: {server.problem}",
            "leader or follower",
            "with one server away the next loss ends the quorum",
            "docs/operations/quorum-lost.md",
            Effect.NONE,
        )
        return
    if not server.settings:
        yield _said(
            name,
            f"{UNKNOWN}: {server.problem}",
            "as in the rendered zoo.cfg",
            "the lease is counted from its ticks",
            LEASE,
            Effect.ZOOKEEPER,
            ("allow the word conf in 4lw.commands.whitelist",),
        )
        return
    timing, has = lease_timing(wanted.policy.lease_s), dict(server.settings)
    rendered = {
        "tickTime": timing.zookeeper_tick_ms,
        "syncLimit": timing.zookeeper_sync_limit_ticks,
        "initLimit": INIT_LIMIT_TICKS,
        "maxSessionTimeout": timing.zookeeper_session_ms_max,
    }
    for key, value in rendered.items():
        if key in has and has[key] != str(value):
            yield _said(
                f"{name} {key}",
                has[key],
                str(value),
                "the lease is counted from its ticks, and sessions must end in time",
                LEASE,
                Effect.ZOOKEEPER,
                ("the rendered zoo.cfg; restart followers first, the leader last",),
            )


def _said(
    key: str,
    found: str,
    wanted: str,
    why: str,
    doc: str,
    effect: Effect,
    do: tuple[str, ...] = (),
) -> Difference:
    return Difference(WHERE, key, found, wanted, When.ARM, effect, why, doc, do=do)
