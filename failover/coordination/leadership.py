"""Which controller decides. A convenience, never the safety argument: every write is conditional.

Candidates are the controllers whose observations keep changing (presence.py), so one that hangs
is none even while its ZooKeeper session lives. The leader holds an ephemeral znode. It is
preferably outside the active site, whose loss is what it is there for: one inside it resigns when
another candidate lives. A newcomer stands only where nobody has watched for longer. A leader
expires by itself, on the caller's clock, counted from when its last committed renewal was sent;
kazoo's connection state is never taken as proof.
"""

from __future__ import annotations

from dataclasses import dataclass

from failover.coordination.presence import Presence
from failover.coordination.reads import read_all
from failover.coordination.store import Store, StoreUnavailable
from failover.model import SiteName
from failover.policy import Policy
from failover.znode import Committed, Create, Delete, GroupPaths, Transaction, Znode

SILENT_AFTER_S = 4.0  # a candidate whose observation is unchanged for so long is none
# A newcomer has not seen the primary's WAL grow, so it could only hold; rounds are half a second.
EXPERIENCED_AFTER_ROUNDS = 40
EXPERIENCE_STEP_ROUNDS = 10  # less of a difference is none
MARGIN_S = 1.0  # a leader stops this long before its session can end


@dataclass(frozen=True, slots=True)
class _Changed:
    owner: int
    version: int
    at_s: float


class Election:
    """One controller's part in the election. Driven by ``turn``; has no thread of its own."""

    def __init__(self, policy: Policy, site: SiteName, presence: Presence, session_s: float):
        paths = GroupPaths(policy.group)
        self._site = site
        self._order = {known.name: index for index, known in enumerate(policy.sites)}
        self._lock = f"{paths.leadership}/leader"
        self._observers = {known.name: paths.observer(known.name) for known in policy.sites}
        self._presence = presence
        self._valid_s = session_s - MARGIN_S
        self._held_session: int | None = None
        self._changed: dict[SiteName, _Changed] = {}
        self.leader: SiteName | None = None  # as last read, for humans

    @property
    def lock_path(self) -> str:
        return self._lock

    def leads(self, store: Store, boottime_s: float) -> bool:
        """May this controller start a step now? Ask again right before each."""
        sent_s = self._presence.proven_sent_s
        return (
            self._held_session is not None
            and store.session_id == self._held_session
            and sent_s is not None
            and boottime_s < sent_s + self._valid_s
        )

    def turn(self, store: Store, boottime_s: float, active_site: SiteName | None) -> None:
        """Look around once and stand, stay, or resign. Does nothing where ZooKeeper is silent."""
        session = store.session_id
        if session is None:
            return
        try:
            found = read_all(store, (self._lock, *self._observers.values()))
        except StoreUnavailable:
            return
        lock = found[self._lock]
        self.leader = _site_of(lock)
        living = self._living(found, boottime_s)
        step = self._step(lock, session, living, active_site)
        if lock is None or lock.ephemeral_owner != session:
            self._held_session = None
        elif not step:
            self._held_session = session
        if step and isinstance(store.commit(step), Committed):
            stands = isinstance(step[-1], Create)
            self._held_session = session if stands and store.session_id == session else None
            self.leader = self._site if stands else None

    def _step(
        self,
        lock: Znode | None,
        session: int,
        living: frozenset[SiteName],
        active_site: SiteName | None,
    ) -> Transaction:
        """The change to the lock that this controller should make now; empty: none."""

        def preference(site: SiteName) -> tuple[bool, int, int]:
            rounds = min(self._changed[site].version, EXPERIENCED_AFTER_ROUNDS)
            experience = rounds // EXPERIENCE_STEP_ROUNDS
            return (site == active_site, -experience, self._order[site])

        best = min(living, key=preference, default=None)
        stand = Create(self._lock, self._site.encode(), ephemeral=True)
        if lock is None:
            return (stand,) if best == self._site else ()
        if lock.ephemeral_owner == session:
            must_resign = self._site == active_site and best is not None and best != self._site
            return (Delete(self._lock, lock.version),) if must_resign else ()
        if best == self._site and _site_of(lock) not in living:
            return (Delete(self._lock, lock.version), stand)
        return ()

    def _living(self, found: dict[str, Znode | None], boottime_s: float) -> frozenset[SiteName]:
        living = set()
        for site, path in self._observers.items():
            znode = found[path]
            if znode is None:
                self._changed.pop(site, None)
                continue
            before = self._changed.get(site)
            if before is None or (before.owner, before.version) != (
                znode.ephemeral_owner,
                znode.version,
            ):
                before = _Changed(znode.ephemeral_owner, znode.version, boottime_s)
                self._changed[site] = before
            if boottime_s - before.at_s < SILENT_AFTER_S:
                living.add(site)
        return frozenset(living)


def _site_of(lock: Znode | None) -> SiteName | None:
    return None if lock is None else SiteName(lock.data.decode(errors="replace"))
