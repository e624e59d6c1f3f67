"""The ZooKeeper ensemble: one committed tree, its servers, elections, and the sessions' ends.

What is true of the real one and matters here (measured, or read in its source):
 * a commit needs the leader and a majority that it reaches; without them it hangs, and may still
   happen later;
 * a server cut off, the old leader too, goes on answering reads from its old tree for
   ``syncLimit`` ticks, and an isolated leader even answers ``sync``;
 * a session's end is decided by the leader, rounded up to a tick; a follower passes on what it
   heard only with its answers to pings; an election starts every session's time again;
 * a healthy follower is a little behind.
The clients' side is client.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil

from failover.simulation import tree as trees
from failover.simulation.kernel import Kernel
from failover.simulation.network import Host, Network
from failover.simulation.tree import Tree
from failover.timing import SYNC_LIMIT_TICKS, TICK_MS
from failover.znode import Check, Committed, Conflict, Transaction

TICK_S = TICK_MS / 1000
SYNC_LIMIT_S = SYNC_LIMIT_TICKS * TICK_S
BEAT_S = TICK_S / 2  # how often the leader pings
SESSION_S_MIN, SESSION_S_MAX = 2 * TICK_S, 8.0
LAG_S_MAX = 0.03
KEEP_TREES_S = 2.0


@dataclass(eq=False, slots=True)
class Server:
    """One ZooKeeper server."""

    host: Host
    myid: int
    joined: bool = True  # it believes that it is part of a quorum, and serves
    linked: bool = True  # it is the leader, or reaches it and is reached
    cut_at: float = 0.0  # since when it is not linked
    view: Tree | None = None  # what it serves while it is not linked
    lag_s: float = 0.0
    zxid: int = 0  # what it had when it was last linked
    rejoin_at: float | None = None
    epoch: int = 0  # of the leader that it joined
    leads: bool = False  # it believes so
    heard: set[int] = field(default_factory=set)  # sessions to tell the leader about

    @property
    def serves(self) -> bool:
        return self.joined and self.host.answers


@dataclass(eq=False, slots=True)
class Session:
    id: int
    timeout_s: float
    heard_at: float
    server: Server | None = None  # where its client is attached
    alive: bool = True


@dataclass(slots=True)
class Pending:
    """A write that hangs: its leader has no quorum, or its server does not run."""

    session: Session
    transaction: Transaction
    server: Server


class Ensemble:
    """See the module. ``on_commit`` is called with every transaction that happened."""

    def __init__(self, kernel: Kernel, network: Network, servers: list[Server]) -> None:
        self.kernel = kernel
        self.network = network
        self.servers = servers
        self.majority = len(servers) // 2 + 1
        self.leader: Server | None = max(servers, key=lambda server: server.myid)
        self.leader.leads = True
        self.tree: Tree = trees.EMPTY
        self.zxid = 0
        self.sessions: dict[int, Session] = {}
        self.on_commit: list[Callable[[Transaction, int], None]] = []
        self.on_beat: list[Callable[[], None]] = []
        self.watches: dict[str, list[Callable[[], None]]] = {}  # each is called once
        self.elections = 0
        self._past: list[tuple[float, int, Tree]] = [(0.0, 0, self.tree)]  # newest last
        self._pending: list[Pending] = []
        self._election_at: float | None = None
        self._quorum_at = 0.0  # when the leader last had its quorum
        self._next_session = 0x100000000000001
        for server in servers:
            server.lag_s = kernel.random.uniform(0.001, LAG_S_MAX)
        network.watchers.append(self.relink)
        kernel.every(BEAT_S, self._beat)

    # ------------------------------------------------------------------ what servers answer

    @property
    def has_quorum(self) -> bool:
        """Whether a commit can happen now."""
        if self.leader is None or not self.leader.host.answers:
            return False
        return sum(server.linked for server in self.servers) >= self.majority

    def view(self, server: Server, seen_zxid: int) -> tuple[Tree, int]:
        """The tree that this server answers reads from, never older than the client has seen."""
        if not server.linked:
            return server.view or self.tree, seen_zxid
        if server is self.leader:
            return self.tree, self.zxid
        newest_s = self.kernel.now - server.lag_s
        for when_s, zxid, tree in reversed(self._past):
            if when_s <= newest_s or zxid <= seen_zxid:
                return tree, zxid
        return self.tree, self.zxid

    def commit(
        self, session: Session, transaction: Transaction, server: Server
    ) -> Committed | Conflict | None:
        """The outcome; None where nobody answers: it hangs, and may happen later or never."""
        if not (server.serves and server.linked and self.has_quorum):
            self._pending.append(Pending(session, transaction, server))
            return None
        return self._apply(session, transaction)

    def touch(self, session: Session, server: Server) -> None:
        """The server heard of the session."""
        if server is self.leader:
            session.heard_at = self.kernel.now
        else:
            server.heard.add(session.id)

    def open_session(self, timeout_s: float, server: Server) -> Session | None:
        """A new session; None where no quorum makes it."""
        if not (server.serves and server.linked and self.has_quorum):
            return None
        clamped = min(max(timeout_s, SESSION_S_MIN), SESSION_S_MAX)
        session = Session(self._next_session, clamped, self.kernel.now, server)
        self._next_session += 1
        self.sessions[session.id] = session
        return session

    def resume_session(self, session_id: int, server: Server) -> Session | bool | None:
        """The session, now attached here; False: it has expired; None: nobody could say."""
        if not (server.serves and server.linked and self.has_quorum):
            return None
        session = self.sessions.get(session_id)
        if session is None:
            return False
        session.server = server
        self.touch(session, server)
        return session

    def end_session(self, session: Session) -> None:
        """Closed by its client, or expired: its ephemerals go."""
        session.alive = False
        self.sessions.pop(session.id, None)
        tree, gone = trees.without_session(self.tree, session.id)
        self._advance(tree)
        self._fire(gone)
        if gone:
            self.kernel.note(f"session {session.id & 0xFFFF} is over: {', '.join(gone)} gone")

    def _apply(self, session: Session, transaction: Transaction) -> Committed | Conflict:
        result = trees.apply(self.tree, transaction, session.id)
        if isinstance(result, Conflict):
            return result
        tree, created = result
        self._advance(tree)
        for callback in self.on_commit:
            callback(transaction, session.id)
        self._fire([op.path for op in transaction if not isinstance(op, Check)])
        return Committed(tuple(created))

    def _fire(self, paths: list[str]) -> None:
        for path in paths:
            for callback in self.watches.pop(path, ()):
                callback()

    def _advance(self, tree: Tree) -> None:
        now = self.kernel.now
        self.tree = tree
        self.zxid += 1
        past = self._past
        past.append((now, self.zxid, tree))
        if len(past) > 64 and past[32][0] < now - KEEP_TREES_S:
            del past[:32]

    # ------------------------------------------------------------------ time

    def relink(self) -> None:
        """After every change of the network: who is linked to the leader now."""
        for server in self.servers:
            if not server.host.up:
                server.joined = False
            linked = self._is_linked(server)
            if server.linked and not linked:
                server.view, server.cut_at, server.zxid = self.tree, self.kernel.now, self.zxid
                server.heard.clear()
            elif linked and not server.linked:
                server.view = None
            server.linked = linked

    def _is_linked(self, server: Server) -> bool:
        leader = self.leader
        if leader is None or not server.joined or server.epoch != self.elections:
            return False
        if not server.linked and self.kernel.now - server.cut_at > SYNC_LIMIT_S:
            return False  # the other side has closed the connection
        if server is leader:
            return server.host.answers
        return leader.host.answers and self.network.talks(leader.host, server.host)

    def _beat(self) -> None:
        """The leader's ping, several times a tick: everything that only time brings."""
        now = self.kernel.now
        self._give_up(now)
        self._elect(now)
        self._rejoin(now)
        if self.has_quorum:
            self._replay_pending()
            self._expire(now)
            self._pass_on(now)
        for callback in self.on_beat:
            callback()

    def _give_up(self, now: float) -> None:
        """Servers and leaders that were alone for ``syncLimit`` ticks notice it."""
        leader = self.leader
        if leader is not None:
            if self.has_quorum:
                self._quorum_at = now
            if not leader.host.up or now - self._quorum_at > SYNC_LIMIT_S:
                self._depose(leader)
        for server in self.servers:
            alone = server.joined and not server.linked and server.host.answers
            if alone and now - server.cut_at > SYNC_LIMIT_S:
                server.joined = server.leads = False

    def _depose(self, leader: Server) -> None:
        """It leads no more. What reaches it learns at once; isolated, it goes on believing."""
        self.kernel.note(f"ensemble: {leader.host.name} leads no more")
        for server in self.servers:
            if server is not leader and (server.linked or not leader.host.up):
                server.joined = False
        self.leader = None
        self.relink()
        leader.cut_at += self.kernel.random.uniform(-SYNC_LIMIT_S, 0.0)

    def _elect(self, now: float) -> None:
        if self.leader is not None:
            self._election_at = None
            return
        group = self._electors()
        if len(group) < self.majority:
            self._election_at = None
            return
        if self._election_at is None:
            self._election_at = now + self.kernel.random.uniform(0.4, 1.1)
        if now < self._election_at:
            return
        newest = max(server.zxid for server in group)
        able = [server for server in group if server.zxid == newest]
        # The highest myid wins only if it starts in time (5 of 12 did not).
        by_chance = self.kernel.random.random() < 0.3
        winner = self.kernel.random.choice(able) if by_chance else max(able, key=lambda s: s.myid)
        self._lead(winner, group, now)

    def _electors(self) -> list[Server]:
        """The servers that look for a leader and reach one another, or at least one hub."""
        looking = [s for s in self.servers if not s.joined and s.host.answers]
        best: list[Server] = []
        for hub in looking:
            group = [s for s in looking if s is hub or self.network.talks(hub.host, s.host)]
            mutual = [
                s for s in group if all(s is o or self.network.talks(s.host, o.host) for o in group)
            ]
            group = mutual if len(mutual) >= self.majority else group
            if len(group) > len(best):
                best = group
        return best

    def _lead(self, winner: Server, group: list[Server], now: float) -> None:
        self.leader = winner
        self.elections += 1
        self._election_at = None
        self._quorum_at = now
        for server in group:
            if server is winner or self.network.talks(winner.host, server.host):
                self._join(server)
        for session in self.sessions.values():
            session.heard_at = now
        self.kernel.note(f"ensemble: {winner.host.name} leads")
        self._survive_election()

    def _rejoin(self, now: float) -> None:
        """Servers without a leader find the present one."""
        leader = self.leader
        if leader is None or not self.has_quorum:
            return
        for server in self.servers:
            if server.joined or not server.host.answers:
                continue
            if not self.network.talks(leader.host, server.host):
                server.rejoin_at = None
            elif server.rejoin_at is None:
                server.rejoin_at = now + self.kernel.random.uniform(0.3, 0.8)
            elif now >= server.rejoin_at:
                self._join(server)

    def _join(self, server: Server) -> None:
        server.joined = server.linked = True
        server.view = server.rejoin_at = None
        server.leads = server is self.leader
        server.epoch = self.elections
        server.lag_s = self.kernel.random.uniform(0.001, LAG_S_MAX)

    def _survive_election(self) -> None:
        """Of the writes that hung at the old leader a first part may be in the others' logs."""
        kept = self.kernel.random.randint(0, len(self._pending))
        pending, self._pending = self._pending[:kept], []
        for write in pending:
            if write.session.alive:
                self._apply(write.session, write.transaction)

    def _replay_pending(self) -> None:
        """The leader has its quorum again before it gave up: what hung happens now."""
        waiting, self._pending = self._pending, []
        for write in waiting:
            moved = write.session.server is not write.server or not write.server.joined
            if not write.session.alive or moved:
                continue  # refused: the session is elsewhere or over
            if write.server.serves and write.server.linked:
                self._apply(write.session, write.transaction)
            else:
                self._pending.append(write)

    def _expire(self, now: float) -> None:
        for session in list(self.sessions.values()):
            if ceil((session.heard_at + session.timeout_s) / TICK_S) * TICK_S <= now:
                self.end_session(session)

    def _pass_on(self, now: float) -> None:
        for server in self.servers:
            if server.linked and server.heard:
                for session_id in server.heard:
                    session = self.sessions.get(session_id)
                    if session is not None:
                        session.heard_at = now
                server.heard.clear()
