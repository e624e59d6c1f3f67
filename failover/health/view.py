"""Observations become one immutable view, with ages and what is missing.

Invariant: every question has three answers. True: somebody living saw it. False: somebody living
saw the opposite, or for "reached" that every living observer tried in vain. None: unknown. A
silent host is never called dead here, and only observers that are alive are believed. Pure; rows
of the verdict table and gates ask this module and look at nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

from failover.health.inputs import (
    ClaimSeen,
    LastWriterSeen,
    LsnSample,
    ObserverSeen,
    RequestSeen,
    ScopeSeen,
    StoppedSeen,
    SyncSeen,
    ViewInputs,
)
from failover.health.observation import (
    NoAnswer,
    NoAnswerKind,
    PostgresSeen,
    ZooKeeperMode,
    ZooKeeperSeen,
)
from failover.health.residency import ResidencyView, residency_view
from failover.health.scope import PatroniConfig, is_fence, parse_config
from failover.health.sightings import HostView, Sighting, Tri, some
from failover.history import HeadSeen
from failover.last_writer import permitted_hosts
from failover.model import ClusterName, HostName, SiteKind, SiteName, TimelineId
from failover.policy import Cluster, DatabaseHost, Policy, ZooKeeperServer
from failover.residency.findings import HostScan
from failover.state import (
    ClusterState,
    GroupState,
    OperatorRequest,
    RequestPhase,
    SalvageProgress,
)

OBSERVATION_AGE_S_MAX = 3.0  # an observer that says nothing new for longer is not alive
READ_DELAY_S = 1.0  # an observation may be that much older than its age (written, then read)


# --------------------------------------------------------------------------- clusters


@dataclass(frozen=True, slots=True)
class StandbyLeader:
    """The host through which a site streams, by Patroni and by the scope's leader key."""

    host: DatabaseHost
    postgres: PostgresSeen


@dataclass(frozen=True, slots=True)
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

    @property
    def working_primaries(self) -> tuple[HostView, ...]:
        return tuple(host for host in self.hosts if host.working_primary)

    @property
    def working_primary(self) -> Tri:
        return some(host.working_primary for host in self.hosts)

    @property
    def paused(self) -> Tri:
        """The scope's configuration says so, or a Patroni there does."""
        if any(host.patroni is not None and host.patroni.paused for host in self.hosts):
            return True
        return None if self.config is None else self.config.paused

    @property
    def fenced(self) -> Tri:
        """The leader key is a fence. None: the scope could not be read."""
        return None if self.scope is None else is_fence(self.scope.leader)

    @property
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


@dataclass(frozen=True, slots=True)
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

    @property
    def could_take_lease(self) -> Tri:
        """Some host of the active site may lead."""
        return some(self.may_lead(host) for host in self.active.hosts)

    @property
    def promised(self) -> TimelineId | None:
        """The newest number of a timeline, where it was promised to a host of the active site."""
        last = self.last_writer
        return last.promised if last is not None and last.site == self.active.site else None

    @property
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

    @property
    def holder(self) -> HostView | None:
        """The host of the active site that holds the claim."""
        claim = self.claim.claim if self.claim is not None else None
        hosts = self.active.hosts if claim is not None else ()
        return next((host for host in hosts if claim and host.host.name == claim.host), None)

    @property
    def primary(self) -> HostView | None:
        """The claim's holder, where somebody living sees it as a working primary."""
        holder = self.holder
        return holder if holder is not None and holder.working_primary else None

    @property
    def sides(self) -> tuple[SideView, SideView]:
        return (self.active, self.standby)


# --------------------------------------------------------------------------- the whole


@dataclass(frozen=True, slots=True)
class ObserverView:
    site: SiteName
    alive: bool
    age_s: float | None  # None: it has published nothing
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ZooKeeperView:
    """One server of the ensemble, through the eyes of the living observers."""

    server: ZooKeeperServer
    serving: Tri
    leading: bool


@dataclass(frozen=True, slots=True)
class View:
    """Everything known at one moment. ``missing``: what the core would have liked to know.

    Where there is no usable ``state``, ``active_site`` is the policy's first; the rows of the
    verdict table that say so come before every row that looks at a cluster.
    """

    policy: Policy
    now_unix_s: float
    reader: SiteName
    store_problem: str
    state: GroupState | None
    state_version: int | None
    state_problem: str
    active_site: SiteName
    standby_site: SiteName
    clusters: tuple[ClusterView, ...]
    observers: tuple[ObserverView, ...]
    zookeeper: tuple[ZooKeeperView, ...]
    zookeeper_restarts_s_ago: tuple[float, ...]
    request: RequestSeen | None
    history_head: HeadSeen
    residency: ResidencyView
    missing: tuple[str, ...]

    @property
    def living_observers(self) -> tuple[SiteName, ...]:
        return tuple(observer.site for observer in self.observers if observer.alive)

    def observer_alive(self, site: SiteName) -> bool:
        return site in self.living_observers

    @property
    def witness_sites(self) -> tuple[SiteName, ...]:
        return tuple(s.name for s in self.policy.sites if s.kind is SiteKind.WITNESS)

    @property
    def waiting_request(self) -> OperatorRequest | None:
        """The operator's request that nobody has taken up yet."""
        request = self.request.request if self.request is not None else None
        waits = request is not None and request.phase is RequestPhase.WAITING
        return request if waits else None

    def request_of(self, plan_id: str) -> OperatorRequest | None:
        """The operator's request that this plan carries out, where it waits for the end of it."""
        request = self.request.request if self.request is not None else None
        ours = request is not None and request.id == plan_id and not request.ended
        return request if ours else None

    @property
    def zookeeper_leader(self) -> ZooKeeperServer | None:
        return next((view.server for view in self.zookeeper if view.leading), None)

    def cluster(self, name: ClusterName) -> ClusterView:
        """The cluster of that name; KeyError when the view has none."""
        for cluster in self.clusters:
            if cluster.name == name:
                return cluster
        raise KeyError(f"no cluster {name!r} in the view")


def build_view(policy: Policy, inputs: ViewInputs) -> View:
    """One view of one moment. Never fails on odd input: what is odd becomes a problem text."""
    state_problem = inputs.state.problem or _disagreement(policy, inputs.state.state)
    state = None if state_problem else inputs.state.state
    active = state.active_site if state is not None else policy.initial_site
    standby = policy.other_data_site(active).name
    living = tuple(o for o in inputs.observers if _alive(o))
    clusters = tuple(
        _cluster(policy, cluster, inputs, state, active, living) for cluster in policy.clusters
    )
    observers = tuple(_observer(site.name, inputs) for site in policy.sites)
    residency = residency_view(policy, inputs.ledger, _scans(living), inputs.now_unix_s)
    return View(
        policy=policy,
        now_unix_s=inputs.now_unix_s,
        reader=inputs.reader,
        store_problem=inputs.store_problem,
        state=state,
        state_version=inputs.state.version,
        state_problem=state_problem,
        active_site=active,
        standby_site=standby,
        clusters=clusters,
        observers=observers,
        zookeeper=_zookeeper(policy, living),
        zookeeper_restarts_s_ago=inputs.zookeeper_restarts_s_ago,
        request=inputs.request,
        history_head=inputs.history_head,
        residency=residency,
        missing=(
            *_missing(clusters, observers),
            *_request_missing(inputs.request),
            *_head_missing(inputs.history_head),
            *residency.missing,
        ),
    )


def _scans(living: tuple[ObserverSeen, ...]) -> tuple[HostScan, ...]:
    """What living scanners know, and how old it is by now."""
    return tuple(
        scan.older(observer.age_s)
        for observer in living
        if observer.observation is not None
        for scan in observer.observation.residency
    )


def _alive(observer: ObserverSeen) -> bool:
    return observer.observation is not None and observer.age_s <= OBSERVATION_AGE_S_MAX


def _disagreement(policy: Policy, state: GroupState | None) -> str:
    """Why a state that was read does not fit the policy; empty where it does."""
    if state is None:
        return ""
    if state.group != policy.group:
        return f"state is of group {state.group!r}, failover.yaml of {policy.group!r}"
    data = [site.name for site in policy.data_sites]
    if state.active_site not in data:
        return f"active site {state.active_site!r} is not a data site of failover.yaml"
    plan = state.plan
    if plan is not None and {plan.from_site, plan.to_site} != set(data):
        return (
            f"plan {plan.id} goes from {plan.from_site!r} to {plan.to_site!r}, not between "
            f"the data sites of failover.yaml"
        )
    known = {cluster.name for cluster in policy.clusters}
    if set(state.clusters) != known:
        return (
            f"state has the clusters {', '.join(sorted(state.clusters))}, "
            f"failover.yaml {', '.join(sorted(known))}"
        )
    return ""


def _cluster(
    policy: Policy,
    cluster: Cluster,
    inputs: ViewInputs,
    state: GroupState | None,
    active: SiteName,
    living: tuple[ObserverSeen, ...],
) -> ClusterView:
    name = cluster.name
    return ClusterView(
        name=name,
        recorded=state.clusters[name] if state is not None else None,
        claim=next((claim for claim in inputs.claims if claim.cluster == name), None),
        active=_side(cluster, active, inputs, living),
        standby=_side(cluster, policy.other_data_site(active).name, inputs, living),
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
    last = writer.host if writer is not None else None
    return permitted_hosts(state, name, last, marked=writer is not None)


def _side(
    cluster: Cluster, site: SiteName, inputs: ViewInputs, living: tuple[ObserverSeen, ...]
) -> SideView:
    found = (s for s in inputs.scopes if s.cluster == cluster.name and s.site == site)
    scope = next(found, None)
    silence = {s.host: s.unreachable_s for s in inputs.silences}
    glanced = {glance.host: glance for glance in inputs.glances}
    flushed = {seen.host: seen for seen in inputs.flushed}
    return SideView(
        site=site,
        scope=scope,
        config=parse_config(scope.config) if scope is not None else None,
        hosts=tuple(
            HostView(
                host,
                _sightings(host.name, living),
                silence.get(host.name, 0.0),
                glanced.get(host.name),
                flushed.get(host.name),
            )
            for host in cluster.at(site)
        ),
    )


def _sightings(host: HostName, living: tuple[ObserverSeen, ...]) -> tuple[Sighting, ...]:
    found = (
        Sighting(o.site, o.age_s + o.observation.round_duration_s + READ_DELAY_S, seen)
        for o in living
        if o.observation is not None
        for seen in o.observation.hosts
        if seen.host == host
    )
    return tuple(sorted(found, key=lambda sighting: sighting.age_s))


def _observer(site: SiteName, inputs: ViewInputs) -> ObserverView:
    seen = next((o for o in inputs.observers if o.site == site), None)
    if seen is None or seen.observation is None:
        return ObserverView(site, False, None, seen.problem if seen is not None else "")
    return ObserverView(site, _alive(seen), seen.age_s)


def _zookeeper(policy: Policy, living: tuple[ObserverSeen, ...]) -> tuple[ZooKeeperView, ...]:
    answers = {
        server.name: [
            seen.answer
            for o in living
            if o.observation is not None
            for seen in o.observation.zookeeper
            if seen.server == server.name
        ]
        for server in policy.zookeeper_servers
    }
    leading = {
        name: max((e for answer in given if (e := _leading_epoch(answer)) is not None), default=-1)
        for name, given in answers.items()
    }
    newest = max(leading.values(), default=-1)  # an isolated old leader answers for seconds
    return tuple(
        ZooKeeperView(
            server,
            some(_serves(answer) for answer in answers[server.name]),
            leading[server.name] == newest >= 0,
        )
        for server in policy.zookeeper_servers
    )


def _leading_epoch(answer: ZooKeeperSeen | NoAnswer) -> int | None:
    modes = (ZooKeeperMode.LEADER, ZooKeeperMode.STANDALONE)
    return answer.epoch if isinstance(answer, ZooKeeperSeen) and answer.mode in modes else None


def _serves(answer: ZooKeeperSeen | NoAnswer) -> Tri:
    if isinstance(answer, ZooKeeperSeen):
        return answer.mode is not ZooKeeperMode.NO_QUORUM
    return False if answer.kind is not NoAnswerKind.TIMED_OUT else None


def _missing(
    clusters: tuple[ClusterView, ...], observers: tuple[ObserverView, ...]
) -> tuple[str, ...]:
    """One line for every piece of evidence that is not there."""
    lines = [_observer_missing(observer) for observer in observers if not observer.alive]
    for cluster in clusters:
        if cluster.claim is None:
            lines.append(f"{cluster.name}: the writer claim could not be read")
        for side in cluster.sides:
            if side.config is None:
                lines.append(f"{cluster.name}-{side.site}: no usable Patroni configuration")
            lines += [
                f"{host.host.name}: no answer to any living observer"
                for host in side.hosts
                if not host.reached
            ]
        if not cluster.samples:
            lines.append(f"{cluster.name}: no samples of the primary's WAL")
    return tuple(lines)


def _request_missing(request: RequestSeen | None) -> tuple[str, ...]:
    return (request.problem,) if request is not None and request.problem else ()


def _head_missing(head: HeadSeen) -> tuple[str, ...]:
    """Said, and nothing waits for it."""
    return (f"{head.problem}; `failover history verify`",) if head.problem else ()


def _observer_missing(observer: ObserverView) -> str:
    if observer.problem:
        return f"observer {observer.site}: {observer.problem}"
    if observer.age_s is None:
        return f"observer {observer.site}: has published nothing"
    return f"observer {observer.site}: silent for {observer.age_s:.1f} s"
