"""How a PostgreSQL server waits for its standbys, as far as that can go wrong (decision 0014).

A new list is taken in in parts, each at its own time: the server shows it first, every walsender
releases commits by the list that it has read itself, and the checkpointer, which may be busy, sets
the mark without which a commit does not wait at all. A standby on another branch says what it has
before it is turned away, and bare positions are compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from failover.health.listed import listed_hosts
from failover.health.observation import WalsenderSeen
from failover.model import HostName, Lsn
from failover.simulation.kernel import Kernel
from failover.simulation.wal import Position

SIGNAL_S = 0.4  # a walsender reads a changed setting no later
CHECKPOINTER_S = 2.0  # nor the checkpointer, while it is not busier than that
WAL_SENDER_TIMEOUT_S = 5.0


@dataclass(slots=True)
class Walsender:
    """One connected standby. ``names``: the list that this walsender has read."""

    names: str
    flushed: int
    heard_s: float


@dataclass(slots=True)
class SyncCommits:
    """Of one server. ``acknowledge``: tells a client of the commit at that position."""

    kernel: Kernel
    acknowledge: Callable[[Position], None]
    shown: str = ""
    taken_in: str = ""  # by the checkpointer; empty: commits do not wait
    walsenders: dict[str, Walsender] = field(default_factory=dict)
    waiting: list[Position] = field(default_factory=list)
    stopping: bool = False
    _run: int = 0

    def begin(self) -> None:
        """Another run of the server (17.5 and later): it knows the mark before its first commit."""
        self._run += 1
        self.taken_in = self.shown
        self.walsenders, self.waiting, self.stopping = {}, [], False

    def stop(self) -> None:
        """A fast shutdown: whoever waits, or would, is turned away without an answer."""
        self.waiting, self.stopping = [], True

    def told(self, text: str, *, running: bool) -> None:
        """The setting has changed; a server that does not run finds it when it starts."""
        if text == self.shown:
            return
        self.shown = text
        if not running:
            self.taken_in = text
            return
        run = self._run
        for name in self.walsenders:
            self._later(SIGNAL_S, lambda name=name: self._read(run, name))  # type: ignore[misc]
        self._later(CHECKPOINTER_S, lambda: self._take_in(run))

    def _later(self, limit_s: float, call: Callable[[], None]) -> None:
        self.kernel.after(self.kernel.random.uniform(0.0, limit_s), call)

    def _read(self, run: int, name: str) -> None:
        if run == self._run and name in self.walsenders:
            self.walsenders[name].names = self.shown

    def _take_in(self, run: int) -> None:
        if run != self._run:
            return
        self.taken_in = self.shown
        if not self.shown:
            self._release(self.waiting)

    # ------------------------------------------------------------------ commits

    def commit(self, position: Position) -> None:
        """It is on this server's disk."""
        if not self.taken_in:
            self.acknowledge(position)
        elif not self.stopping:
            self.waiting.append(position)

    def heard(self, standby: str, lsn: int) -> None:
        """A standby says up to where it has WAL; its walsender releases what it thinks it may."""
        known = self.walsenders.get(standby)
        names = known.names if known is not None else self.shown
        self.walsenders[standby] = Walsender(names, lsn, self.kernel.now)
        required = listed_hosts(names) or ()
        senders = [self.walsenders.get(name) for name in required]
        counted = [
            sender.flushed
            for name, sender in zip(required, senders, strict=True)
            if sender is not None and name in (listed_hosts(sender.names) or ())
        ]
        if standby not in required or len(counted) < len(required):
            return
        upto = min(counted)
        self._release([position for position in self.waiting if position.lsn <= upto])

    def turned_away(self, standby: str, lsn: int) -> None:
        """It is on another branch, and was heard all the same."""
        self.walsenders.pop(standby, None)
        self.heard(standby, lsn)
        self.walsenders.pop(standby, None)

    def gone(self, standby: str, *, noticed: bool) -> None:
        """It streams no more. A silent one is noticed by ``wal_sender_timeout``."""
        known = self.walsenders.get(standby)
        if known is not None and (
            noticed or self.kernel.now - known.heard_s > WAL_SENDER_TIMEOUT_S
        ):
            del self.walsenders[standby]

    def _release(self, positions: list[Position]) -> None:
        done = set(positions)
        self.waiting = [position for position in self.waiting if position not in done]
        for position in positions:
            self.acknowledge(position)

    # ------------------------------------------------------------------ what can be seen

    def could_skip(self, hosts: set[HostName]) -> bool:
        """A commit could be acknowledged now, or at a standby's next word, without any of these."""
        if not self.taken_in:
            return True
        lists = {s.names for name, s in self.walsenders.items() if name in _names(s.names)}
        return any(hosts.isdisjoint(_names(text)) for text in lists)

    def rows(self) -> tuple[WalsenderSeen, ...]:
        """``pg_stat_replication``."""
        return tuple(
            WalsenderSeen(
                name,
                "streaming",
                Lsn(sender.flushed),
                "sync" if name in _names(self.shown) & _names(sender.names) else "async",
            )
            for name, sender in sorted(self.walsenders.items())
        )


def _names(text: str) -> set[HostName]:
    return set(listed_hosts(text) or ())
