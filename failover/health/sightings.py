"""One database host through the eyes of the living observers. Pure.

Three answers to every question. True: somebody living saw it. False: somebody living saw the
opposite (for ``reached``: every living observer tried in vain). None: unknown. A silent host is
never called dead here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from failover.health.inputs import Glanced
from failover.health.observation import (
    FlushSeen,
    GuardSeen,
    HostObservation,
    NoAnswer,
    NoAnswerKind,
    PatroniSeen,
    PostgresSeen,
)
from failover.model import SiteName, TimelineId
from failover.policy import DatabaseHost

Tri = bool | None  # None: unknown


def some(answers: Iterable[Tri]) -> Tri:
    """True where one is True, else False where one is False, else unknown."""
    found: Tri = None
    for answer in answers:
        if answer:
            return True
        if answer is not None:
            found = False
    return found


def every(answers: Iterable[Tri]) -> Tri:
    """False where one is False, else unknown where one is, else True."""
    seen = tuple(answers)
    return False if False in seen else (None if None in seen else True)


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one living observer saw of one host. ``age_s``: at most so old when it was taken."""

    observer: SiteName
    age_s: float
    seen: HostObservation


@dataclass(frozen=True)
class HostView:
    """One database host, through the eyes of the living observers, the freshest first.

    Without slots: the rows of the verdict table ask the same again and again, so what follows from
    the sightings is worked out once.
    """

    host: DatabaseHost
    sightings: tuple[Sighting, ...]
    unreachable_s: float  # since any of them had an answer from its PostgreSQL
    glanced: Glanced | None = None  # asked once more right before this look
    flushed: FlushSeen | None = None  # the newest that it told a primary
    last_timeline: TimelineId | None = None  # of its last answer; None: none was seen

    @cached_property
    def reached(self) -> Tri:
        """Somebody got any answer from it, a refusal included. None: nobody looked."""
        return some(_host_answered(sighting.seen) for sighting in self.sightings)

    def reached_by(self, observer: SiteName) -> Tri:
        """The same for one observer. None: it is not alive, or did not look."""
        return some(_host_answered(s.seen) for s in self.sightings if s.observer == observer)

    @cached_property
    def working_primary(self) -> Tri:
        """PostgreSQL answers and is out of recovery. False: it is not, or there is no server."""
        return some(_out_of_recovery(sighting.seen) for sighting in self.sightings)

    @cached_property
    def could_take_lease(self) -> Tri:
        """Patroni answers and may lead, and the guard without which there is no permit is up."""
        return some(_could_lead(sighting.seen) for sighting in self.sightings)

    @cached_property
    def postgres(self) -> PostgresSeen | None:
        """The freshest answer of PostgreSQL."""
        if self.glanced is not None:
            return self.glanced.postgres
        answers = (s.seen.postgres for s in self.sightings)
        return next((a for a in answers if isinstance(a, PostgresSeen)), None)

    @cached_property
    def refused_since(self) -> bool:
        """The freshest look at its PostgreSQL found nobody: what others saw of it is from before.

        Silence is no such word; it may be the way there.
        """
        if self.glanced is not None:
            return False
        looks = (s.seen.postgres for s in self.sightings)
        told = (a for a in looks if isinstance(a, PostgresSeen) or _refused(a))
        return _refused(next(told, None))

    @cached_property
    def patroni(self) -> PatroniSeen | None:
        answers = (s.seen.patroni for s in self.sightings)
        return next((a for a in answers if isinstance(a, PatroniSeen)), None)

    @cached_property
    def guard(self) -> GuardSeen | None:
        answers = (s.seen.guard for s in self.sightings)
        return next((a for a in answers if isinstance(a, GuardSeen)), None)

    @cached_property
    def guard_working(self) -> Tri:
        """Armed and with a living worker. None: no answer from it."""
        guard = self.guard
        if guard is not None:
            return guard.armed and guard.worker_alive
        return False if any(_refused(s.seen.guard) for s in self.sightings) else None

    @cached_property
    def primary_timeline(self) -> TimelineId | None:
        """The newest timeline on which it was seen out of recovery.

        Not that of the freshest answer: ages count from when a reader saw it first, so of two that
        are as fresh one may be from before the promotion.
        """
        answers = (s.seen.postgres for s in self.sightings)
        out = (a.timeline for a in answers if isinstance(a, PostgresSeen) and not a.in_recovery)
        return max(out, default=None)

    def working_primary_after(self, seconds_ago: float) -> bool:
        """Seen as a working primary in an observation taken wholly within these seconds."""
        return any(s.age_s < seconds_ago and _out_of_recovery(s.seen) for s in self.sightings)

    def postgres_after(self, seconds_ago: float) -> bool:
        """Its freshest answer of PostgreSQL was taken wholly within these seconds."""
        if self.glanced is not None:
            return self.glanced.age_s < seconds_ago
        answers = (s for s in self.sightings if isinstance(s.seen.postgres, PostgresSeen))
        freshest = next(answers, None)
        return freshest is not None and freshest.age_s < seconds_ago


def _refused(part: object) -> bool:
    return isinstance(part, NoAnswer) and part.kind is NoAnswerKind.REFUSED


def _host_answered(seen: HostObservation) -> bool:
    return _answered(seen.postgres) or _answered(seen.patroni) or _answered(seen.guard)


def _answered(part: object) -> bool:
    return not isinstance(part, NoAnswer) or part.kind is not NoAnswerKind.TIMED_OUT


def _out_of_recovery(seen: HostObservation) -> Tri:
    if isinstance(seen.postgres, PostgresSeen):
        return not seen.postgres.in_recovery
    return False if _refused(seen.postgres) else None


def _could_lead(seen: HostObservation) -> Tri:
    if isinstance(seen.patroni, PatroniSeen):
        return not seen.patroni.nofailover and not _refused(seen.guard)
    return False if _refused(seen.patroni) else None
