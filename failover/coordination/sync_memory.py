"""What a reader remembers of a primary that waits for its standbys: is its list really in force?

Why the setting proves nothing, and what does, is decision 0014. All of it is counted in looks of
one observer at a time: two looks further on is half a second at least, whatever any clock says,
because a round begins when the one before has ended, and no sooner than half a second after that
began. Invariant: whatever changes claim, permit, configuration or list begins the proof anew. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from failover.health.inputs import SyncHost, SyncSeen
from failover.health.observation import PostgresSeen, SiteObservation, WalsenderSeen
from failover.model import ClusterName, HostName, Lsn, SiteName
from failover.policy import Cluster, Policy

SETTLED_S = 2.0  # so lately a server that is well has shown its list
MISSED_S = 2.0  # an observer looks every half second to second
APART_LOOKS = 2  # that many looks of one observer are half a second apart at least


@dataclass(frozen=True, slots=True)
class SyncKey:
    """Under what the proof counts. ``text``: the list in the active scope's configuration."""

    holder: HostName
    claim_session_id: int
    claim_version: int
    last_writer_version: int
    config_version: int
    text: str
    listed: tuple[HostName, ...]  # empty where the text is not understood, too
    local: frozenset[HostName]  # the hosts of its site: one of them may be promoted


@dataclass(frozen=True, slots=True)
class Look:
    """One observer's look at one cluster. ``primary`` None: it did not see the holder work."""

    sequence: int
    primary: PostgresSeen | None
    servers: Mapping[HostName, PostgresSeen | None]  # every one of the cluster; None: not seen


@dataclass(frozen=True, slots=True)
class Proof:
    """How far one observer's looks have come; the numbers are looks, None: not yet.

    1. ``held``: setting and walsenders are as wanted, and have been ever since.
    2. ``idle``: half a second later the checkpointer has taken the setting in, so that from here
       on every commit waits; and so has that of every listed host which could be promoted.
    3. ``mark``: after that the WAL ended there; what had not waited is before it.
    4. ``done``: later every listed host has that on its disk.
    """

    held: int | None = None
    idle: int | None = None
    marked: int | None = None
    mark: Lsn | None = None
    done: bool = False


def advance(proof: Proof, look: Look, key: SyncKey) -> Proof:
    """The proof after one more look; begun anew where the look does not bear it out."""
    primary = look.primary
    if primary is None or primary.current_lsn is None or not _as_wanted(look, key):
        return Proof()
    if proof.done:
        return proof
    if proof.held is None:
        return Proof(held=look.sequence)
    if proof.idle is None:
        settled = look.sequence >= proof.held + APART_LOOKS
        servers = (primary, *(look.servers[host] for host in key.listed if host in key.local))
        ready = settled and all(s is not None and s.checkpointer_idle is True for s in servers)
        return replace(proof, idle=look.sequence) if ready else proof
    if proof.mark is None:
        return replace(proof, marked=look.sequence, mark=primary.current_lsn)
    mark = proof.mark
    flushed = (_row(primary, host) for host in key.listed)
    done = all(row and row.flush_lsn is not None and row.flush_lsn >= mark for row in flushed)
    return replace(proof, done=done)


def _as_wanted(look: Look, key: SyncKey) -> bool:
    """Primary and local hosts show the list, all stand on one timeline, and each host is one
    synchronous walsender: its position alone could be one on another branch."""
    primary = look.primary
    if primary is None or not key.listed or primary.sync_names != key.text:
        return False
    for host in key.listed:
        seen = look.servers.get(host)
        if seen is None or seen.timeline != primary.timeline:
            return False
        if host in key.local and seen.sync_names != key.text:
            return False
    rows = [_row(primary, host) for host in key.listed]
    return all(row and (row.state, row.sync_state) == ("streaming", "sync") for row in rows)


def _row(primary: PostgresSeen, host: HostName) -> WalsenderSeen | None:
    """Its walsender. Of two by one name PostgreSQL would count both, and forget another host."""
    rows = [row for row in primary.walsenders if row.name == host]
    return rows[0] if len(rows) == 1 else None


# --------------------------------------------------------------------------- which run is level


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a standby's server, as one observer sees it, and how far it is proved.

    A host may come back with an older disk, or with a copy of a neighbour's: its name alone proves
    nothing. ``mark``: where the primary's WAL ended at a look after the run was first seen. What
    any earlier run has said that it has is before that.
    """

    started: str
    first: int
    mark: Lsn | None = None
    level: bool = False


def follow_run(run: Run | None, look: Look, host: HostName) -> Run | None:
    """What is known of the run after one more look; None: no server of it was seen yet."""
    primary, seen = look.primary, look.servers.get(host)
    if seen is not None and (run is None or seen.started != run.started):
        run = Run(seen.started, look.sequence) if seen.started and seen.in_recovery else None
    if run is None or run.level or primary is None or primary.current_lsn is None:
        return run
    if run.mark is None and look.sequence > run.first:
        run = replace(run, mark=primary.current_lsn)
    received = seen.received_lsn if seen is not None else None
    if seen is None or run.mark is None or received is None or received < run.mark:
        return run
    return replace(run, level=seen.timeline == primary.timeline)


# --------------------------------------------------------------------------- who keeps up


@dataclass
class _Times:
    """Of one host, on the reader's clock."""

    good_s: float  # last seen with all that it should have
    good_since_s: float | None = None
    shown_s: float = 0.0  # its own server last showed the list
    kept_up: bool = False


@dataclass
class _Observer:
    """What one observer showed of one cluster so far."""

    begins_after: int = 0  # looks up to this one may be older than what the proof is about
    last: int = 0
    ends: tuple[Lsn, ...] = ()  # the primary's WAL at its last looks, oldest first
    ended_s: float = 0.0  # when the last of them was learnt
    missed: bool = False  # it lost sight of the primary, and has not looked often enough since
    proof: Proof = field(default_factory=Proof)
    runs: dict[HostName, Run | None] = field(default_factory=dict)


class _ClusterMemory:
    """One cluster. Time and proof begin anew with every key; who keeps up, with every permit."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.key: SyncKey | None = None
        self.look_s: float | None = None
        self.observers: dict[SiteName, _Observer] = {}
        self.times: dict[HostName, _Times] = {}
        self.level: dict[HostName, str] = {}  # the run that was last seen to be level

    def set_key(self, key: SyncKey | None, at_s: float) -> None:
        if key == self.key:
            return
        if key is None or self.key is None or _permit(key) != _permit(self.key):
            self.times, self.level, self.look_s = {}, {}, None
            for seen in self.observers.values():
                seen.ends, seen.runs = (), {}
        for seen in self.observers.values():
            seen.proof = Proof()
            seen.begins_after = seen.last + 1  # one may have been under way
        until_s = self.look_s if self.look_s is not None else at_s
        for times in self.times.values():
            if until_s - times.shown_s < SETTLED_S:  # a host that took in none before has no grace
                times.shown_s = at_s
        self.key = key

    def learn(self, observer: SiteName, look: Look, at_s: float) -> None:
        seen = self.observers.get(observer)
        if seen is None or look.sequence <= seen.last:  # new to this reader, or another process
            self.observers[observer] = seen = _Observer(begins_after=look.sequence)
        seen.last = look.sequence
        key, primary = self.key, look.primary
        if key is None:
            return
        counts = look.sequence > seen.begins_after
        seen.proof = advance(seen.proof, look, key) if counts else Proof()
        if counts:
            self._runs(seen, look, key)
        if primary is None or primary.current_lsn is None:
            seen.ends, seen.missed = (), True
            return
        if seen.ends and at_s - seen.ended_s > MISSED_S:
            seen.ends, seen.missed = (), True
        seen.missed = seen.missed and len(seen.ends) < APART_LOOKS
        if not seen.missed:
            self._nobody_looked(at_s)
        self._keep_up(primary, look, seen, key, at_s)
        seen.ends, seen.ended_s = (*seen.ends, primary.current_lsn)[-APART_LOOKS:], at_s
        if not seen.missed:
            self.look_s = max(at_s, self.look_s or at_s)

    def _nobody_looked(self, at_s: float) -> None:
        """Of a time in which no observer saw the primary nothing counts against whoever was good
        before it: an election of ZooKeeper would drop every standby."""
        if self.look_s is None or at_s - self.look_s <= MISSED_S:
            return
        for times in self.times.values():
            if times.good_since_s is not None:
                times.good_s = max(times.good_s, at_s)

    def _runs(self, seen: _Observer, look: Look, key: SyncKey) -> None:
        for host in (h.name for h in self.cluster.hosts if h.name != key.holder):
            run = seen.runs[host] = follow_run(seen.runs.get(host), look, host)
            if run is not None and run.level and look.servers.get(host) is not None:
                self.level[host] = run.started

    def _keep_up(
        self,
        primary: PostgresSeen,
        look: Look,
        seen: _Observer,
        key: SyncKey,
        at_s: float,
    ) -> None:
        """By where the WAL ended two looks before. Who lost sight of the primary knows that of a
        time before, and would call a host good that has said nothing since."""
        ends = () if seen.missed else seen.ends
        for host in (h.name for h in self.cluster.hosts if h.name != key.holder):
            times = self.times.setdefault(host, _Times(good_s=at_s, shown_s=at_s))
            row = _row(primary, host)
            flushed = row.flush_lsn if row is not None and row.state == "streaming" else None
            if flushed is None or (ends and flushed < ends[0]):
                times.good_since_s = None
            elif not seen.missed:
                times.good_s = max(at_s, times.good_s)
                times.good_since_s = at_s if times.good_since_s is None else times.good_since_s
                times.kept_up = True
            if _shows(look, host, key):
                times.shown_s = max(at_s, times.shown_s)

    def seen(self) -> SyncSeen | None:
        key = self.key
        if key is None:
            return None
        return SyncSeen(
            cluster=self.cluster.name,
            in_force=any(observer.proof.done for observer in self.observers.values()),
            listed=key.listed,
            config_version=key.config_version,
            claim_session_id=key.claim_session_id,
            claim_version=key.claim_version,
            last_writer_version=key.last_writer_version,
            hosts=tuple(self._host(host, times) for host, times in self.times.items()),
        )

    def _host(self, host: HostName, times: _Times) -> SyncHost:
        """Up to the last look at the primary: while that is not seen, nobody is known to stall."""
        until_s = self.look_s if self.look_s is not None else times.good_s
        since_s = times.good_since_s
        return SyncHost(
            host=host,
            stalled_for_s=max(0.0, until_s - times.good_s),
            caught_up_for_s=max(0.0, until_s - since_s) if since_s is not None else 0.0,
            unsettled_for_s=max(0.0, until_s - times.shown_s),
            run=self.level.get(host, ""),
            kept_up=times.kept_up,
        )


def _shows(look: Look, host: HostName, key: SyncKey) -> bool:
    """Its own server has the list; asked of the primary's site only."""
    seen = look.servers.get(host)
    return host not in key.local or (seen is not None and seen.sync_names == key.text)


def _permit(key: SyncKey) -> tuple[HostName, int, int]:
    return key.holder, key.claim_session_id, key.last_writer_version


# --------------------------------------------------------------------------- all of them


class SyncMemory:
    """Per cluster: whether its list is in force, and who keeps up with its primary."""

    def __init__(self, policy: Policy) -> None:
        self._clusters = {c.name: _ClusterMemory(c) for c in policy.clusters}

    def set_key(self, cluster: ClusterName, key: SyncKey | None, at_s: float) -> None:
        """What is in ZooKeeper now; before the observations of the same read are learnt."""
        self._clusters[cluster].set_key(key, at_s)

    def learn(self, observation: SiteObservation, seen_s: float) -> None:
        """Take in one observation, first seen by this reader at ``seen_s``."""
        answers = {host.host: host.postgres for host in observation.hosts}
        for memory in self._clusters.values():
            if memory.key is not None:
                look = _look(observation.sequence, answers, memory.cluster, memory.key)
            else:
                look = Look(observation.sequence, None, {})
            memory.learn(observation.observer, look, seen_s)

    def seen(self) -> tuple[SyncSeen, ...]:
        found = (memory.seen() for memory in self._clusters.values())
        return tuple(seen for seen in found if seen is not None)


def _look(
    sequence: int, answers: Mapping[HostName, object], cluster: Cluster, key: SyncKey
) -> Look:
    holder = answers.get(key.holder)
    works = isinstance(holder, PostgresSeen) and not holder.in_recovery
    servers: dict[HostName, PostgresSeen | None] = {}
    for host in cluster.hosts:
        answer = answers.get(host.name)
        servers[host.name] = answer if isinstance(answer, PostgresSeen) else None
    return Look(sequence, holder if works and isinstance(holder, PostgresSeen) else None, servers)
