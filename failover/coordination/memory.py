"""What a reader remembers between two looks: since when things are as they are.

All times are the reader's own CLOCK_BOOTTIME; clocks of other hosts are never compared. Something
seen for the first time is of unknown age: ``first_sight_age_s`` says what to assume.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass

from failover.health.inputs import HostSilence, LsnSample
from failover.health.observation import FlushSeen, PostgresSeen, SiteObservation
from failover.model import ClusterName, HostName, Lsn, SiteName, TimelineId
from failover.policy import Policy

SAMPLE_INTERVAL_S = 0.4
LATE_S = 5.0  # looks come later than that from nobody (ROUND_AGE_S_MAX, and to be read)
SAMPLES_MAX = 400  # the last three minutes of a living primary


class Since:
    """Since when each thing has been as it is now."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[Hashable, float]] = {}

    def age_s(
        self,
        name: str,
        value: Hashable,
        boottime_s: float,
        first_sight_age_s: float = 0.0,
        change_age_s: float = 0.0,
    ) -> float:
        """How long ``name`` has had this ``value``, as far as this reader has seen.

        ``change_age_s``: what is believed of a value that is another one than at the last look.
        """
        before = self._seen.get(name)
        if before is None:
            before = (value, boottime_s - first_sight_age_s)
        elif before[0] != value:
            before = (value, boottime_s - change_age_s)
        self._seen[name] = before
        return boottime_s - before[1]


@dataclass(frozen=True, slots=True)
class _Sample:
    cluster: ClusterName
    host: HostName
    at_s: float
    lsn: Lsn
    timeline: TimelineId


class HostMemory:
    """Per host: when its PostgreSQL last answered anybody and on which timeline, where a primary's
    WAL ended, and what each observer saw that it told a primary."""

    def __init__(self, policy: Policy) -> None:
        self._cluster_of = {h.name: c.name for c in policy.clusters for h in c.hosts}
        self._answered_s: dict[HostName, float] = {}
        self._timeline: dict[HostName, TimelineId] = {}
        self._told: dict[tuple[SiteName, HostName], FlushSeen] = {}
        self._samples: dict[ClusterName, deque[_Sample]] = {
            cluster.name: deque(maxlen=SAMPLES_MAX) for cluster in policy.clusters
        }

    def learn(
        self, observation: SiteObservation, seen_s: float, written_s: float | None = None
    ) -> None:
        """Take in one observation, first seen by this reader at ``seen_s``.

        ``written_s``, where that may be much earlier: a silence counts from the one, the age of a
        sample from the other, so neither is taken for more than it is.
        """
        sample_s = seen_s if written_s is None else written_s
        for told in observation.told:
            self._told_to(observation.observer, told)
        for host in observation.hosts:
            postgres = host.postgres
            if not isinstance(postgres, PostgresSeen) or host.host not in self._cluster_of:
                continue
            before_s = self._answered_s.get(host.host, seen_s)
            if seen_s >= before_s:
                self._answered_s[host.host] = seen_s
                self._timeline[host.host] = postgres.timeline
            if not postgres.in_recovery and postgres.current_lsn is not None:
                self._sample(host.host, sample_s, postgres.current_lsn, postgres.timeline)
                self._rows(observation.observer, postgres)

    def silences(self, boottime_s: float) -> tuple[HostSilence, ...]:
        """Never heard of counts from the first question on."""
        return tuple(
            HostSilence(
                host,
                boottime_s - self._answered_s.setdefault(host, boottime_s),
                self._timeline.get(host),
            )
            for host in self._cluster_of
        )

    def samples(self, boottime_s: float) -> tuple[LsnSample, ...]:
        return tuple(
            LsnSample(
                sample.cluster, sample.host, boottime_s - sample.at_s, sample.lsn, sample.timeline
            )
            for samples in self._samples.values()
            for sample in samples
        )

    def flushed(self) -> tuple[FlushSeen, ...]:
        """The newest of each host, by all that any observer saw."""
        newest: dict[HostName, FlushSeen] = {}
        for seen in self._told.values():
            newest[seen.host] = max(newest.get(seen.host, seen), seen, key=_place)
        return tuple(newest.values())

    def told(self, observer: SiteName) -> tuple[FlushSeen, ...]:
        """What this observer saw itself. No other's: nobody would forget what all have once seen,
        not even of a cluster that was made anew."""
        return tuple(seen for (by, _), seen in self._told.items() if by == observer)

    def _rows(self, observer: SiteName, primary: PostgresSeen) -> None:
        for row in primary.walsenders:
            if row.flush_lsn is not None:
                told = FlushSeen(HostName(row.name), row.flush_lsn, primary.timeline)
                self._told_to(observer, told)

    def _told_to(self, observer: SiteName, told: FlushSeen) -> None:
        if told.host in self._cluster_of:
            known = self._told.get((observer, told.host), told)
            self._told[observer, told.host] = max(known, told, key=_place)

    def _sample(self, host: HostName, at_s: float, lsn: Lsn, timeline: TimelineId) -> None:
        samples = self._samples[self._cluster_of[host]]
        last = samples[-1] if samples else None
        if last is not None and (last.host, last.timeline) == (host, timeline):
            since_s = at_s - last.at_s
            # An older look that came late takes nothing back; a server that crashed may have.
            if since_s < (LATE_S if lsn < last.lsn else SAMPLE_INTERVAL_S):
                return
        samples.append(_Sample(self._cluster_of[host], host, at_s, lsn, timeline))


def _place(seen: FlushSeen) -> tuple[TimelineId, Lsn]:
    """Of two primaries the one on the newer timeline is the later one (decision 0010)."""
    return seen.timeline, seen.lsn
