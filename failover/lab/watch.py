"""The group as seen from the machine that runs the lab: is it whole, and when did a lease end.

Read-only, on ZooKeeper alone; it knows nothing that a controller could not know. Never a part of
any decision: the bench, the demo and the tests look through it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from failover.clock import boottime_s
from failover.coordination.connect import open_store
from failover.coordination.kazoo_store import KazooStore
from failover.coordination.settings import Setting, apply_setting
from failover.coordination.store import StoreUnavailable
from failover.health.observation import (
    HostObservation,
    NoAnswer,
    PostgresSeen,
    SiteObservation,
    ZooKeeperMode,
    ZooKeeperSeen,
    decode_observation,
)
from failover.model import ClusterName, HostName, SiteName
from failover.policy import Cluster, Policy, ZooKeeperServer
from failover.sealed import dial
from failover.state import (
    GroupState,
    StandbyScope,
    StateError,
    WriterClaim,
    decode_record,
    decode_state,
)
from failover.znode import GroupPaths

POLL_S = 0.01
LOOK_S = 0.25
OBSERVATION_AGE_MAX_S = 5.0
FOUR_LETTER_LIMIT_S = 1.0


@dataclass(frozen=True, slots=True)
class GroupSeen:
    """One look. ``missing``: what keeps the group from being whole; empty: it is whole."""

    state: GroupState | None
    missing: tuple[str, ...]

    @property
    def whole(self) -> bool:
        return not self.missing


def look(store: KazooStore, policy: Policy) -> GroupSeen:
    """Whether everything is as it should be before anything is broken. StoreUnavailable."""
    paths = GroupPaths(policy.group)
    store.sync()
    found = store.read(paths.state)
    if found is None:
        return GroupSeen(None, ("there is no state: `failover init` has not run",))
    try:
        state = decode_state(found.data, path=paths.state)
        observations = _observations(store, policy)
        missing = [
            *_state_missing(state),
            *(line for one in policy.clusters for line in _claim_missing(store, state, one, paths)),
            *_observers_missing(policy, observations),
            *_ensemble_missing(policy, observations),
            *_hosts_missing(policy, state, observations),
        ]
    except StateError as error:
        return GroupSeen(None, (str(error),))
    return GroupSeen(state, tuple(missing))


def _state_missing(state: GroupState) -> Iterator[str]:
    if state.plan is not None:
        yield f"a plan is under way: {state.plan.id}"
    if state.protection.synchronous and not state.in_sync:
        yield f"not in sync ({state.protection})"
    for name, cluster in state.clusters.items():
        if not cluster.promoted:
            yield f"{name}: the promotion of epoch {state.epoch} is not recorded yet"
        if cluster.standby is not StandbyScope.FOLLOWING:
            yield f"{name}: the other site's scope is in {cluster.standby}"


def _claim_missing(
    store: KazooStore, state: GroupState, cluster: Cluster, paths: GroupPaths
) -> Iterator[str]:
    found = store.read(paths.writer(cluster.name))
    if found is None:
        yield f"{cluster.name}: nobody holds the writer claim"
        return
    claim = decode_record(WriterClaim, found.data, path=found.path)
    if (claim.site, claim.epoch) != (state.active_site, state.epoch):
        yield f"{cluster.name}: the writer claim is of {claim.site}, epoch {claim.epoch}"


def _observations(store: KazooStore, policy: Policy) -> dict[SiteName, SiteObservation]:
    paths = GroupPaths(policy.group)
    read = {site.name: store.read(paths.observer(site.name)) for site in policy.sites}
    return {
        site: decode_observation(znode.data, path=znode.path)
        for site, znode in read.items()
        if znode is not None
    }


def _observers_missing(
    policy: Policy, observations: dict[SiteName, SiteObservation]
) -> Iterator[str]:
    """The lab's sites share one wall clock, so an observation's own time tells its age."""
    for site in policy.sites:
        seen = observations.get(site.name)
        if seen is None:
            yield f"{site.name}: its controller publishes nothing"
        elif time.time() - seen.taken_unix_s > OBSERVATION_AGE_MAX_S:
            yield f"{site.name}: its controller's observation is old"


def _ensemble_missing(
    policy: Policy, observations: dict[SiteName, SiteObservation]
) -> Iterator[str]:
    """A server that was cut off takes part again, so the next loss finds a record that is fresh."""
    for server in policy.zookeeper_servers:
        own = observations.get(server.site)
        answers = [one.answer for one in own.zookeeper if one.server == server.name] if own else []
        if not any(_serves(answer) for answer in answers):
            yield f"{server.name}: takes no part in the ensemble"


def _serves(answer: ZooKeeperSeen | NoAnswer) -> bool:
    return isinstance(answer, ZooKeeperSeen) and answer.mode is not ZooKeeperMode.NO_QUORUM


def _hosts_missing(
    policy: Policy, state: GroupState, observations: dict[SiteName, SiteObservation]
) -> Iterator[str]:
    """As the observer of each host's own site sees it."""
    for cluster in policy.clusters:
        primaries = 0
        for host in cluster.hosts:
            own = observations.get(host.site)
            seen = next((one for one in own.hosts if one.host == host.name), None) if own else None
            if seen is None or not isinstance(seen.postgres, PostgresSeen):
                yield f"{host.name}: PostgreSQL gives no answer"
            elif not seen.postgres.in_recovery:
                primaries += host.site == state.active_site
            elif not _streams(seen):
                yield f"{host.name}: does not stream"
        if primaries != 1:
            yield f"{cluster.name}: {primaries} primaries at {state.active_site}"


def _streams(seen: HostObservation) -> bool:
    return isinstance(seen.postgres, PostgresSeen) and seen.postgres.receiver_streaming is True


class NotWhole(Exception):
    """The group did not become whole in time. The message says what was missing."""


@dataclass(frozen=True, slots=True)
class Whole:
    state: GroupState
    since_s: float  # boot time of the first look that found it so


def wait_whole(
    policy: Policy,
    limit_s: float,
    *,
    tell: Callable[[str], None] = lambda _text: None,
    for_s: float = 1.5,
) -> Whole:
    """Return once the group was whole for ``for_s``. NotWhole after ``limit_s``."""
    give_up_s = boottime_s() + limit_s
    missing: tuple[str, ...] = ()
    since_s: float | None = None
    for seen in _looks(policy, give_up_s):
        if seen.missing and seen.missing != missing:
            tell("; ".join(seen.missing))
        missing = seen.missing
        now_s = boottime_s()
        since_s = (since_s or now_s) if seen.whole else None
        if seen.state is not None and since_s is not None and now_s - since_s >= for_s:
            return Whole(seen.state, since_s)
    raise NotWhole(f"not whole within {limit_s:g} s: {'; '.join(missing) or 'nothing was seen'}")


def _looks(policy: Policy, give_up_s: float) -> Iterator[GroupSeen]:
    """One look after the other, through any server that answers, until the time is up."""
    while boottime_s() < give_up_s:
        try:
            with open_store(policy) as store:
                while boottime_s() < give_up_s:
                    yield look(store, policy)
                    time.sleep(LOOK_S)
        except StoreUnavailable as error:
            yield GroupSeen(None, (str(error),))
            time.sleep(LOOK_S)


# --------------------------------------------------------------------------- lease end


@dataclass(frozen=True, slots=True)
class Span:
    """Some time (CLOCK_BOOTTIME) without the claim; ``to_s`` None: it goes on."""

    from_s: float
    to_s: float | None = None

    def has(self, at_s: float) -> bool:
        return self.from_s < at_s and (self.to_s is None or at_s < self.to_s)


class ClaimWatch:
    """Notes when a writer claim vanished, as the surviving ZooKeeper servers tell it.

    The moment is that of ZooKeeper's notice (a watch), or of the answer to the first look that
    found the claim gone or another's, whichever came first: never before it was gone. A notice is
    believed only after such a look. Then it notes what follows: the next epoch, and the claim of
    the other site; with ``host``, whenever that one has the claim anew and loses it again.
    """

    def __init__(
        self,
        store: KazooStore,
        paths: GroupPaths,
        cluster: ClusterName,
        lost: SiteName,
        host: HostName | None = None,
    ):
        """With ``host``: the claim of this one alone, and of any other after it."""
        self._store = store
        self._state_path = paths.state
        self._path = paths.writer(cluster)
        self._lost = host or lost
        self._by_host = host is not None
        self._noticed_s: float | None = None
        self._stop = threading.Event()
        self._wake = threading.Event()
        self.ended_s: float | None = None  # boot time, as the others
        self.epoch_s: float | None = None  # the takeover's transaction was seen
        self.claimed_s: float | None = None  # a host of the other site has its permit
        self.without: list[Span] = []  # the first begins with ``ended_s``
        found = store.read(self._state_path)
        self._version = found.version if found else -1
        self._thread = threading.Thread(target=self._run, name="claim-watch", daemon=True)
        self._arm()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout=2.0)

    def _arm(self) -> None:
        self._store.wake_on(self._path, self._notice)

    def _notice(self) -> None:
        self._noticed_s = self._noticed_s or boottime_s()
        self._wake.set()

    def _run(self) -> None:
        while not self._stop.is_set() and (self._by_host or self.claimed_s is None):
            self._wake.wait(POLL_S)
            self._wake.clear()
            with suppress(StoreUnavailable):
                self._look()

    def _look(self) -> None:
        holder = self._holder()
        looked_s = boottime_s()  # of the answer: it may have been there when this was asked
        gone = bool(self.without) and self.without[-1].to_s is None
        if holder != self._lost and not gone:
            self.without.append(Span(min(looked_s, self._noticed_s or looked_s)))
            self.ended_s = self.without[0].from_s
        elif holder == self._lost:
            if gone:
                self.without[-1] = replace(self.without[-1], to_s=looked_s)
            if self._noticed_s is not None:
                self._noticed_s = None  # the connection was lost, or the claim made anew
                self._arm()
        if self.ended_s is None:
            return
        if self.claimed_s is None and holder is not None and holder != self._lost:
            self.claimed_s = looked_s
        state = self._store.read(self._state_path)
        if self.epoch_s is None and state is not None and state.version != self._version:
            self.epoch_s = looked_s

    def _holder(self) -> SiteName | HostName | None:
        found = self._store.read(self._path)
        if found is None:
            return None
        claim = decode_record(WriterClaim, found.data, path=found.path)
        return claim.host if self._by_host else claim.site


def claim_holder(policy: Policy, cluster: ClusterName) -> HostName | None:
    """The host that holds the writer claim, as ZooKeeper has it: no packet goes to that host."""
    with open_store(policy) as store:
        store.sync()
        found = store.read(GroupPaths(policy.group).writer(cluster))
    return decode_record(WriterClaim, found.data, path=found.path).host if found else None


def without_servers_of(policy: Policy, site: SiteName) -> Policy:
    """The same policy, with that site's ZooKeeper servers left out: for connecting only."""
    sites = tuple(replace(one, zookeeper=()) if one.name == site else one for one in policy.sites)
    return replace(policy, sites=sites)


@contextmanager
def watch_claim(
    policy: Policy, cluster: ClusterName, lost_site: SiteName, host: HostName | None = None
) -> Iterator[ClaimWatch]:
    """Watch through the servers that will survive the loss of ``lost_site``: its claim, or with
    ``host`` that of one of its hosts."""
    with open_store(without_servers_of(policy, lost_site)) as store:
        watch = ClaimWatch(store, GroupPaths(policy.group), cluster, lost_site, host)
        try:
            yield watch
        finally:
            watch.stop()


# --------------------------------------------------------------------------- ZooKeeper's leader


def zookeeper_mode(server: ZooKeeperServer) -> str | None:
    """``leader``, ``follower`` …; None where the server does not serve."""
    for line in four_letter(server, "srvr").splitlines():
        name, _, value = line.partition(":")
        if name == "Mode":
            return value.strip()
    return None


def zookeeper_leader(policy: Policy) -> ZooKeeperServer | None:
    """The server that says it leads; None when none does."""
    for server in policy.zookeeper_servers:
        if zookeeper_mode(server) == "leader":
            return server
    return None


def four_letter(server: ZooKeeperServer, word: str) -> str:
    """ZooKeeper's answer to a four-letter word; empty where it gives none."""
    where = (str(server.address), server.client_port)
    try:
        with dial(*where, server.identity, FOUR_LETTER_LIMIT_S) as connection:
            connection.sendall(word.encode())
            chunks = iter(lambda: connection.recv(4096), b"")
            return b"".join(chunks).decode(errors="replace")
    except OSError:
        return ""


def clear_cooldown(store: KazooStore, policy: Policy, *, by: str) -> bool:
    """End the cooldown after a takeover now, on record. Whether there was one.

    What `failover acknowledge` does. StoreUnavailable or StateError where the state cannot be read
    or written.
    """
    now_unix_s = time.time()

    def change(state: GroupState) -> GroupState:
        over = state.cooldown_until_unix_s <= now_unix_s and not state.takeover_begun_unix_s
        ended = replace(state, cooldown_until_unix_s=0.0, takeover_begun_unix_s=0.0)
        return state if over else ended

    setting = Setting("acknowledged", "the cooldown was ended by hand", by, {}, change)
    return apply_setting(store, policy, setting, now_unix_s=now_unix_s) is not None


def forget_drops(store: KazooStore, policy: Policy, *, by: str) -> bool:
    """As if the last hour had not been: nobody who was dropped then has to wait to be listed again
    (``relisting``). Whether there was anything to forget; errors as in ``clear_cooldown``.

    For campaigns, which put months of faults into an hour. Nothing else asks for it.
    """

    def change(state: GroupState) -> GroupState:
        for name, cluster in state.clusters.items():
            if cluster.dropped:
                state = state.with_cluster(name, replace(cluster, dropped={}))
        return state

    summary = "who did not keep up lately is forgotten"
    setting = Setting("drops_forgotten", summary, by, {}, change)
    return apply_setting(store, policy, setting, now_unix_s=time.time()) is not None
