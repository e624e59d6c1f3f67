"""Everything the core may know, read from a ``Store`` at one moment, as ``ViewInputs``.

What cannot be read or understood becomes a None or a problem text, never a default and never an
exception: judging it is the core's work. One object per reader, because ages are counted from
when *this* reader saw a thing change.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from failover.coordination.memory import HostMemory, Since
from failover.coordination.reads import read_all
from failover.coordination.requests_seen import places, request_seen
from failover.coordination.residency import ledger_seen
from failover.coordination.store import Store, StoreForbidden, StoreUnavailable
from failover.coordination.sync_memory import SyncKey, SyncMemory
from failover.foreign import json_object
from failover.health.cluster_view import READ_DELAY_S
from failover.health.inputs import (
    ClaimSeen,
    ConfigSeen,
    Glanced,
    LastWriterSeen,
    LeaderKeySeen,
    ObserverSeen,
    ScopeSeen,
    StateSeen,
    StoppedSeen,
    ViewInputs,
)
from failover.health.listed import listed_hosts
from failover.health.observation import FlushSeen, SiteObservation, decode_observation
from failover.health.residency import NO_LEDGER, Unscanned, gaps_of
from failover.health.scope import parse_config
from failover.health.view import living_scans
from failover.history import NO_HEAD, head_seen
from failover.last_writer import read_last_writer
from failover.model import ClusterName, Epoch, SiteName
from failover.policy import Policy
from failover.residency.approved import decode_approved
from failover.state import (
    SalvageProgress,
    StateError,
    StoppedProof,
    WriterClaim,
    decode_record,
    decode_state,
)
from failover.znode import GroupPaths, ScopePaths, Znode

NOT_YET_SEEN_CHANGING_S = 3600.0  # a leftover is not alive until it says something new

Znodes = dict[str, Znode | None]


@dataclass(frozen=True, slots=True)
class Now:
    """One moment on both clocks."""

    unix_s: float
    boottime_s: float


class Gatherer:
    """Reads the group again and again, and remembers what the ages need."""

    def __init__(
        self,
        policy: Policy,
        reader: SiteName,
        *,
        first_sight_age_s: float | None = NOT_YET_SEEN_CHANGING_S,
    ) -> None:
        """``first_sight_age_s`` None: believe the observer's own clock (for one look only)."""
        self._policy = policy
        self._reader = reader
        self._paths = GroupPaths(policy.group)
        self._first_sight_age_s = first_sight_age_s
        self._since = Since()
        self._hosts = HostMemory(policy)
        self._sync = SyncMemory(policy)
        self._epoch = Epoch(0)
        self._learned: dict[SiteName, tuple[int, float]] = {}
        self._read_s: float | None = None  # the last look that read everything
        self._stood_still_s = 0.0  # before this one, beyond what is allowed for (READ_DELAY_S)
        self._requests = places(policy)
        self._scopes = self._all_scopes()
        self._fixed_paths = self._all_fixed_paths()
        self._salvage_paths = self._all_salvage_paths()
        # A change of one of these is a reason to look at once.
        self.watched_paths: tuple[str, ...] = (
            self._paths.state,
            *self._requests,
            *(self._paths.writer(cluster.name) for cluster in policy.clusters),
            *(self._paths.stopped(cluster.name) for cluster in policy.clusters),
            *(scope.config for _, _, scope in self._scopes),
            *(scope.leader for _, _, scope in self._scopes),
        )

    def gather(
        self,
        store: Store,
        now: Now,
        *,
        local: SiteObservation | None = None,
        glances: tuple[Glanced, ...] = (),
        zookeeper_restarts_s_ago: tuple[float, ...] = (),
    ) -> ViewInputs:
        """One look. ``local``: this process's own newest observation, fresher than its znode."""
        problem, forbidden = "", False
        try:
            znodes = self._read(store)
        except StoreUnavailable as error:
            znodes, problem = {}, str(error)
            forbidden = isinstance(error, StoreForbidden)
        read = not problem
        if read and self._first_sight_age_s is not None:
            gap_s = 0.0 if self._read_s is None else now.boottime_s - self._read_s
            self._read_s, self._stood_still_s = now.boottime_s, max(0.0, gap_s - READ_DELAY_S)
        claims = self._claims(znodes, now) if read else ()
        scopes = self._scopes_seen(znodes) if read else ()
        writers = self._last_writers(znodes) if read else ()
        for claim in claims:  # before the looks of the same moment are learnt
            key = sync_key(self._policy, claim, scopes, writers)
            self._sync.set_key(claim.cluster, key, now.boottime_s)
        observers = self._observers(znodes, now, local)
        state = self._state(znodes) if read else StateSeen()
        return ViewInputs(
            now_unix_s=now.unix_s,
            reader=self._reader,
            state=state,
            claims=claims,
            scopes=scopes,
            observers=observers,
            stopped=self._stopped(znodes) if read else (),
            salvage=self._salvage(znodes) if read else (),
            silences=self._hosts.silences(now.boottime_s),
            samples=self._hosts.samples(now.boottime_s),
            flushed=self._hosts.flushed(),
            glances=glances,
            last_writers=writers,
            sync=self._sync.seen() if read else (),
            request=request_seen(self._requests, znodes, state.state) if read else None,
            approved=self._approved(znodes) if read else None,
            history_head=head_seen(znodes[self._paths.history_head]) if read else NO_HEAD,
            ledger=ledger_seen(znodes[self._paths.residency]) if read else NO_LEDGER,
            unscanned=tuple(self._unscanned(observers, now)) if read else (),
            store_problem=problem,
            store_forbidden=forbidden,
            zookeeper_restarts_s_ago=zookeeper_restarts_s_ago,
            ensemble_unchanged_for_s=self._ensemble_unchanged_for_s(observers, now),
        )

    def shown(self) -> tuple[FlushSeen, ...]:
        """What standbys told primaries that were seen since this reader began."""
        return self._hosts.shown()

    def _ensemble_unchanged_for_s(self, observers: tuple[ObserverSeen, ...], now: Now) -> float:
        """As all observers have it: what one saw before an election differs from what another saw
        after it."""
        seen = tuple(
            (observer.site, observer.observation.zookeeper)
            for observer in observers
            if observer.observation is not None
        )
        return self._since.age_s("ensemble", seen, now.boottime_s)

    def _unscanned(self, observers: tuple[ObserverSeen, ...], now: Now) -> Iterable[Unscanned]:
        """Counts from when this reader first saw that it is so."""
        blind = {gap.host for gap in gaps_of(self._policy, living_scans(observers))}
        for cluster in self._policy.clusters:
            for host in cluster.hosts:
                is_blind = host.name in blind
                for_s = self._since.age_s(f"unscanned {host.name}", is_blind, now.boottime_s)
                if is_blind:
                    yield Unscanned(host.name, for_s)

    # ------------------------------------------------------------------ reading

    def _read(self, store: Store) -> Znodes:
        """All znodes in one round trip, and one more when the epoch is new to this reader."""
        znodes = read_all(store, (*self._fixed_paths, *self._salvage_paths))
        epoch = self._epoch_of(znodes)
        if epoch != self._epoch:
            self._epoch = epoch
            self._salvage_paths = self._all_salvage_paths()
            znodes |= read_all(store, self._salvage_paths)
        return znodes

    def _all_fixed_paths(self) -> tuple[str, ...]:
        paths = [self._paths.state, *self._requests, self._paths.history_head]
        if self._policy.access.position.closed:
            paths.append(self._paths.approved)
        paths.append(self._paths.residency)
        paths += [self._paths.observer(site.name) for site in self._policy.sites]
        for cluster in self._policy.clusters:
            paths += [self._paths.writer(cluster.name), self._paths.stopped(cluster.name)]
            paths.append(self._paths.last_writer(cluster.name))
        for _, _, scope in self._scopes:
            paths += [scope.leader, scope.config, scope.status, scope.failover, scope.sync]
            paths.append(scope.history)
        return tuple(paths)

    def _all_salvage_paths(self) -> tuple[str, ...]:
        """Of the present epoch."""
        return tuple(
            self._paths.salvaged(self._epoch, cluster.name, host.name)
            for cluster in self._policy.clusters
            for host in cluster.hosts
        )

    def _all_scopes(self) -> tuple[tuple[ClusterName, SiteName, ScopePaths], ...]:
        namespace = self._policy.patroni_namespace
        return tuple(
            (cluster.name, site.name, ScopePaths(namespace, cluster.scope(site.name)))
            for cluster in self._policy.clusters
            for site in self._policy.data_sites
        )

    def _epoch_of(self, znodes: Znodes) -> Epoch:
        state = self._state(znodes).state
        return state.epoch if state is not None else self._epoch

    # ------------------------------------------------------------------ understanding

    def _state(self, znodes: Znodes) -> StateSeen:
        found = znodes[self._paths.state]
        if found is None:
            return StateSeen()
        try:
            state = decode_state(found.data, path=self._paths.state)
        except StateError as error:
            return StateSeen(version=found.version, problem=str(error))
        return StateSeen(state=state, version=found.version)

    def _claims(self, znodes: Znodes, now: Now) -> tuple[ClaimSeen, ...]:
        return tuple(
            self._claim(
                cluster.name,
                znodes[self._paths.writer(cluster.name)],
                _version(znodes[self._paths.last_writer(cluster.name)]),
                now,
            )
            for cluster in self._policy.clusters
        )

    def _claim(
        self, cluster: ClusterName, found: Znode | None, permits: int | None, now: Now
    ) -> ClaimSeen:
        path = self._paths.writer(cluster)
        # One that was taken and lost between two reads is told by the permits.
        identity = found.ephemeral_owner if found is not None else ("absent", permits)
        age_s = self._since.age_s(path, identity, now.boottime_s)
        if found is None:
            return ClaimSeen(cluster, None, age_s)
        claim, problem = None, ""
        try:
            claim = decode_record(WriterClaim, found.data, path=path)
        except StateError as error:
            problem = str(error)
        return ClaimSeen(cluster, claim, age_s, found.ephemeral_owner, found.version, problem)

    def _scopes_seen(self, znodes: Znodes) -> tuple[ScopeSeen, ...]:
        return tuple(
            scope_seen(cluster, site, scope, znodes) for cluster, site, scope in self._scopes
        )

    def _stopped(self, znodes: Znodes) -> tuple[StoppedSeen, ...]:
        seen = []
        for cluster in self._policy.clusters:
            path = self._paths.stopped(cluster.name)
            if (found := znodes[path]) is None:
                continue
            try:
                proof = decode_record(StoppedProof, found.data, path=path)
            except StateError:
                proof = None
            seen.append(StoppedSeen(cluster.name, found.version, proof))
        return tuple(seen)

    def _last_writers(self, znodes: Znodes) -> tuple[LastWriterSeen, ...]:
        names = [cluster.name for cluster in self._policy.clusters]
        found = ((name, znodes[self._paths.last_writer(name)]) for name in names)
        return tuple(_last_writer(name, znode) for name, znode in found if znode is not None)

    def _salvage(self, znodes: Znodes) -> tuple[SalvageProgress, ...]:
        """Records that cannot be understood are left out: what is not salvaged is held back."""
        records = []
        for path in self._salvage_paths:
            if (found := znodes.get(path)) is None:
                continue
            try:
                records.append(decode_record(SalvageProgress, found.data, path=path))
            except StateError:
                continue
        return tuple(records)

    def _approved(self, znodes: Znodes) -> frozenset[str] | None:
        if not self._policy.access.position.closed:
            return None
        found = znodes[self._paths.approved]
        return decode_approved(found.data if found is not None else b"")

    def _observers(
        self, znodes: Znodes, now: Now, local: SiteObservation | None
    ) -> tuple[ObserverSeen, ...]:
        seen = (
            self._aged(local, now)
            if local is not None and site.name == local.observer
            else self._published(site.name, znodes, now)
            for site in self._policy.sites
        )
        return tuple(observer for observer in seen if observer is not None)

    def _published(self, site: SiteName, znodes: Znodes, now: Now) -> ObserverSeen | None:
        path = self._paths.observer(site)
        if (found := znodes.get(path)) is None:
            return None
        try:
            observation = decode_observation(found.data, path=path)
        except StateError as error:
            return ObserverSeen(site, None, NOT_YET_SEEN_CHANGING_S, str(error))
        if observation.observer != site:
            problem = f"{path}: written by {observation.observer}"
            return ObserverSeen(site, None, NOT_YET_SEEN_CHANGING_S, problem)
        return self._aged(observation, now, self._stood_still_s)

    def _aged(
        self, observation: SiteObservation, now: Now, stood_still_s: float = 0.0
    ) -> ObserverSeen:
        """What has changed since the last look was written at any time since then."""
        site = observation.observer
        identity = (observation.sequence, observation.taken_unix_s)
        first_sight_s = self._first_sight_age_s
        if first_sight_s is None:
            first_sight_s = max(0.0, now.unix_s - observation.taken_unix_s)
        age_s = self._since.age_s(
            f"observer {site}", identity, now.boottime_s, first_sight_s, stood_still_s
        )
        if self._learned.get(site) != identity and age_s < NOT_YET_SEEN_CHANGING_S:
            seen_s = now.boottime_s - max(0.0, age_s - stood_still_s)
            self._hosts.learn(observation, seen_s, now.boottime_s - age_s)
            self._sync.learn(observation, seen_s)
            self._learned[site] = identity
        return ObserverSeen(site, observation, age_s)


def sync_key(
    policy: Policy,
    claim: ClaimSeen,
    scopes: tuple[ScopeSeen, ...],
    writers: tuple[LastWriterSeen, ...],
) -> SyncKey | None:
    """Under what a list could be in force now; None: without claim, permit or configuration."""
    held = claim.claim
    writer = next((w for w in writers if w.cluster == claim.cluster), None)
    if held is None or writer is None or writer.host != held.host:
        return None
    found = (s for s in scopes if (s.cluster, s.site) == (claim.cluster, held.site))
    scope = next(found, None)
    config = parse_config(scope.config) if scope is not None else None
    if scope is None or scope.config is None or config is None:
        return None
    return SyncKey(
        holder=held.host,
        claim_session_id=claim.session_id,
        claim_version=claim.version,
        last_writer_version=writer.version,
        config_version=scope.config.version,
        text=config.sync_names,
        listed=listed_hosts(config.sync_names) or (),
        local=frozenset(host.name for host in policy.cluster(claim.cluster).at(held.site)),
    )


def _last_writer(cluster: ClusterName, found: Znode) -> LastWriterSeen:
    writer = read_last_writer(found)
    if writer is None:
        return LastWriterSeen(cluster, None, found.version)
    promised = writer.timeline if writer.promised else None
    return LastWriterSeen(
        cluster, writer.host, found.version, writer.site, promised, writer.judged_unix_s
    )


def scope_seen(
    cluster: ClusterName, site: SiteName, scope: ScopePaths, znodes: Znodes
) -> ScopeSeen:
    """One Patroni scope as it was read. Foreign text stays text."""
    leader, config = znodes[scope.leader], znodes[scope.config]
    history = znodes[scope.history]
    return ScopeSeen(
        cluster=cluster,
        site=site,
        leader=LeaderKeySeen(
            _text(leader), leader.version, leader.ephemeral_owner, leader.children_count
        )
        if leader is not None
        else None,
        config=ConfigSeen(_text(config), config.version) if config is not None else None,
        status_version=_version(znodes[scope.status]),
        failover_version=_version(znodes[scope.failover]),
        failover_candidate=_candidate(znodes[scope.failover]),
        sync_version=_version(znodes[scope.sync]),
        history=_text(history) if history is not None else "",
    )


def _text(znode: Znode) -> str:
    return znode.data.decode("utf-8", errors="replace")


def _candidate(znode: Znode | None) -> str:
    """What cannot be understood names nobody; nor does Patroni's old form, ``leader:name``."""
    try:
        member = json_object(znode.data).get("member") if znode is not None else None
    except ValueError:
        return ""
    return member if isinstance(member, str) else ""


def _version(znode: Znode | None) -> int | None:
    return None if znode is None else znode.version
