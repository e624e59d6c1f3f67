"""One cluster of the group as living observers see it: its scopes, its hosts, its claim. Pure.

Invariant: three answers to every question, as in ``view``; a silent host is never called dead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from failover.health.inputs import (
    ClaimSeen,
    Glanced,
    HostSilence,
    LastWriterSeen,
    LsnSample,
    ObserverSeen,
    ScopeSeen,
    StoppedSeen,
    SyncSeen,
    ViewInputs,
)
from failover.health.observation import FlushSeen, PostgresSeen
from failover.health.scope import PatroniConfig, is_fence, parse_config
from failover.health.sightings import HostView, Sighting, Tri, some
from failover.last_writer import permitted_hosts
from failover.model import ClusterName, HostName, SiteName, TimelineId
from failover.policy import Cluster, DatabaseHost, Policy
from failover.state import ClusterState, GroupState, SalvageProgress

READ_DELAY_S = 1.0  # an observation may be that much older than its age (written, then read)


@dataclass(frozen=True, slots=True)
class StandbyLeader:
    """The host through which a site streams, by Patroni and by the scope's leader key."""

    host: DatabaseHost
    postgres: PostgresSeen


@dataclass(frozen=True)  # without slots, as HostView
class SideView:
    """One cluster at one data site: its Patroni scope and its hosts."""

    site: SiteName
    scope: ScopeSeen | None
    config: PatroniConfig | None  # None: absent or not understood
    hosts: tuple[HostView, ...]

    @property
    def reached(self) -> Tri:
        """Some living observer gets an answer from some host here."""
        return some(host.reached for host in self.hosts)

    def reached_by(self, observer: SiteName) -> Tri:
        return some(host.reached_by(observer) for host in self.hosts)

    @cached_property
    def working_primaries(self) -> tuple[HostView, ...]:
        return tuple(host for host in self.hosts if host.working_primary)

    @property
    def working_primary(self) -> Tri:
        return some(host.working_primary for host in self.hosts)

    @cached_property
    def paused(self) -> Tri:
        """The scope's configuration says so, or a Patroni there does."""
        if any(host.patroni is not None and host.patroni.paused for host in self.hosts):
            return True
        return None if self.config is None else self.config.paused

    @property
    def fenced(self) -> Tri:
        """The leader key is a fence. None: the scope could not be read."""
        return None if self.scope is None else is_fence(self.scope.leader)

    @cached_property
    def standby_leader(self) -> StandbyLeader | None:
        """The host whose Patroni says ``standby_leader`` and whom the leader key names."""
        leader = self.scope.leader if self.scope is not None else None
        for host in self.hosts:
            named = leader is not None and leader.value == host.host.name
            if (
                named
                and host.patroni is not None
                and host.patroni.role == "standby_leader"
                and host.postgres is not None
                and host.postgres.in_recovery
            ):
                return StandbyLeader(host.host, host.postgres)
        return None


@dataclass(frozen=True)  # without slots, as HostView
class ClusterView:
    """One cluster of the group at both sites."""

    name: ClusterName
    recorded: ClusterState | None  # its part of ``state``
    claim: ClaimSeen | None  # None: could not be read
    active: SideView
    standby: SideView
    stopped: StoppedSeen | None
    salvage: tuple[SalvageProgress, ...]
    samples: tuple[LsnSample, ...]  # newest first
    last_writer: LastWriterSeen | None = None
    sync: SyncSeen | None = None  # None: nobody holds the claim, or there is nothing to go by
    permitted: frozenset[HostName] | None = None  # who alone may get a permit; None: no such limit

    def may_lead(self, host: HostView) -> Tri:
        """It could take the lease, and the guard there would get the permit."""
        if self.permitted is not None and host.host.name not in self.permitted:
            return False
        return host.could_take_lease

    @cached_property
    def could_take_lease(self) -> Tri:
        """Some host of the active site may lead."""
        return some(self.may_lead(host) for host in self.active.hosts)

    @property
    def promised(self) -> TimelineId | None:
        """The newest number of a timeline, where it was promised to a host of the active site."""
        last = self.last_writer
        return last.promised if last is not None and last.site == self.active.site else None

    @cached_property
    def claim_held(self) -> Tri:
        """Somebody holds the writer claim (one that cannot be understood counts as held)."""
        if self.claim is None:
            return None
        return self.claim.claim is not None or bool(self.claim.problem)

    @property
    def claim_absent_for_s(self) -> float:
        """How long this reader has seen no claim; 0 while there is one or it is unknown."""
        absent = self.claim_held is False and self.claim is not None
        return self.claim.unchanged_for_s if absent and self.claim is not None else 0.0

    @cached_property
    def holder(self) -> HostView | None:
        """The host of the active site that holds the claim."""
        claim = self.claim.claim if self.claim is not None else None
        hosts = self.active.hosts if claim is not None else ()
        return next((host for host in hosts if claim and host.host.name == claim.host), None)

    @cached_property
    def primary(self) -> HostView | None:
        """The claim's holder, where somebody living sees it as a working primary."""
        holder = self.holder
        return holder if holder is not None and holder.working_primary else None

    @property
    def sides(self) -> tuple[SideView, SideView]:
        return (self.active, self.standby)


@dataclass(frozen=True, slots=True)
class HostsSeen:
    """What was read of the hosts of all clusters, by host. ``sightings``: the freshest first."""

    sightings: Mapping[HostName, tuple[Sighting, ...]]
    silences: Mapping[HostName, HostSilence]
    glances: Mapping[HostName, Glanced]
    flushed: Mapping[HostName, FlushSeen]


def hosts_seen(inputs: ViewInputs, living: tuple[ObserverSeen, ...]) -> HostsSeen:
    """The hosts as these living observers saw them."""
    sightings: dict[HostName, tuple[Sighting, ...]] = {}
    aged = [
        (o.age_s + o.observation.round_duration_s + READ_DELAY_S, o.site, o.observation)
        for o in living
        if o.observation is not None
    ]
    for age_s, site, observation in sorted(aged, key=lambda each: each[0]):
        for seen in observation.hosts:
            known = sightings.get(seen.host, ())
            sightings[seen.host] = (*known, Sighting(site, age_s, seen))
    return HostsSeen(
        sightings=sightings,
        silences={silence.host: silence for silence in inputs.silences},
        glances={glance.host: glance for glance in inputs.glances},
        flushed={seen.host: seen for seen in inputs.flushed},
    )


def cluster_view(
    policy: Policy,
    cluster: Cluster,
    inputs: ViewInputs,
    state: GroupState | None,
    active: SiteName,
    hosts: HostsSeen,
) -> ClusterView:
    """What is known of one cluster, of its hosts by living observers."""
    name = cluster.name
    return ClusterView(
        name=name,
        recorded=state.clusters[name] if state is not None else None,
        claim=next((claim for claim in inputs.claims if claim.cluster == name), None),
        active=_side(cluster, active, inputs, hosts),
        standby=_side(cluster, policy.other_data_site(active).name, inputs, hosts),
        stopped=next((proof for proof in inputs.stopped if proof.cluster == name), None),
        salvage=tuple(
            record
            for record in inputs.salvage
            if record.host in [host.name for host in cluster.hosts]
        ),
        samples=tuple(
            sorted((s for s in inputs.samples if s.cluster == name), key=lambda s: s.age_s)
        ),
        last_writer=(writer := _last_writer(name, inputs)),
        sync=next((seen for seen in inputs.sync if seen.cluster == name), None),
        permitted=_permitted(name, state, writer),
    )


def _last_writer(name: ClusterName, inputs: ViewInputs) -> LastWriterSeen | None:
    return next((writer for writer in inputs.last_writers if writer.cluster == name), None)


def _permitted(
    name: ClusterName, state: GroupState | None, writer: LastWriterSeen | None
) -> frozenset[HostName] | None:
    """As the guards decide it (``guard/permits.py``). None as well where there is no state."""
    if state is None:
        return None
    if writer is None:
        return permitted_hosts(state, name, None, marked=False)
    judged_unix_s = writer.judged_unix_s
    return permitted_hosts(state, name, writer.host, marked=True, judged_unix_s=judged_unix_s)


def _side(cluster: Cluster, site: SiteName, inputs: ViewInputs, hosts: HostsSeen) -> SideView:
    found = (s for s in inputs.scopes if s.cluster == cluster.name and s.site == site)
    scope = next(found, None)
    return SideView(
        site=site,
        scope=scope,
        config=parse_config(scope.config) if scope is not None else None,
        hosts=tuple(_host(host, hosts) for host in cluster.at(site)),
    )


def _host(host: DatabaseHost, hosts: HostsSeen) -> HostView:
    silence = hosts.silences.get(host.name, HostSilence(host.name, 0.0))
    return HostView(
        host,
        hosts.sightings.get(host.name, ()),
        silence.unreachable_s,
        hosts.glances.get(host.name),
        hosts.flushed.get(host.name),
        silence.timeline,
    )
