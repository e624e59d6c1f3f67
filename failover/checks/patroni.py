"""Patroni: the dynamic configuration of both scopes against what is rendered, and its members.

Invariant: every key of the dynamic configuration belongs to exactly one check (``OWNERS``; what
nobody owns is ``patroni-parameters``'s), so that one wrong key fails one check. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from failover.checks import flat
from failover.checks.flat import Flat
from failover.checks.found import Found
from failover.checks.result import LOOK_AT_OBSERVERS, Check, Said, Subject, of, unknown
from failover.health.cluster_view import ClusterView, SideView
from failover.health.protection import listed
from failover.health.scope import SYNC_NAMES

SYNC_KEY = f"postgresql.parameters.{SYNC_NAMES}"
OWNERS: dict[str, tuple[str, ...]] = {
    "patroni-lease": ("ttl", "loop_wait", "retry_timeout"),
    "patroni-timeouts": (
        "primary_start_timeout",
        "primary_stop_timeout",
        "master_start_timeout",
        "master_stop_timeout",
    ),
    "patroni-lag": ("maximum_lag_on_failover", "maximum_lag_on_syncnode"),
    "patroni-failsafe": ("failsafe_mode",),
    "patroni-synchronous": (
        "synchronous_mode",
        "synchronous_mode_strict",
        "synchronous_node_count",
        SYNC_KEY,
    ),
    "patroni-slots": ("slots", "ignore_slots", "postgresql.use_slots"),
    "patroni-rewind": (
        "postgresql.use_pg_rewind",
        "postgresql.remove_data_directory_on_rewind_failure",
        "postgresql.remove_data_directory_on_diverged_timelines",
    ),
    "patroni-pause": ("pause",),
    "standby-upstream": ("standby_cluster",),
}
_OWNED = tuple(key for keys in OWNERS.values() for key in keys)
# What an absent key means to Patroni (tags: its manual; config.py), where nothing is rendered.
DEFAULTS = {
    "maximum_lag_on_syncnode": "-1",
    "tags": "{}",
    "tags.clonefrom": "off",
    "tags.failover_priority": "1",
    "tags.nofailover": "off",
    "tags.noloadbalance": "off",
    "tags.nostream": "off",
    "tags.nosync": "off",
    "tags.sync_priority": "1",
}
_HARMLESS_WHERE_OFF = ("synchronous_mode_strict", "failsafe_mode", "pause")

Side = tuple[ClusterView, SideView]


def sides(found: Found) -> Iterator[Side]:
    for cluster in found.view.clusters:
        yield cluster, cluster.active
        yield cluster, cluster.standby


def scope_name(found: Found, side: Side) -> str:
    return found.policy.cluster(side[0].name).scope(side[1].site)


def dynamic(side: SideView) -> Flat | None:
    """The scope's configuration, flat. None: absent, or not understood."""
    return flat.flat(dict(side.config.document)) if side.config is not None else None


def _keys_as_rendered(name: str) -> Callable[[Found], Said]:
    """The keys that this check owns, in every scope."""
    return lambda found: _compared(found, OWNERS[name], strict=True)


# Of PostgreSQL's parameters only these are the design's; an operator sizes the others for himself.
_PARAMETERS = "postgresql.parameters."
DESIGNED = frozenset(
    f"{_PARAMETERS}{name}"
    for name in (
        "archive_mode",
        "hot_standby",
        "logging_collector",
        "max_prepared_transactions",
        "max_slot_wal_keep_size",
        "reserved_connections",
        "wal_level",
        "wal_log_hints",
        "wal_receiver_timeout",
        "wal_retrieve_retry_interval",
        "wal_sender_timeout",
    )
)


def parameters(found: Found) -> Said:
    """All that no other check owns: the design's as rendered, the operator's alike at both sites.
    What stands there besides is said, and harms nothing known."""
    said = _compared(found, (), strict=False)
    if said.verdict not in ("ok", "warning"):
        return said
    wrong = []
    for cluster in found.view.clusters:
        here, there = (_sized(dynamic(s) or {}) for s in (cluster.active, cluster.standby))
        wrong += [
            f"{cluster.name}: {key.removeprefix(_PARAMETERS)} is {here.get(key, 'not set')} in "
            f"{cluster.active.site}, {there.get(key, 'not set')} in {cluster.standby.site}"
            for key in sorted({*here, *there})
            if here.get(key) != there.get(key)
        ]
    return of(said.sentence, wrong=wrong) if wrong else said


def _sized(whole: Flat) -> Flat:
    """What an operator sizes for himself."""
    own = {key: value for key, value in whole.items() if key.startswith(_PARAMETERS)}
    return {k: v for k, v in flat.without(own, _OWNED).items() if k not in DESIGNED}


def _compared(found: Found, keys: tuple[str, ...], *, strict: bool) -> Said:
    wrong: list[str] = []
    doubtful: list[str] = []
    unseen = []
    said: dict[str, str] = {}
    for side in sides(found):
        scope = scope_name(found, side)
        whole = dynamic(side[1])
        if whole is None:
            unseen.append(f"{scope} has no usable configuration")
            continue
        wanted = found.expected.dynamic(side[0].name, side[1].site)
        have = flat.without_defaults(_part(whole, keys), DEFAULTS)
        want = flat.without_defaults(_part(wanted, keys), DEFAULTS)
        if not keys:
            sized = _sized({**whole, **wanted})
            have, want = ({k: v for k, v in d.items() if k not in sized} for d in (have, want))
        wrong += [f"{scope}: {text}" for text in flat.differences(have, want)]
        besides = [f"{scope}: {text}, which is not rendered" for text in _besides(have, want)]
        (wrong if strict else doubtful).extend(besides)
        said |= want
    well = (
        ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in said.items())
        if keys
        else f"{len(said)} settings"
    )
    return of(
        f"both scopes have {well or 'nothing but the defaults'}",
        wrong=wrong,
        doubtful=doubtful,
        unseen=unseen,
    )


def _part(settings: Flat, keys: tuple[str, ...]) -> Flat:
    return flat.only(settings, keys) if keys else flat.without(settings, _OWNED)


def _besides(have: Flat, want: Flat) -> Iterator[str]:
    for text in flat.extra(have, want):
        key = text.partition(" is ")[0]
        if not (key in _HARMLESS_WHERE_OFF and have[key] == "off"):
            yield text


def synchronous(found: Found) -> Said:
    """Patroni's own mode is off always; the list is the controller's, by the protection mode."""
    keys = tuple(key for key in OWNERS["patroni-synchronous"] if key != SYNC_KEY)
    own = _compared(found, keys, strict=True)
    if own.verdict != "ok":
        return own
    state = found.view.state
    if state is None:
        return unknown("there is no usable state: whom commits should wait for is not known")
    wrong, doubtful, told = [], [], []
    for cluster in found.view.clusters:
        names = listed(cluster)
        if names is None:
            wrong.append(f"{cluster.name}: {SYNC_NAMES} of the active scope is not ours")
        elif names and not state.protection.synchronous:
            wrong.append(
                f"{cluster.name}: commits wait for {', '.join(names)} in {state.protection}"
            )
        elif state.protection.synchronous and not names:
            doubtful.append(f"{cluster.name}: commits wait for nobody in {state.protection}")
        else:
            told.append(f"{cluster.name} waits for {', '.join(names) or 'nobody'}")
    return of(
        f"Patroni's own mode is off; in {state.protection} {', '.join(told)}",
        wrong=wrong,
        doubtful=doubtful,
    )


def slots(found: Found) -> Said:
    """Each scope keeps the other site's slot, and no other one."""
    wrong, unseen = [], []
    for side in sides(found):
        scope = scope_name(found, side)
        whole = dynamic(side[1])
        if whole is None:
            unseen.append(f"{scope} has no usable configuration")
            continue
        wanted = found.expected.dynamic(side[0].name, side[1].site)
        have, want = _part(whole, OWNERS["patroni-slots"]), _part(wanted, OWNERS["patroni-slots"])
        wrong += [f"{scope}: {text}" for text in flat.differences(have, want)]
        wrong += [
            f"{scope}: {text}, a slot that nothing here reads keeps WAL for ever"
            for text in flat.extra(have, want)
        ]
    return of("both scopes keep the other site's slot alone", wrong=wrong, unseen=unseen)


def pause(found: Found) -> Said:
    return of(
        "no scope is paused",
        wrong=[
            f"{scope_name(found, side)} is paused: it neither fails over nor is promoted, and its "
            "primary goes on without Patroni's lease"
            for side in sides(found)
            if side[1].paused
        ],
        unseen=[
            f"whether {scope_name(found, side)} is paused cannot be read"
            for side in sides(found)
            if side[1].paused is None
        ],
    )


def upstream(found: Found) -> Said:
    """One host, the active site's present primary."""
    wrong, unseen, told = [], [], []
    for cluster in found.view.clusters:
        standby, primary = cluster.standby, cluster.primary
        scope = scope_name(found, (cluster, standby))
        if cluster.active.config is None:
            active = scope_name(found, (cluster, cluster.active))
            unseen.append(f"{active} has no usable configuration")
        elif cluster.active.config.is_standby_cluster:
            wrong.append(f"{scope_name(found, (cluster, cluster.active))}: a standby cluster")
        if standby.config is None or primary is None:
            unseen.append(f"{scope}: its configuration, or the primary, is not known")
            continue
        host = standby.config.upstream.host if standby.config.upstream else None
        if host != str(primary.host.address):
            what = "quarantine" if standby.config.is_quarantine else host or "nobody"
            wrong.append(f"{scope} follows {what}, not {primary.host.name}")
        else:
            told.append(f"{scope} follows {primary.host.name}")
    return of(", ".join(told), wrong=wrong, unseen=unseen)


def members(found: Found) -> Said:
    wrong: list[str] = []
    unseen: list[str] = []
    doubtful, count = [], 0
    for side in sides(found):
        for host in side[1].hosts:
            seen, name = host.patroni, host.host.name
            if seen is None:
                no_word = f"Patroni of {name} gives no observer an answer"
                (unseen if not found.view.living_observers else wrong).append(no_word)
                continue
            count += 1
            if seen.state not in ("running", "streaming"):
                wrong.append(f"Patroni of {name} says {seen.state}")
            if seen.nofailover:
                wrong.append(f"{name} is tagged nofailover")
            if seen.pending_restart:
                doubtful.append(f"{name} waits for a restart of PostgreSQL: settings not in force")
    return of(
        f"{count} members run, none is tagged nofailover",
        wrong=wrong,
        doubtful=doubtful,
        unseen=unseen,
        unseen_fix=LOOK_AT_OBSERVERS,
    )


_PATCH = (
    "Bring back what is named, and nothing else: `patronictl edit-config` on one of the scope's "
    "hosts; its value is under bootstrap.dcs in the rendered patroni.yml."
)
_SOURCE = "failover/render/templates/patroni.yml.j2"


def _of_keys(
    name: str, assumes: str, judge: Callable[[Found], Said] | None = None, source: str = _SOURCE
) -> Check:
    judged = judge or _keys_as_rendered(name)
    return Check(name, Subject.PATRONI, assumes, _PATCH, source, judged)


PATRONI_CHECKS = (
    Check(
        "patroni-members",
        Subject.PATRONI,
        "Patroni answers on every database host, runs its server, and may promote it.",
        "`systemctl status patroni` on that host; take the tag nofailover out of patroni.yml; "
        "`patronictl restart SCOPE HOST` where a restart is pending: standbys first, a primary "
        "after a switchover (without HOST it restarts the whole scope).",
        "docs/architecture.md",
        members,
    ),
    _of_keys(
        "patroni-lease",
        "`ttl`, `loop_wait` and `retry_timeout` are those that the lease arithmetic counts with.",
    ),
    _of_keys(
        "patroni-timeouts",
        "A killed postmaster is started in place once, soon, and a stop is not cut short.",
    ),
    _of_keys(
        "patroni-lag", "Inside a site no host is promoted that lacks more than the loss budget."
    ),
    _of_keys(
        "patroni-failsafe",
        "`failsafe_mode` is off: it would let an isolated site keep its primary.",
    ),
    _of_keys(
        "patroni-synchronous",
        "Patroni's own synchronous mode is off, and commits wait for whom the protection mode "
        "says.",
        synchronous,
        "docs/decisions/0014-protection-modes.md",
    ),
    _of_keys("patroni-rewind", "Returning hosts are rewound, and no data directory is deleted."),
    _of_keys(
        "patroni-slots", "Each scope keeps the other site's slot, on the primary alone.", slots
    ),
    _of_keys(
        "patroni-parameters",
        "What else the design needs is as rendered in both scopes, and what an operator sizes for "
        "himself (memory, connections, WAL) is alike at both sites.",
        parameters,
    ),
    Check(
        "patroni-pause",
        Subject.PATRONI,
        "No scope is paused: a paused one neither fails over nor is promoted.",
        "`patronictl resume` on a host of that scope.",
        "failover/planning/gates.py",
        pause,
        unknown_fails=True,
    ),
    Check(
        "standby-upstream",
        Subject.PATRONI,
        "The standby scope follows exactly one host, the active site's present primary.",
        "The controller sets it: `failover explain` says what it waits for.",
        "docs/architecture.md",
        upstream,
    ),
)
