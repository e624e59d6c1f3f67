"""Observations become one immutable view, with ages and what is missing.

Invariant: every question has three answers. True: somebody living saw it. False: somebody living
saw the opposite, or for "reached" that every living observer tried in vain. None: unknown. A
silent host is never called dead here, and only observers that are alive are believed. Pure; rows
of the verdict table and gates ask this module and look at nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from failover.health.cluster_view import ClusterView, cluster_view, hosts_seen
from failover.health.ensemble_view import ZooKeeperView, ensemble_view
from failover.health.inputs import (
    ObserverSeen,
    RequestSeen,
    ViewInputs,
)
from failover.health.residency import ResidencyView, residency_view
from failover.history import HeadSeen
from failover.model import ClusterName, SiteKind, SiteName
from failover.policy import Policy, ZooKeeperServer
from failover.residency.approved import counted
from failover.residency.findings import HostScan
from failover.state import (
    GroupState,
    OperatorRequest,
    RequestPhase,
)
from failover.znode import GroupPaths

OBSERVATION_AGE_S_MAX = 3.0  # an observer that says nothing new for longer is not alive


@dataclass(frozen=True, slots=True)
class ObserverView:
    site: SiteName
    alive: bool
    age_s: float | None  # None: it has published nothing
    problem: str = ""


@dataclass(frozen=True)  # without slots, as HostView
class View:
    """Everything known at one moment.

    Where there is no usable ``state``, ``active_site`` is the policy's first; the rows of the
    verdict table that say so come before every row that looks at a cluster.
    """

    policy: Policy
    now_unix_s: float
    reader: SiteName
    store_problem: str
    store_forbidden: bool
    state: GroupState | None
    state_version: int | None
    state_problem: str
    active_site: SiteName
    standby_site: SiteName
    clusters: tuple[ClusterView, ...]
    observers: tuple[ObserverView, ...]
    zookeeper: tuple[ZooKeeperView, ...]
    zookeeper_restarts_s_ago: tuple[float, ...]
    ensemble_unchanged_for_s: float
    request: RequestSeen | None
    approved: frozenset[str] | None
    history_head: HeadSeen
    residency: ResidencyView

    @cached_property
    def missing(self) -> tuple[str, ...]:
        """What the core would have liked to know; in words, so only when somebody asks."""
        return (
            *_missing(self.clusters, self.observers),
            *_request_missing(self.request),
            *_head_missing(self.history_head),
            *self.residency.missing,
        )

    @cached_property
    def living_observers(self) -> tuple[SiteName, ...]:
        return tuple(observer.site for observer in self.observers if observer.alive)

    @cached_property
    def serves(self) -> bool:
        """Every claim is held at the active site by a host that is seen as a working primary."""
        return all(cluster.primary is not None for cluster in self.clusters)

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

    @property
    def request_path(self) -> str:
        """Where the request stands, and is answered."""
        approver = self.request is not None and self.request.by_approver
        return GroupPaths(self.policy.group).request_of(approver=approver)

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
    hosts = hosts_seen(inputs, living)
    clusters = tuple(
        cluster_view(policy, cluster, inputs, state, active, hosts) for cluster in policy.clusters
    )
    observers = tuple(_observer(site.name, inputs) for site in policy.sites)
    residency = residency_view(
        counted(policy, inputs.approved),
        inputs.ledger,
        living_scans(living),
        inputs.now_unix_s,
        inputs.unscanned,
    )
    return View(
        policy=policy,
        now_unix_s=inputs.now_unix_s,
        reader=inputs.reader,
        store_problem=inputs.store_problem,
        store_forbidden=inputs.store_forbidden,
        state=state,
        state_version=inputs.state.version,
        state_problem=state_problem,
        active_site=active,
        standby_site=standby,
        clusters=clusters,
        observers=observers,
        zookeeper=ensemble_view(policy, living),
        zookeeper_restarts_s_ago=inputs.zookeeper_restarts_s_ago,
        ensemble_unchanged_for_s=inputs.ensemble_unchanged_for_s,
        request=inputs.request,
        approved=inputs.approved,
        history_head=inputs.history_head,
        residency=residency,
    )


def living_scans(observers: tuple[ObserverSeen, ...]) -> tuple[HostScan, ...]:
    """What living scanners know, and how old it is by now."""
    return tuple(
        scan.older(observer.age_s)
        for observer in observers
        if observer.observation is not None and _alive(observer)
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


def _observer(site: SiteName, inputs: ViewInputs) -> ObserverView:
    seen = next((o for o in inputs.observers if o.site == site), None)
    if seen is None or seen.observation is None:
        return ObserverView(site, False, None, seen.problem if seen is not None else "")
    return ObserverView(site, _alive(seen), seen.age_s)


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
