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
from failover.model import ClusterName, HostName, Lsn, TimelineId
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
    WAL ended, and what a standby told it."""

    def __init__(self, policy: Policy) -> None:
        self._cluster_of = {h.name: c.name for c in policy.clusters for h in c.hosts}
        self._answered_s: dict[HostName, float] = {}
        self._timeline: dict[HostName, tuple[float, TimelineId]] = {}  # and when it was looked at
        self._shown: dict[HostName, FlushSeen] = {}  # by primaries, to anybody
        self._told: dict[HostName, FlushSeen] = {}  # by observers, of what was shown to them
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
            self._keep(self._told, told)
        for host in observation.hosts:
            postgres = host.postgres
            if not isinstance(postgres, PostgresSeen) or host.host not in self._cluster_of:
                continue
            self._answered_s[host.host] = max(seen_s, self._answered_s.get(host.host, seen_s))
            looked = (seen_s - observation.round_duration_s, postgres.timeline)
            self._timeline[host.host] = max(looked, self._timeline.get(host.host, looked))
            if not postgres.in_recovery and postgres.current_lsn is not None:
                self._sample(host.host, sample_s, postgres.current_lsn, postgres.timeline)
                self._rows(self._cluster_of[host.host], postgres)

    def silences(self, boottime_s: float) -> tuple[HostSilence, ...]:
        """Never heard of counts from the first question on."""
        return tuple(
            HostSilence(
                host,
                boottime_s - self._answered_s.setdefault(host, boottime_s),
                self._timeline.get(host, (0.0, None))[1],
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
        """The newest of each host, by all that anybody saw."""
        newest = dict(self._shown)
        for told in self._told.values():
            self._keep(newest, told)
        return tuple(newest.values())

    def shown(self) -> tuple[FlushSeen, ...]:
        """What primaries showed while this reader looked, for those who were started later. Not
        what others told: that would outlive everybody who saw it."""
        return tuple(self._shown.values())

    def _rows(self, cluster: ClusterName, primary: PostgresSeen) -> None:
        self._forget_another(cluster, primary.system_identifier)
        for row in primary.walsenders:
            if row.flush_lsn is not None:
                told = FlushSeen(
                    *(HostName(row.name), row.flush_lsn, primary.timeline),
                    primary.system_identifier,
                )
                self._keep(self._shown, told)

    def _keep(self, kept: dict[HostName, FlushSeen], told: FlushSeen) -> None:
        if told.host in self._cluster_of:
            kept[told.host] = max(kept.get(told.host, told), told, key=_place)

    def _forget_another(self, cluster: ClusterName, system_identifier: str) -> None:
        """Of a cluster that was made anew: its timelines begin at 1 again."""
        for kept in (self._shown, self._told):
            for host, told in tuple(kept.items()):
                another = told.system_identifier != system_identifier
                if self._cluster_of[host] == cluster and another:
                    del kept[host]

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
