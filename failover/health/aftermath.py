"""What follows from a change by itself, and when: the ensemble, the leases, local failover. Pure.

Physics, the time-outs of timing.py and three measured times; what is *decided* about it is not
modelled, that is for the real ``decide``. Seconds count from the change.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from failover.health.change import Change, Silence, silence_of
from failover.health.cluster_view import ClusterView
from failover.health.inputs import ViewInputs
from failover.health.observation import ANSWER_LIMIT_S, ROUND_INTERVAL_S
from failover.health.view import View, build_view
from failover.model import ClusterName, HostName, SiteName
from failover.policy import Policy, ZooKeeperServer
from failover.timing import lease_timing

# The round of probes that meets the silence begins half an interval after it, on the average.
ROUND_BEGINS_S = ROUND_INTERVAL_S / 2
SILENCE_SEEN_S = ROUND_BEGINS_S + ANSWER_LIMIT_S
# From noticing that the leader is gone to the new one's first commit, and the rounding of the end
# of a session to a tick. Leases ended 8.1-8.7 s after the loss of the leader with the active site,
# with 1.5 s to notice and sessions of 6 s (docs/performance.md).
ELECTION_S = 0.9
# From the end of the lease to the first acknowledgement: transaction, permit, promotion, HAProxy.
# The median of twenty takeovers (docs/performance.md). Local failover does the same work.
PROMOTION_S = 0.27


@dataclass(frozen=True, slots=True)
class Ensemble:
    """The ZooKeeper servers after the change.

    Nobody is answered from ``unserved_from_s`` until ``unserved_until_s`` (infinite: for good).
    An election starts every session's time anew, at ``sessions_from_s``.
    """

    leader: ZooKeeperServer | None  # None: no majority hears one of its own
    members: frozenset[HostName]  # who serves
    elected: bool = False
    unserved_from_s: float = 0.0
    unserved_until_s: float = 0.0
    sessions_from_s: float = 0.0

    def answers(self, at_s: float) -> bool:
        return not self.unserved_from_s <= at_s < self.unserved_until_s

    @property
    def leader_seen_s(self) -> float:
        """When the observers see who was elected."""
        return self.unserved_until_s + ROUND_BEGINS_S


@dataclass(frozen=True, slots=True)
class Heir:
    """The host that Patroni makes the primary inside the site once its leader key is gone."""

    host: HostName
    takes_writes_s: float


@dataclass(frozen=True, slots=True)
class LeaseEnd:
    """A claim whose guard cannot renew it: the server is killed by ``stops_s``, the claim goes at
    ``ends_s``."""

    cluster: ClusterName
    holder: HostName
    stops_s: float
    ends_s: float
    heir: Heir | None = None


@dataclass(frozen=True, slots=True)
class Aftermath:
    silence: Silence
    ensemble: Ensemble
    silent_observers: frozenset[SiteName]  # nobody reads anything new from them
    lease_ends: tuple[LeaseEnd, ...]

    @property
    def moments_s(self) -> tuple[float, ...]:
        """When something changes by itself; between them there is only age."""
        ensemble = self.ensemble
        found = {SILENCE_SEEN_S, ensemble.unserved_from_s, ensemble.unserved_until_s}
        found.add(ensemble.leader_seen_s)
        for end in self.lease_ends:
            found |= {end.stops_s, end.ends_s}
            found |= {end.heir.takes_writes_s} if end.heir else set()
        return tuple(sorted(moment_s for moment_s in found if moment_s < inf))


def aftermath(policy: Policy, inputs: ViewInputs, changes: Iterable[Change]) -> Aftermath:
    """What follows from these changes of the present state."""
    view = build_view(policy, inputs)
    silence = silence_of(policy, changes)
    ensemble = _ensemble(policy, silence, view.zookeeper_leader)
    silent = frozenset(
        site.name
        for site in policy.sites
        if site.controller.name in silence.hosts
        or not _served(policy.zookeeper_servers, site.name, silence, ensemble)
    )
    ends = (_lease_end(view, cluster, silence, ensemble) for cluster in view.clusters)
    return Aftermath(silence, ensemble, silent, tuple(end for end in ends if end is not None))


# --------------------------------------------------------------------------- the ensemble


def _ensemble(policy: Policy, silence: Silence, before: ZooKeeperServer | None) -> Ensemble:
    """The leader stays where a majority hears it; else the highest myid of those that could lead.

    Where nobody sees a leader now, an election is counted: later rather than too early.
    """
    timing = lease_timing(policy.lease_s)
    noticed_s = timing.zookeeper_sync_limit_ticks * timing.zookeeper_tick_ms / 1000
    servers = policy.zookeeper_servers
    able = [s for s in servers if len(_hear(servers, s, silence)) > len(servers) // 2]
    if before in able:
        return Ensemble(before, _hear(servers, before, silence))
    leader = max(able, key=lambda server: server.myid, default=None)
    if leader is None:
        return Ensemble(None, frozenset(), False, noticed_s, inf, inf)
    elected_s = noticed_s + ELECTION_S
    members = _hear(servers, leader, silence)
    return Ensemble(leader, members, True, noticed_s, elected_s, elected_s)


def _hear(
    servers: tuple[ZooKeeperServer, ...], leader: ZooKeeperServer, silence: Silence
) -> frozenset[HostName]:
    """The servers that hear this one, itself included; none where it is lost."""
    if leader.name in silence.hosts:
        return frozenset()
    return frozenset(s.name for s in servers if not silence.hides(s.name, s.site, leader.site))


def _served(
    listed: tuple[ZooKeeperServer, ...], site: SiteName, silence: Silence, ensemble: Ensemble
) -> bool:
    """Whether a client at this site that lists these servers finds one that serves."""
    return any(
        server.name in ensemble.members and not silence.between(site, server.site)
        for server in listed
    )


# --------------------------------------------------------------------------- leases


def _lease_end(
    view: View, cluster: ClusterView, silence: Silence, ensemble: Ensemble
) -> LeaseEnd | None:
    """None: the claim is renewed, or there is none, or nobody is left to end its session."""
    holder = cluster.holder
    if holder is None or ensemble.leader is None:
        return None
    host, policy = holder.host, view.policy
    served = _served(policy.patroni_zookeeper(host.site), host.site, silence, ensemble)
    if host.name not in silence.hosts and served:
        return None
    timing = lease_timing(policy.lease_s)
    return LeaseEnd(
        cluster=cluster.name,
        holder=host.name,
        stops_s=timing.deadline_s,
        ends_s=ensemble.sessions_from_s + timing.session_ms / 1000,
        heir=_heir(view, cluster, silence, ensemble) if served else None,
    )


def _heir(view: View, cluster: ClusterView, silence: Silence, ensemble: Ensemble) -> Heir | None:
    """The first host there that could take the lease, once Patroni's session is over too."""
    planned = view.state is None or view.state.plan is not None
    if planned or cluster.active.paused is not False:
        return None
    key_gone_s = lease_timing(view.policy.lease_s).zookeeper_session_ms_max / 1000
    for host in cluster.active.hosts:
        lost = host.host.name in silence.hosts or host == cluster.holder
        if not lost and cluster.may_lead(host) and host.guard_working:
            takes_s = ensemble.sessions_from_s + key_gone_s + PROMOTION_S
            return Heir(host.host.name, takes_s)
    return None
