"""What the leading controller would be handed some seconds after a change. Pure.

Invariant: zero seconds after it, it is the present inputs, and those are never altered. What goes
on living stays as fresh as it is now; what is silent ages. Nothing is judged here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from failover.health.aftermath import SILENCE_SEEN_S, Aftermath, Heir, LeaseEnd
from failover.health.change import hosts_of
from failover.health.inputs import (
    ClaimSeen,
    Glanced,
    HostSilence,
    LsnSample,
    ObserverSeen,
    ScopeSeen,
    ViewInputs,
)
from failover.health.observation import (
    GuardSeen,
    HostObservation,
    NoAnswer,
    NoAnswerKind,
    PatroniSeen,
    PostgresSeen,
    SiteObservation,
    ZooKeeperMode,
    ZooKeeperObservation,
    ZooKeeperSeen,
)
from failover.model import ClusterName, HostName, SiteName, TimelineId
from failover.policy import Policy
from failover.state import WriterClaim

SILENT = NoAnswer(NoAnswerKind.TIMED_OUT, "no answer (supposed)")
KILLED = NoAnswer(NoAnswerKind.REFUSED, "stopped by its guard at the deadline (supposed)")


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """The present inputs, and what would follow from a change of them."""

    policy: Policy
    present: ViewInputs
    after: Aftermath

    def at(self, at_s: float, asked: SiteName | None = None) -> ViewInputs:
        """What would be seen ``at_s`` seconds after the change.

        ``asked``: the site whose servers are asked once more right before.
        """
        now = self.present
        aged = replace(
            now,
            now_unix_s=now.now_unix_s + at_s,
            silences=tuple(self._silence(silence, at_s) for silence in now.silences),
            samples=tuple(self._sample(sample, at_s) for sample in now.samples),
            zookeeper_restarts_s_ago=tuple(ago + at_s for ago in now.zookeeper_restarts_s_ago),
            ensemble_unchanged_for_s=self._ensemble_unchanged_for_s(at_s),
        )
        if not self.after.ensemble.answers(at_s):
            return _unread(aged, self._store_problem())
        return replace(
            aged,
            claims=tuple(self._claim(claim, at_s) for claim in now.claims),
            scopes=tuple(self._scope(scope, at_s) for scope in now.scopes),
            observers=(observers := tuple(self._observer(seen, at_s) for seen in now.observers)),
            glances=self._glances(asked, observers) if asked is not None else now.glances,
        )

    def _ensemble_unchanged_for_s(self, at_s: float) -> float:
        ensemble = self.after.ensemble
        if ensemble.elected and at_s >= ensemble.leader_seen_s:
            return at_s - ensemble.leader_seen_s
        return self.present.ensemble_unchanged_for_s + at_s

    def _store_problem(self) -> str:
        if self.after.ensemble.leader is None:
            return "no majority of the ZooKeeper servers would be left"
        return f"ZooKeeper would be electing {self.after.ensemble.leader.name}"

    # ------------------------------------------------------------------ the store

    def _lease_end(self, cluster: ClusterName) -> LeaseEnd | None:
        return next((end for end in self.after.lease_ends if end.cluster == cluster), None)

    def _claim(self, seen: ClaimSeen, at_s: float) -> ClaimSeen:
        end = self._lease_end(seen.cluster)
        if end is None or at_s < end.ends_s or seen.claim is None:
            return replace(seen, unchanged_for_s=seen.unchanged_for_s + at_s)
        heir = _reigning(end, at_s)
        if heir is None:
            return ClaimSeen(seen.cluster, None, at_s - end.ends_s)
        claim = WriterClaim(heir.host, seen.claim.site, seen.claim.epoch)
        return ClaimSeen(seen.cluster, claim, at_s - heir.takes_writes_s)

    def _scope(self, seen: ScopeSeen, at_s: float) -> ScopeSeen:
        """The heir's name in the leader key of its site."""
        end = self._lease_end(seen.cluster)
        heir = _reigning(end, at_s) if end is not None else None
        if end is None or heir is None or seen.leader is None or seen.leader.value != end.holder:
            return seen
        return replace(seen, leader=replace(seen.leader, value=str(heir.host)))

    # ------------------------------------------------------------------ the observers

    def _observer(self, seen: ObserverSeen, at_s: float) -> ObserverSeen:
        """Silence is seen late, because the round that meets it waits for its answers."""
        if seen.site in self.after.silent_observers:
            return replace(seen, age_s=seen.age_s + at_s)
        if seen.observation is None:
            return seen
        waits = at_s < SILENCE_SEEN_S and self._hides_something(seen.observation)
        age_s = seen.age_s + at_s if waits else seen.age_s
        return replace(seen, age_s=age_s, observation=self._observation(seen.observation, at_s))

    def _hides_something(self, observation: SiteObservation) -> bool:
        names = [seen.host for seen in observation.hosts]
        names += [seen.server for seen in observation.zookeeper]
        return any(self._hidden(name, observation.observer) for name in names)

    def _hidden(self, name: HostName, looker: SiteName) -> bool:
        sites = (site for host, site in hosts_of(self.policy) if host == name)
        return any(self.after.silence.hides(name, site, looker) for site in sites)

    def _observation(self, seen: SiteObservation, at_s: float) -> SiteObservation:
        looker = seen.observer
        return replace(
            seen,
            hosts=tuple(self._host(host, looker, at_s) for host in seen.hosts),
            zookeeper=tuple(self._server(server, looker, at_s) for server in seen.zookeeper),
        )

    def _host(self, seen: HostObservation, looker: SiteName, at_s: float) -> HostObservation:
        if self._hidden(seen.host, looker):
            silent = HostObservation(seen.host, SILENT, SILENT, SILENT)
            return silent if at_s >= SILENCE_SEEN_S else seen
        for end in self.after.lease_ends:
            heir = _reigning(end, at_s)
            if end.holder == seen.host and at_s >= end.stops_s:
                return replace(seen, postgres=KILLED)
            if heir is not None and heir.host == seen.host:
                return _promoted(seen)
        return seen

    def _server(
        self, seen: ZooKeeperObservation, looker: SiteName, at_s: float
    ) -> ZooKeeperObservation:
        ensemble = self.after.ensemble
        if self._hidden(seen.server, looker):
            return replace(seen, answer=SILENT) if at_s >= SILENCE_SEEN_S else seen
        if not isinstance(seen.answer, ZooKeeperSeen) or at_s < SILENCE_SEEN_S:
            return seen
        if seen.server not in ensemble.members:
            return replace(seen, answer=replace(seen.answer, mode=ZooKeeperMode.NO_QUORUM))
        if not ensemble.elected or at_s < ensemble.leader_seen_s:
            return seen
        leads = ensemble.leader is not None and seen.server == ensemble.leader.name
        mode = ZooKeeperMode.LEADER if leads else ZooKeeperMode.FOLLOWER
        return replace(seen, answer=ZooKeeperSeen(mode, seen.answer.epoch + 1))

    def _glances(self, site: SiteName, observers: tuple[ObserverSeen, ...]) -> tuple[Glanced, ...]:
        """Whoever is seen to answer at that site answers at once, by what it says then."""
        answers = {
            host.host: host.postgres
            for seen in observers
            if seen.observation is not None and seen.site not in self.after.silent_observers
            for host in seen.observation.hosts
            if isinstance(host.postgres, PostgresSeen)
        }
        hosts = (host for cluster in self.policy.clusters for host in cluster.at(site))
        return tuple(Glanced(h.name, answers[h.name], 0.0) for h in hosts if h.name in answers)

    # ------------------------------------------------------------------ what the reader remembers

    def _silence(self, silence: HostSilence, at_s: float) -> HostSilence:
        silent_s = self._silent_for_s(silence.host, at_s)
        return replace(silence, unreachable_s=silence.unreachable_s + silent_s)

    def _sample(self, sample: LsnSample, at_s: float) -> LsnSample:
        """The last that was heard of a silent primary ages; a living one goes on being heard."""
        return replace(sample, age_s=sample.age_s + self._silent_for_s(sample.host, at_s))

    def _silent_for_s(self, host: HostName, at_s: float) -> float:
        """How long no PostgreSQL there has answered anybody because of the change."""
        lookers = {site.name for site in self.policy.sites} - self.after.silent_observers
        if all(self._hidden(host, looker) for looker in lookers):
            return at_s
        stops = [end.stops_s for end in self.after.lease_ends if end.holder == host]
        return max([0.0, *(at_s - stops_s for stops_s in stops)])


def _unread(aged: ViewInputs, problem: str) -> ViewInputs:
    """What is left where the store gives no answer: what the reader remembers."""
    return ViewInputs(
        now_unix_s=aged.now_unix_s,
        reader=aged.reader,
        silences=aged.silences,
        samples=aged.samples,
        flushed=aged.flushed,
        store_problem=problem,
        zookeeper_restarts_s_ago=aged.zookeeper_restarts_s_ago,
    )


def _reigning(end: LeaseEnd, at_s: float) -> Heir | None:
    return end.heir if end.heir is not None and at_s >= end.heir.takes_writes_s else None


def _promoted(seen: HostObservation) -> HostObservation:
    """The same host as a primary, on the next timeline."""
    if not isinstance(seen.postgres, PostgresSeen) or not isinstance(seen.patroni, PatroniSeen):
        return seen
    timeline = TimelineId(seen.postgres.timeline + 1)
    postgres = replace(
        seen.postgres,
        in_recovery=False,
        timeline=timeline,
        current_lsn=seen.postgres.received_lsn,
        received_lsn=None,
        replayed_lsn=None,
        receiver_streaming=None,
        receiver_host=None,
    )
    patroni = replace(seen.patroni, role="primary", state="running", timeline=timeline)
    guard = seen.guard
    if isinstance(guard, GuardSeen):
        guard = replace(guard, granted=True, writable=True)
    return HostObservation(seen.host, postgres, patroni, guard)
