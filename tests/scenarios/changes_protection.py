"""Changes of whom commits wait for: the record, the list, what looks at the primary have shown."""

from __future__ import annotations

from dataclasses import replace

from failover.health.inputs import LastWriterSeen, SyncHost, SyncSeen
from failover.health.listed import names_text
from failover.health.observation import FlushSeen, PostgresSeen
from failover.model import ClusterName, HostName, Lsn, ProtectionMode, TimelineId
from failover.policy import Cluster
from failover.state import Dropped
from tests.scenarios.changes import change
from tests.scenarios.world import (
    CONFIG_VERSION,
    FIRST_RUN,
    NOW_UNIX_S,
    SECOND_RUN,
    WRITER_VERSION,
    World,
)


@change(r"protection is <w>, (in sync|not in sync)")
def _protection(world: World, mode: str, sync: str) -> None:
    """In sync: everybody who could be waited for is, and is on record."""
    assert world.state is not None
    world.state = replace(world.state, protection=ProtectionMode(mode))
    for cluster in world.policy.clusters:
        hosts = _others(world, cluster) if sync == "in sync" else ()
        _list(world, cluster, hosts)
        _have(world, cluster, hosts)
    world.state = replace(world.state, in_sync=sync == "in sync")


@change(r"commits wait for (nobody|[\w, -]+)")
def _waits_for(world: World, names: str) -> None:
    for cluster in world.policy.clusters:
        _list(world, cluster, _named(names, cluster))


@change(r"on record with everything: (nobody|[\w, -]+)")
def _on_record(world: World, names: str) -> None:
    every = [host.name for cluster in world.policy.clusters for host in cluster.hosts]
    wanted = () if names == "nobody" else tuple(HostName(n) for n in names.split(", "))
    assert set(wanted) <= set(every), names
    for cluster in world.policy.clusters:
        own = {host.name for host in cluster.hosts}
        _have(world, cluster, tuple(name for name in wanted if name in own))
    assert world.state is not None
    other = world.policy.other_data_site(world.state.active_site).name
    remote = all(
        any(world.policy.host(host).site == other for host in recorded.have)
        for recorded in world.state.clusters.values()
    )
    world.state = replace(world.state, in_sync=remote)


@change(r"the list of <w>-(jakarta|makassar) is (.+)")
def _foreign(world: World, cluster: str, site: str, text: str) -> None:
    for (name, where), scope in world.scopes.items():
        if (name, where) == (cluster, site):
            scope.config = {
                **(scope.config or {}),
                "postgresql": {"parameters": {"synchronous_standby_names": text}},
            }


@change(r"the list is proved to be in force")
def _in_force(world: World) -> None:
    world.sync = {name: replace(seen, in_force=True) for name, seen in world.sync.items()}


@change(r"the list was proved under another (claim|permit|configuration)")
def _another(world: World, what: str) -> None:
    _in_force(world)
    field = {
        "claim": "claim_session_id",
        "permit": "last_writer_version",
        "configuration": "config_version",
    }[what]
    world.sync = {
        name: replace(seen, **{field: getattr(seen, field) + 1})
        for name, seen in world.sync.items()
    }


@change(r"<w> has not kept up for <n> s")
def _stalled(world: World, host: str, seconds: str) -> None:
    _host(world, host, stalled_for_s=float(seconds), caught_up_for_s=0.0)


@change(r"<w> has not reached the new primary for <n> s")
def _not_reached(world: World, host: str, seconds: str) -> None:
    _host(world, host, stalled_for_s=float(seconds), caught_up_for_s=0.0, kept_up=False)


@change(r"<w> has kept up for <n> s")
def _kept_up(world: World, host: str, seconds: str) -> None:
    _host(world, host, stalled_for_s=0.0, caught_up_for_s=float(seconds))


@change(r"the server on <w> has not taken in the list for <n> s")
def _unsettled(world: World, host: str, seconds: str) -> None:
    _host(world, host, unsettled_for_s=float(seconds))


@change(r"the server on <w> waits for (nobody|[\w, -]+)")
def _shows(world: World, host: str, names: str) -> None:
    found = world.policy.host(HostName(host))
    seen = world.hosts[found.name]
    assert isinstance(seen.postgres, PostgresSeen)
    text = names_text(_named(names, world.policy.cluster(found.cluster)))
    seen.postgres = replace(seen.postgres, sync_names=text)


@change(r"<w> wrote last")
def _last_writer(world: World, host: str) -> None:
    found = world.policy.host(HostName(host))
    writer = LastWriterSeen(found.cluster, found.name, WRITER_VERSION, found.site)
    world.writers[found.cluster] = writer
    world.sync = {
        name: replace(seen, claim_session_id=world.claims[name].session_id)
        for name, seen in world.sync.items()
    }


def _others(world: World, cluster: Cluster) -> tuple[HostName, ...]:
    """Replicas of the active site, and the standby leader of the other one."""
    assert world.state is not None
    active = world.state.active_site
    other = world.policy.other_data_site(active).name
    return (*(h.name for h in cluster.at(active)[1:]), cluster.at(other)[0].name)


def _named(names: str, cluster: Cluster) -> tuple[HostName, ...]:
    known = [host.name for host in cluster.hosts]
    wanted = () if names == "nobody" else tuple(HostName(n) for n in names.split(", "))
    assert set(wanted) <= set(known), names
    return wanted


def _list(world: World, cluster: Cluster, hosts: tuple[HostName, ...]) -> None:
    """In the configuration, and shown by every server; nobody stalls, nothing is proved."""
    assert world.state is not None
    active, text = world.state.active_site, names_text(hosts)
    scope = world.scopes[cluster.name, active]
    config = {key: value for key, value in (scope.config or {}).items() if key != "postgresql"}
    if text:
        config["postgresql"] = {"parameters": {"synchronous_standby_names": text}}
    scope.config = config
    for host in cluster.at(active):
        seen = world.hosts[host.name]
        if isinstance(seen.postgres, PostgresSeen):
            seen.postgres = replace(seen.postgres, sync_names=text)
    claim = world.claims[cluster.name]
    world.sync[cluster.name] = SyncSeen(
        cluster=cluster.name,
        in_force=False,
        listed=tuple(sorted(hosts)),
        config_version=CONFIG_VERSION,
        claim_session_id=claim.session_id,
        claim_version=claim.version,
        last_writer_version=WRITER_VERSION,
        hosts=tuple(SyncHost(host, 0.0, 0.0, 0.0, FIRST_RUN) for host in _others(world, cluster)),
    )


@change(r"the server on <w> was started anew")
def _anew(world: World, host: str) -> None:
    """Whatever its disk is now; a run that is level it is not yet."""
    seen = world.hosts[HostName(host)]
    assert isinstance(seen.postgres, PostgresSeen)
    seen.postgres = replace(seen.postgres, started=SECOND_RUN)
    _host(world, host, run="")


@change(r"<w> has told the primary that it has <w>, on timeline <n>")
def _has_told(world: World, host: str, lsn: str, timeline: str) -> None:
    seen = FlushSeen(HostName(host), Lsn.parse(lsn), TimelineId(int(timeline)))
    world.flushed.append(seen)


@change(r"the new run of the server on <w> is level")
def _level(world: World, host: str) -> None:
    _host(world, host, run=SECOND_RUN)


@change(r"<w> was dropped <n> times, the last time <n> s ago")
def _was_dropped(world: World, host: str, times: str, seconds: str) -> None:
    assert world.state is not None
    name = world.policy.host(HostName(host)).cluster
    recorded = world.state.clusters[name]
    dropped = Dropped(int(times), NOW_UNIX_S - float(seconds))
    recorded = replace(recorded, dropped={**recorded.dropped, HostName(host): dropped})
    world.state = world.state.with_cluster(name, recorded)


@change(r"commits also wait for <w>, which is not in failover.yaml any more")
def _removed(world: World, host: str) -> None:
    """And it is on record, where others are."""
    assert world.state is not None
    for cluster in world.policy.clusters:
        hosts, recorded = world.sync[cluster.name].listed, world.state.clusters[cluster.name]
        _list(world, cluster, (*hosts, HostName(host)))
        if recorded.have:
            _have(world, cluster, (*recorded.have, HostName(host)))


def _have(world: World, cluster: Cluster, hosts: tuple[HostName, ...]) -> None:
    assert world.state is not None
    have = tuple(sorted(hosts))
    runs = dict.fromkeys(have, FIRST_RUN)
    recorded = replace(world.state.clusters[cluster.name], have=have, runs=runs)
    world.state = world.state.with_cluster(cluster.name, recorded)


def _host(world: World, name: str, **seen: float | str | bool) -> None:
    cluster = ClusterName(world.policy.host(HostName(name)).cluster)
    found = world.sync[cluster]
    known = {host.host: host for host in found.hosts}
    before = known.get(HostName(name), SyncHost(HostName(name), 0.0, 0.0, 0.0, FIRST_RUN))
    known[before.host] = replace(before, **seen)  # type: ignore[arg-type]
    world.sync[cluster] = replace(found, hosts=tuple(known.values()))


@change(r"<w> had (?:the first|another) permit of this epoch(?:, for timeline <n>)?")
def _first_permit(world: World, host: str, timeline: str | None) -> None:
    assert world.state is not None
    judged_unix_s = world.state.epoch_started_unix_s
    promised = TimelineId(int(timeline)) if timeline else None
    for cluster in world.policy.clusters:
        site = world.policy.host(HostName(host)).site
        world.writers[cluster.name] = LastWriterSeen(
            cluster.name, HostName(host), WRITER_VERSION, site, promised, judged_unix_s
        )


@change("nothing says who wrote last")
def _no_writer(world: World) -> None:
    world.writers.clear()
