"""Both Patroni scopes: their dynamic configuration, and that one follows the other. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from failover.adoption.difference import Difference, Wanted
from failover.adoption.facts import Member, Scope, Snapshot
from failover.adoption.needs import BY_KEY, Effect, Need, When
from failover.checks.quantities import same_value
from failover.health.scope import slot_name
from failover.model import SiteName

PARAMETERS = "postgresql.parameters."
GUIDE = "docs/operations/adopt.md"
CHECKS = "docs/checks.md"
_GONE_WHEN_FOLLOWING = ("restore_command", "archive_cleanup_command")
_METHODS = "create_replica_methods"


def of_scope(scope: Scope, site: SiteName, wanted: Wanted) -> Iterator[Difference]:
    """One scope on its own."""
    yield from _named(scope, site, wanted)
    rendered = wanted.expected.dynamic(wanted.cluster.name, site)
    for need in BY_KEY.values():
        if (value := rendered.get(need.key)) is not None:
            yield from _of_key(scope, need, value)
    yield from _slots(scope, site, wanted)
    if scope.paused:
        yield Difference(
            scope.name,
            "pause",
            "on",
            "off",
            When.ARM,
            Effect.NONE,
            "a paused scope neither fails over nor is promoted",
            CHECKS,
            do=(f"patronictl resume {scope.name}",),
        )


def _named(scope: Scope, site: SiteName, wanted: Wanted) -> Iterator[Difference]:
    name = wanted.cluster.scope(site)
    if scope.name != name:
        yield Difference(
            scope.name,
            "scope",
            scope.name,
            name,
            When.ARM,
            Effect.NONE,
            "guards and controllers look for the scope by its name",
            "docs/configuration.md",
            do=(f"failover.yaml: clusters.{wanted.cluster.name}.scopes: {{{site}: {scope.name}}}",),
        )


# --------------------------------------------------------------------------- key by key


def _of_key(scope: Scope, need: Need, value: str) -> Iterator[Difference]:
    found, patch = _in_force(scope, scope.leader, need, value), (f"{need.key}={value}",)
    if found is None:
        if need.key not in scope.settings:
            yield _unwritten(scope, need, value, patch)
        return
    do = []
    overriding = [m.name for m in scope.members if m.written(need.key) not in (None, value)]
    if overriding:
        do.append(f"take {need.key} out of patroni.yml on {', '.join(overriding)}: it wins there")
    if need.effect is Effect.POSTGRESQL:
        do.append(f"patronictl restart {scope.name} HOST: replicas first, a primary when it suits")
    yield Difference(
        scope.name,
        need.key,
        found,
        value,
        need.when,
        need.effect,
        need.why,
        need.doc,
        patch,
        tuple(do),
    )


def _unwritten(scope: Scope, need: Need, value: str, patch: tuple[str, ...]) -> Difference:
    return Difference(
        scope.name,
        need.key,
        f"not written, and so {value}",
        value,
        When.ARM if need.when is When.ARM else When.AUTOMATION,
        Effect.RELOAD,
        "written out, nobody else's default changes it, and `failover check` can see it",
        CHECKS,
        patch,
    )


def _in_force(scope: Scope, leader: Member | None, need: Need, value: str) -> str | None:
    """What counts now, where that is not ``value``; None where all is well.

    What the server itself says goes before what is written for it.
    """
    shown = _shown(leader, need)
    if need.key == PARAMETERS + "wal_log_hints" and _has_checksums(leader):
        return None
    if shown is not None:
        return None if same_value(value, *shown) else _with_unit(*shown)
    written = leader.written(need.key) if leader is not None else None
    found = written or scope.settings.get(need.key)
    if found is None:
        return None if _same(value, need.absent or "") else f"{need.absent} (not set)"
    return None if _same(value, found) else found


def _shown(leader: Member | None, need: Need) -> tuple[str, str] | None:
    if leader is None or not need.key.startswith(PARAMETERS):
        return None
    return leader.setting(need.key.removeprefix(PARAMETERS))


def _has_checksums(leader: Member | None) -> bool:
    return leader is not None and leader.setting("data_checksums") == ("on", "")


def _same(wanted: str, found: str) -> bool:
    """Both as somebody wrote them: ``1min`` is ``60s``."""
    return any(same_value(wanted, found, unit) for unit in ("", "ms", "kB"))


def _with_unit(value: str, unit: str) -> str:
    return f"{value} × {unit}" if unit[:1].isdigit() else f"{value}{unit}"


# --------------------------------------------------------------------------- slots


def _slots(scope: Scope, site: SiteName, wanted: Wanted) -> Iterator[Difference]:
    own, settings = _slot_for_other_site(site, wanted), scope.settings
    want = {"type": "physical", "cluster_type": "primary"}
    if any(settings.get(f"slots.{own}.{key}") != value for key, value in want.items()):
        found = ", ".join(
            f"{key.rpartition('.')[2]} {value}"
            for key, value in settings.items()
            if key.startswith(f"slots.{own}.")
        )
        yield Difference(
            scope.name,
            f"slots.{own}",
            found or "not set",
            ", ".join(f"{key} {value}" for key, value in want.items()),
            When.ARM,
            Effect.RELOAD,
            "the primary keeps WAL for the other site; `cluster_type`, because a slot on standbys "
            "keeps WAL there for ever",
            CHECKS,
            tuple(f"slots.{own}.{key}={value}" for key, value in want.items()),
        )
    yield from _other_slots(scope, own)


def _slot_for_other_site(site: SiteName, wanted: Wanted) -> str:
    return slot_name(wanted.policy.other_data_site(site).name)


def _other_slots(scope: Scope, own: str) -> Iterator[Difference]:
    slots = scope.document.get("slots")
    for name, slot in (slots if isinstance(slots, dict) else {}).items():
        if name == own:
            continue
        logical = isinstance(slot, dict) and slot.get("type") == "logical"
        why = (
            "rows leave through a logical slot; `failover residency check` finds it"
            if logical
            else "a permanent slot that nobody reads keeps WAL until the disk is full; where the "
            "standby cluster streams through it, it goes once that streams through its new one"
        )
        yield Difference(
            scope.name,
            f"slots.{name}",
            "logical" if logical else "physical",
            "none but ours",
            When.LATER,
            Effect.RELOAD,
            why,
            "docs/residency.md" if logical else CHECKS,
            do=(f"when nobody reads it: patronictl edit-config {scope.name} -s slots.{name}=null",),
        )


# --------------------------------------------------------------------------- one follows the other


def of_pair(snapshot: Snapshot, wanted: Wanted) -> Iterator[Difference]:
    """That there are two scopes of one database, one of them streaming from the other."""
    primary, standby = snapshot.primary, snapshot.standby
    if primary.standby_cluster is not None:
        yield _role(primary.name, "a standby cluster", "an ordinary cluster")
    if standby is None:
        yield Difference(
            primary.name,
            "standby cluster",
            "none, or none was named",
            f"a standby cluster at {wanted.sites[1]}",
            When.ARM,
            Effect.COPY,
            "what the group moves to when its site is lost",
            GUIDE + "#a-standby-cluster-where-there-is-none",
        )
        return
    if standby.standby_cluster is None:
        yield _role(standby.name, "an ordinary cluster", "a standby cluster")
    else:
        yield from _followed(standby, standby.standby_cluster, primary, wanted.sites[1])
    yield from _streams(primary, standby)
    yield from _names(snapshot)


def _role(scope: str, found: str, wanted: str) -> Difference:
    return Difference(
        scope,
        "standby_cluster",
        found,
        wanted,
        When.ARM,
        Effect.MOVE,
        "the first scope named is the active site's, the second the standby cluster of it",
        GUIDE,
        do=("name them the other way round, or set initial_site in failover.yaml to the other",),
    )


def _followed(
    standby: Scope, said: dict[str, object], primary: Scope, site: SiteName
) -> Iterator[Difference]:
    slot = slot_name(site)
    if said.get("primary_slot_name") != slot:
        yield Difference(
            standby.name,
            "standby_cluster.primary_slot_name",
            str(said.get("primary_slot_name") or "not set"),
            slot,
            When.ARM,
            Effect.RELOAD,
            "the slot in which the other site keeps WAL for this one: set it when that slot is "
            f"there (first the scope {primary.name})",
            CHECKS,
            (f"standby_cluster.primary_slot_name={slot}",),
        )
    if said.get("recovery_min_apply_delay"):
        yield Difference(
            standby.name,
            "standby_cluster.recovery_min_apply_delay",
            str(said["recovery_min_apply_delay"]),
            "not set",
            When.ARM,
            Effect.RELOAD,
            "a takeover waits until all that was received is replayed",
            CHECKS,
            ("standby_cluster.recovery_min_apply_delay=null",),
        )
    yield from _rewritten(standby, said, primary)


def _rewritten(standby: Scope, said: dict[str, object], primary: Scope) -> Iterator[Difference]:
    """What controllers write anew as soon as they may: nothing has to be done."""
    leader = primary.leader
    host = str(said.get("host") or "not set")
    if leader is not None and (host, str(said.get("port") or 5432)) != (
        leader.address,
        str(leader.postgres_port),
    ):
        yield _by_controllers(
            standby, "host", host, f"{leader.address}, port {leader.postgres_port}"
        )
    for key in _GONE_WHEN_FOLLOWING:
        if said.get(key):
            yield _by_controllers(standby, key, "set", "not set")
    if said.get(_METHODS) not in (None, ["basebackup"]):
        yield _by_controllers(standby, _METHODS, str(said[_METHODS]), "basebackup")


def _by_controllers(scope: Scope, key: str, found: str, wanted: str) -> Difference:
    return Difference(
        scope.name,
        f"standby_cluster.{key}",
        found,
        wanted,
        When.KNOW,
        Effect.NONE,
        "armed, and with automation manual or auto, controllers keep the standby cluster at the "
        "present primary and write this part anew",
        "docs/architecture.md#following",
    )


def _streams(primary: Scope, standby: Scope) -> Iterator[Difference]:
    leader, follower = primary.leader, standby.leader
    for scope, found in ((primary, leader), (standby, follower)):
        if found is None:
            yield Difference(
                scope.name,
                "leader",
                "none",
                "one",
                When.ARM,
                Effect.NONE,
                "nobody holds Patroni's key of this scope",
                CHECKS,
                do=(f"patronictl list {scope.name}",),
            )
    if leader is None or follower is None:
        return
    names = {w.application_name for w in leader.walsenders if w.state == "streaming"}
    if follower.name not in names:
        yield Difference(
            standby.name,
            "replication",
            f"{follower.name} does not stream from {leader.name}",
            f"{follower.name} streams from {leader.name}",
            When.ARM,
            Effect.NONE,
            "what the other site has not received is lost in a takeover; its application_name is "
            "its member name, by which it is known",
            CHECKS,
            do=(f"patronictl list {standby.name}",),
        )
    if leader.timeline != follower.timeline and None not in (leader.timeline, follower.timeline):
        yield Difference(
            standby.name,
            "timeline",
            str(follower.timeline),
            str(leader.timeline),
            When.ARM,
            Effect.NONE,
            "two branches of one history",
            "docs/operations/reinstate.md",
        )


def _names(snapshot: Snapshot) -> Iterator[Difference]:
    names = [member.name for member in snapshot.members]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Difference(
            name,
            "name",
            "a member of both scopes",
            "one name, one host",
            When.ARM,
            Effect.PATRONI,
            "synchronous_standby_names, claims and receipts know a host by its name",
            "docs/configuration.md",
            do=("patroni.yml of one of them: another name; with Patroni paused, then restarted",),
        )
