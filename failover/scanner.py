"""Looks for ways out of every database host, all the time, and cuts what streams to outside (I4).

One task for each host: a stuck host holds up nobody but itself. A controller scans the hosts of its
own site, cut off or not; while it leads, those of all sites. Cutting needs no leadership: ending a
stranger's session twice is the same as once. What is found is judged in ``residency/``; this module
only asks, ends sessions, and remembers how old its knowledge is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from pathlib import Path

import structlog

from failover.clock import boottime_s
from failover.health.observation import NoAnswer, NoAnswerKind
from failover.model import HostName, SiteName
from failover.policy import Address, DatabaseHost, Endpoint, Policy
from failover.residency.allowlist import Denied, allowed, judge_answers
from failover.residency.findings import CutSeen, Finding, HostScan, Key
from failover.residency.judge import Cut, declared_slots, judge_host
from failover.residency.judge_catalogues import judge_catalogues
from failover.sites.residency_scan import Ended, ResidencyScan
from failover.sites.resolver import resolve

log = structlog.get_logger(__name__)

LOOK_INTERVAL_S = 1.0
CATALOGUES_INTERVAL_S = 20.0
CATALOGUES_AGAIN_S = 5.0  # after a look that brought nothing, or not all
UNREAD_LOOKS_MAX = 3  # one after another; a database that lets nobody in can wait for its turn
NAMES_INTERVAL_S = 10.0
REFUSED_S = 10.0  # a server that starts refuses too
CUTS_KEPT_S = 300.0
GONE_AFTER_S = 10.0


class Scanner:
    """All scans of one group by one controller. Call everything in one event loop."""

    def __init__(self, policy: Policy, site: SiteName, *, password_file: Path | None) -> None:
        self._policy = policy
        self._site = site
        self.leading = False  # scan every site's hosts
        hosts = (host for cluster in policy.clusters for host in cluster.hosts)
        self._hosts = tuple(HostWatch(policy, host, password_file) for host in hosts)
        self._names = NameWatch(policy, site)

    async def run(self) -> None:
        """Without end."""
        async with asyncio.TaskGroup() as tasks:
            for host in self._hosts:
                tasks.create_task(self._every(LOOK_INTERVAL_S, host, host.turn))
                tasks.create_task(self._every(LOOK_INTERVAL_S, host, host.turn_into))
            tasks.create_task(self._names.run())

    def scans(self) -> tuple[HostScan, ...]:
        """What is known now of each host that is scanned here."""
        names = (self._names.scan(),) if self._policy.endpoints else ()
        return (*(host.scan() for host in self._hosts if self._ours(host)), *names)

    def _ours(self, host: HostWatch) -> bool:
        return self.leading or host.site == self._site

    async def _every(
        self, interval_s: float, host: HostWatch, turn: Callable[[], Awaitable[None]]
    ) -> None:
        try:
            while True:
                started_s = boottime_s()
                if self._ours(host):
                    await _contained(turn, host.broke)
                else:
                    await host.rest()
                await asyncio.sleep(max(0.0, started_s + interval_s - boottime_s()))
        finally:
            await host.rest()


async def _contained(
    turn: Callable[[], Awaitable[None]], broke: Callable[[Exception], None]
) -> None:
    """A mistake in here must not end the controller that it runs in: a takeover may be due."""
    try:
        await turn()
    except Exception as error:
        log.exception("scanner_failed")
        broke(error)


class HostWatch:
    """One host: what was found there last, and how long ago."""

    def __init__(self, policy: Policy, host: DatabaseHost, password_file: Path | None) -> None:
        self._policy = policy
        self._host = host
        self._edge = ResidencyScan(host, password_file=password_file)
        self._looked_s: float | None = None
        self._looked_into_s: float | None = None
        self._tried_into_s: float | None = None
        self._unread_looks = 0  # one after another in which a database could not be read
        self._refused_since_s: float | None = None
        self._problem = ""
        self._findings: tuple[Finding, ...] = ()
        self._in_catalogues: tuple[Finding, ...] = ()
        self._cuts: dict[Key, CutSeen] = {}
        self._lately: dict[Key, tuple[Finding, float]] = {}  # sessions from outside, last seen

    @property
    def site(self) -> SiteName:
        return self._host.site

    def scan(self) -> HostScan:
        now_s, now_unix_s = boottime_s(), time.time()
        cuts = (c for c in self._cuts.values() if now_unix_s - c.last_unix_s <= CUTS_KEPT_S)
        return HostScan(
            host=self._host.name,
            age_s=None if self._looked_s is None else round(now_s - self._looked_s, 1),
            catalogues_age_s=(
                None if self._looked_into_s is None else round(now_s - self._looked_into_s, 1)
            ),
            problem=self._problem,
            findings=(*self._findings, *self._in_catalogues),
            cuts=tuple(cuts),
        )

    async def rest(self) -> None:
        """Not ours now: no connection is kept, and nothing is known."""
        if self._looked_s is not None or self._looked_into_s is not None:
            self._looked_s = self._looked_into_s = self._tried_into_s = None
            self._findings = self._in_catalogues = ()
        self._refused_since_s = None
        await self._edge.close()

    def broke(self, error: Exception) -> None:
        """A look that failed in a way nobody foresaw is none: the gap says so."""
        self._problem = f"the scanner failed: {error!r}"

    async def turn(self) -> None:
        """One look, and an end to what it shows from outside."""
        if not self._dialled():
            return
        asked_s = boottime_s()  # what was seen is as old as the question, however long cuts take
        facts = await self._edge.look()
        if isinstance(facts, NoAnswer):
            self._unanswered(facts)
            return
        self._refused_since_s, self._problem = None, ""
        judged = judge_host(self._policy, self._host, facts, time.time())
        found = {finding.key: finding for finding in judged.findings}
        gone: dict[Address | None, bool] = {}  # one ending is for all sessions of an address
        for cut in judged.cuts if self._policy.residency.cut else ():
            if cut.address not in gone:
                gone[cut.address] = await self._cut(cut)
            if gone[cut.address]:
                found.pop(cut.finding.key, None)
                self._lately.pop(cut.finding.key, None)
        self._looked_s, seen_s = asked_s, boottime_s()
        for cut in judged.cuts:
            if cut.finding.key in found:
                self._lately[cut.finding.key] = (cut.finding, seen_s)
        self._findings = (*found.values(), *self._just_gone(found.keys()))

    async def turn_into(self) -> None:
        """One look into the catalogues, when it is time for one."""
        now_s = boottime_s()
        last_s = self._tried_into_s
        whole = (
            last_s is not None
            and self._looked_into_s is not None
            and (self._looked_into_s >= last_s)
        )
        soon = not whole or 0 < self._unread_looks <= UNREAD_LOOKS_MAX
        wait_s = CATALOGUES_AGAIN_S if soon else CATALOGUES_INTERVAL_S
        if not self._dialled() or (last_s is not None and now_s - last_s < wait_s):
            return
        self._tried_into_s = now_s
        facts = await self._edge.look_into()
        if not isinstance(facts, NoAnswer):
            self._in_catalogues = judge_catalogues(self._host.name, facts)
            self._looked_into_s = now_s
            self._unread_looks = self._unread_looks + 1 if facts.unread else 0

    def _just_gone(self, found: Collection[Key]) -> list[Finding]:
        """Sessions that went by themselves a moment ago: what was there once has to be said, and
        who comes and goes every second stands open all the time."""
        since_s = boottime_s() - GONE_AFTER_S
        self._lately = {key: each for key, each in self._lately.items() if each[1] > since_s}
        return [finding for key, (finding, _) in self._lately.items() if key not in found]

    def _dialled(self) -> bool:
        """A host that stands in no network that counts now is not dialled at all. That is no look:
        what was found there before may still be there."""
        if allowed(self._policy, self._host, time.time()):
            return True
        detail = f"{self._host.address} is in no network for replication that counts now"
        found = Finding("host_outside", self._host.name, str(self._host.address), detail)
        kept = (each for each in self._findings if each.key != found.key)
        self._findings, self._problem = (*kept, found), detail
        return False

    def _unanswered(self, answer: NoAnswer) -> None:
        """Silence is a gap, and other eyes see it too. A server that answers and does not let us
        look is a finding, once it has done so for longer than a start takes."""
        self._problem = answer.detail
        if answer.kind not in (NoAnswerKind.REJECTED, NoAnswerKind.MALFORMED):
            self._refused_since_s = None
            return
        if self._refused_since_s is None:
            self._refused_since_s = boottime_s()
        if boottime_s() - self._refused_since_s >= REFUSED_S:
            found = Finding("unseen", self._host.name, "server", answer.detail)
            kept = (each for each in self._findings if each.key != found.key)
            self._findings = (*kept, found)

    async def _cut(self, cut: Cut) -> bool:
        """Whether it is on record as cut, and nothing is left of it."""
        kept = declared_slots(self._policy, self._policy.cluster(self._host.cluster))
        ended = await self._edge.end(cut.address, cut.walsenders_only, kept)
        if isinstance(ended, NoAnswer):
            return False
        done = [each for each in ended if each.ended]
        if done:
            self._note(cut, done)
        return bool(done) and len(done) == len(ended)

    def _note(self, cut: Cut, ended: list[Ended]) -> None:
        now_unix_s, finding = time.time(), cut.finding
        before = self._cuts.get(finding.key)
        if before is None or now_unix_s - before.last_unix_s > CUTS_KEPT_S:
            before = CutSeen(
                way=finding.way,
                host=finding.host,
                subject=finding.subject,
                first_unix_s=now_unix_s,
                last_unix_s=now_unix_s,
                sessions=0,
                slots=(),
                detail=finding.detail,
            )
        dropped = tuple(each.slot for each in ended if each.slot_dropped)
        self._cuts[finding.key] = replace(
            before,
            last_unix_s=now_unix_s,
            sessions=before.sessions + len(ended),
            slots=tuple(dict.fromkeys((*before.slots, *dropped))),
        )


class NameWatch:
    """The names among the declared endpoints and webhooks, resolved again and again: an answer that
    moves is found out. Nothing here dials them; the rendered firewall of a database host lets no
    packet out to a new place."""

    def __init__(self, policy: Policy, site: SiteName) -> None:
        self._policy = policy
        self._controller: HostName = policy.site(site).controller.name
        self._asked_s: float | None = None
        self._problem = ""
        self._findings: tuple[Finding, ...] = ()

    async def run(self) -> None:
        while True:
            await _contained(self._turn, self._broke)
            await asyncio.sleep(NAMES_INTERVAL_S)

    async def _turn(self) -> None:
        asked_s = boottime_s()
        found = [await self._judge(each) for each in self._policy.endpoints]
        self._findings = tuple(each for each in found if each is not None)
        self._asked_s, self._problem = asked_s, ""

    def _broke(self, error: Exception) -> None:
        self._problem = f"the scanner failed: {error!r}"

    def scan(self) -> HostScan:
        age_s = None if self._asked_s is None else round(boottime_s() - self._asked_s, 1)
        return HostScan(self._controller, age_s, age_s, self._problem, self._findings, ())

    async def _judge(self, endpoint: Endpoint) -> Finding | None:
        answers: tuple[Address, ...]
        if isinstance(endpoint.host, str):
            answers = await resolve(endpoint.host)
        else:
            answers = (endpoint.host,)
        judged = judge_answers(self._policy, answers, endpoint.purpose, time.time())
        if not isinstance(judged, Denied):
            return None
        subject = f"{endpoint.name} ({endpoint.host})"
        return Finding("endpoint", self._controller, subject, judged.reason)
