"""The lines of a scenario's world, one change each.

Every line matches exactly one pattern of ``CHANGES``; a line that matches none fails the test, so
a scenario cannot be misread in silence. ``patterns()`` is the whole language.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from failover.health.inputs import ClaimSeen, LeaderKeySeen, LsnSample, StoppedSeen
from failover.health.observation import NoAnswer, NoAnswerKind, ZooKeeperMode, ZooKeeperSeen
from failover.model import (
    Automation,
    ClusterName,
    Epoch,
    HostName,
    Lsn,
    ProtectionMode,
    SiteName,
    TimelineId,
)
from failover.state import (
    PlanKind,
    PlanRecord,
    SalvagePhase,
    SalvageProgress,
    StandbyScope,
    StopKind,
    StoppedProof,
    WriterClaim,
)
from tests.scenarios.world import (
    END_OF_WAL,
    JAKARTA,
    MAKASSAR,
    NOW_UNIX_S,
    REFUSED,
    TIMED_OUT,
    World,
    primary,
    standby,
)

Change = Callable[..., None]
CHANGES: list[tuple[re.Pattern[str], Change]] = []
ANSWERS = {
    "refuses": REFUSED,
    "is silent": TIMED_OUT,
    "rejects": NoAnswer(NoAnswerKind.REJECTED, "the server says no"),
}
NUMBER = r"(\d+(?:\.\d+)?)"


def change(pattern: str) -> Callable[[Change], Change]:
    def register(function: Change) -> Change:
        CHANGES.append(
            (re.compile(pattern.replace("<n>", NUMBER).replace("<w>", r"(\S+)")), function)
        )
        return function

    return register


def build(lines: list[str]) -> World:
    """The healthy world with these changes, in order."""
    clusters = 2 if "two clusters" in lines else 1
    world = World.healthy(clusters)
    for line in lines:
        if line != "two clusters":
            apply(world, line)
    return world


def apply(world: World, line: str) -> None:
    found = [(f, m) for pattern, f in CHANGES if (m := pattern.fullmatch(line))]
    if len(found) != 1:
        known = "\n  ".join(pattern.pattern for pattern, _ in CHANGES)
        raise ValueError(f"{line!r} matches {len(found)} of:\n  {known}")
    function, match = found[0]
    function(world, *match.groups())


# --------------------------------------------------------------------------- sites and links


@change("<w> unplugged for <n> s")
def _unplugged(world: World, site: str, seconds: str) -> None:
    """A black hole around a whole site: it goes on seeing itself, nobody sees it."""
    name, for_s = SiteName(site), float(seconds)
    world.observer_age_s[name] = for_s
    for observer in world.observer_age_s:
        if observer != name:
            world.cut.add((observer, name))
    for cluster in world.policy.clusters:
        world.silent_s.update({host.name: for_s for host in cluster.at(name)})
    if world.state is not None and name == world.state.active_site:
        world.age_samples(for_s)


@change("<w> and <w> do not reach each other")
def _cut(world: World, one: str, other: str) -> None:
    world.cut |= {(SiteName(one), SiteName(other)), (SiteName(other), SiteName(one))}


@change("observer <w> does not reach <w>")
def _one_way(world: World, observer: str, site: str) -> None:
    world.cut.add((SiteName(observer), SiteName(site)))


@change("observer <w> silent for <n> s")
def _observer_silent(world: World, site: str, seconds: str) -> None:
    world.observer_age_s[SiteName(site)] = float(seconds)


@change("observer <w> has published nothing")
def _observer_gone(world: World, site: str) -> None:
    world.observer_age_s[SiteName(site)] = None


# --------------------------------------------------------------------------- hosts


@change("<w> gone for <n> s")
def _host_gone(world: World, host: str, seconds: str) -> None:
    """Powered off, frozen or cut off: nothing on it answers anybody."""
    seen = world.hosts[HostName(host)]
    seen.postgres = seen.patroni = seen.guard = TIMED_OUT
    world.silent_s[HostName(host)] = float(seconds)


@change("PostgreSQL on <w> (refuses|is silent|rejects) for <n> s")
def _postgres_answer(world: World, host: str, answer: str, seconds: str) -> None:
    world.hosts[HostName(host)].postgres = ANSWERS[answer]
    world.silent_s[HostName(host)] = float(seconds)


@change("PostgreSQL on <w> is a working primary")
def _postgres_primary(world: World, host: str) -> None:
    world.hosts[HostName(host)].postgres = primary(world.state.epoch if world.state else 1)


@change("PostgreSQL on <w> is a standby of <w>")
def _postgres_standby(world: World, host: str, upstream: str) -> None:
    address = str(world.policy.host(HostName(upstream)).address)
    world.hosts[HostName(host)].postgres = standby(address)


@change("PostgreSQL on <w> does not stream")
def _not_streaming(world: World, host: str) -> None:
    seen = world.hosts[HostName(host)]
    assert not isinstance(seen.postgres, NoAnswer)
    seen.postgres = replace(seen.postgres, receiver_streaming=False)


@change("PostgreSQL on <w> has received <w>, replayed <w>")
def _received(world: World, host: str, received: str, replayed: str) -> None:
    seen = world.hosts[HostName(host)]
    assert not isinstance(seen.postgres, NoAnswer)
    seen.postgres = replace(
        seen.postgres,
        received_lsn=None if received == "nothing" else Lsn.parse(received),
        replayed_lsn=Lsn.parse(replayed),
    )


@change("Patroni on <w> (refuses|is silent)")
def _patroni_answer(world: World, host: str, answer: str) -> None:
    world.hosts[HostName(host)].patroni = ANSWERS[answer]


@change("Patroni on <w> says <w>")
def _patroni_role(world: World, host: str, role: str) -> None:
    seen = world.hosts[HostName(host)]
    assert not isinstance(seen.patroni, NoAnswer)
    seen.patroni = replace(seen.patroni, role=role)


@change("the guard on <w> (refuses|is silent)")
def _guard_answer(world: World, host: str, answer: str) -> None:
    world.hosts[HostName(host)].guard = ANSWERS[answer]


@change("the guard on <w> is not armed")
def _guard_unarmed(world: World, host: str) -> None:
    seen = world.hosts[HostName(host)]
    assert not isinstance(seen.guard, NoAnswer)
    seen.guard = replace(seen.guard, armed=False)


# --------------------------------------------------------------------------- claims


@change(r"no claim for <n> s")
def _no_claims(world: World, seconds: str) -> None:
    for name in world.claims:
        world.claims[name] = ClaimSeen(name, None, float(seconds))


@change(r"no claim of <w> for <n> s")
def _no_claim(world: World, cluster: str, seconds: str) -> None:
    name = ClusterName(cluster)
    world.claims[name] = ClaimSeen(name, None, float(seconds))


@change(r"<w> holds the claim of <w> for <n> s in epoch (\d+)")
def _claim(world: World, host: str, cluster: str, seconds: str, epoch: str) -> None:
    name, site = ClusterName(cluster), world.policy.host(HostName(host)).site
    claim = WriterClaim(host=HostName(host), site=site, epoch=Epoch(int(epoch)))
    world.claims[name] = ClaimSeen(name, claim, float(seconds), session_id=0x1002)


@change(r"the claim of <w> cannot be understood")
def _claim_unreadable(world: World, cluster: str) -> None:
    name = ClusterName(cluster)
    problem = f"writers/{cluster}: not a WriterClaim"
    world.claims[name] = ClaimSeen(name, None, 10.0, session_id=0x1002, problem=problem)


@change(r"the claim of <w> could not be read")
def _claim_unread(world: World, cluster: str) -> None:
    del world.claims[ClusterName(cluster)]


# --------------------------------------------------------------------------- state


@change(r"there is no state")
def _no_state(world: World) -> None:
    world.state = None


@change(r"the state cannot be understood: (.+)")
def _state_problem(world: World, problem: str) -> None:
    world.state, world.state_problem = None, problem


@change(r"automation is <w>")
def _automation(world: World, value: str) -> None:
    world.state = replace(_state(world), automation=Automation(value))


@change(r"protection is <w>, (in sync|not in sync)")
def _protection(world: World, mode: str, sync: str) -> None:
    in_sync = sync == "in sync"
    world.state = replace(_state(world), protection=ProtectionMode(mode), in_sync=in_sync)


@change(r"cooldown for <n> s")
def _cooldown(world: World, seconds: str) -> None:
    until = NOW_UNIX_S + float(seconds)
    world.state = replace(_state(world), cooldown_until_unix_s=until)


@change(r"automation paused for <n> s")
def _pause(world: World, seconds: str) -> None:
    world.state = replace(_state(world), paused_until_unix_s=NOW_UNIX_S + float(seconds))


@change(r"a switchover to <w> is frozen with <n> s left")
def _plan(world: World, site: str, seconds: str) -> None:
    plan = PlanRecord(
        id="s-17",
        kind=PlanKind.SWITCHOVER,
        from_site=world.policy.other_data_site(SiteName(site)).name,
        to_site=SiteName(site),
        deadline_unix_s=NOW_UNIX_S + float(seconds),
        requested_by="an operator",
    )
    world.state = replace(_state(world), plan=plan)


@change(r"<w> has taken over in epoch (\d+)")
def _taken_over(world: World, site: str, epoch: str) -> None:
    """Committed, promoted and on record; the old site fenced and in quarantine."""
    active, number = SiteName(site), Epoch(int(epoch))
    world.samples = []
    for name in world.claims:
        world.arrange(name, active, number)
        _quarantine(world, name, number)
    world.state = replace(
        _state(world),
        epoch=number,
        active_site=active,
        epoch_started_unix_s=NOW_UNIX_S - 20.0,
        clusters={
            name: replace(
                recorded,
                min_lsn=END_OF_WAL,
                timeline=TimelineId(number - 1),
                standby=StandbyScope.QUARANTINE,
            )
            for name, recorded in _state(world).clusters.items()
        },
    )


def _quarantine(world: World, name: ClusterName, epoch: Epoch) -> None:
    old = JAKARTA if world.claims[name].claim and _claim_site(world, name) == MAKASSAR else MAKASSAR
    scope = world.scopes[name, old]
    fence = f"fenced by failover, epoch {epoch}"
    scope.leader = LeaderKeySeen(fence, version=0, ephemeral_owner=0, children_count=1)
    scope.config = {
        **(scope.config or {}),
        "standby_cluster": {"restore_command": "false"},
    }
    for host in world.policy.cluster(name).at(old):
        seen = world.hosts[host.name]
        assert not isinstance(seen.postgres, NoAnswer)
        assert not isinstance(seen.patroni, NoAnswer)
        seen.postgres = replace(seen.postgres, receiver_streaming=False, receiver_host=None)
        seen.patroni = replace(seen.patroni, role="replica")


def _claim_site(world: World, name: ClusterName) -> SiteName | None:
    claim = world.claims[name].claim
    return claim.site if claim is not None else None


@change(r"the promotion of <w> is not on record")
def _unpromoted(world: World, cluster: str) -> None:
    state, name = _state(world), ClusterName(cluster)
    world.state = state.with_cluster(name, replace(state.clusters[name], promoted=False))


@change(r"<w> has salvaged (\d+) bytes in epoch (\d+)")
def _salvaged(world: World, host: str, size: str, epoch: str) -> None:
    _salvage(world, host, int(size), Epoch(int(epoch)), SalvagePhase.DONE, "")


@change(r"the salvage of <w> failed in epoch (\d+): (.+)")
def _salvage_failed(world: World, host: str, epoch: str, why: str) -> None:
    _salvage(world, host, 0, Epoch(int(epoch)), SalvagePhase.FAILED, why)


def _salvage(
    world: World, host: str, size: int, epoch: Epoch, phase: SalvagePhase, detail: str
) -> None:
    world.salvage.append(
        SalvageProgress(
            host=HostName(host),
            site=world.policy.host(HostName(host)).site,
            epoch=epoch,
            phase=phase,
            from_lsn=END_OF_WAL,
            end_of_wal=Lsn(END_OF_WAL.bytes + size),
            segments=1,
            bytes=size,
            directory=f"/var/lib/failover/salvage/{epoch}",
            detail=detail,
        )
    )


@change(r"a stopped-proof of <w> is left behind")
def _stopped(world: World, host: str) -> None:
    found = world.policy.host(HostName(host))
    proof = StoppedProof(
        plan_id="s-16",
        host=found.name,
        site=found.site,
        kind=StopKind.SHUT_DOWN,
        end_of_wal=END_OF_WAL,
        timeline=TimelineId(1),
    )
    world.stopped.append(StoppedSeen(found.cluster, version=0, proof=proof))


def _state(world: World):  # type: ignore[no-untyped-def]
    assert world.state is not None
    return world.state


# --------------------------------------------------------------------------- Patroni's scopes


@change(r"<w>-(jakarta|makassar) is paused")
def _paused(world: World, cluster: str, site: str) -> None:
    config = world.scopes[ClusterName(cluster), SiteName(site)].config
    assert config is not None
    config["pause"] = True


@change(r"<w>-(jakarta|makassar) is not a standby cluster")
def _promoted_by_hand(world: World, cluster: str, site: str) -> None:
    config = world.scopes[ClusterName(cluster), SiteName(site)].config
    assert config is not None
    del config["standby_cluster"]


@change(r"<w>-(jakarta|makassar) has no leader key")
def _no_leader(world: World, cluster: str, site: str) -> None:
    world.scopes[ClusterName(cluster), SiteName(site)].leader = None


@change(r"<w>-(jakarta|makassar) has no configuration")
def _no_config(world: World, cluster: str, site: str) -> None:
    world.scopes[ClusterName(cluster), SiteName(site)].config = None


# --------------------------------------------------------------------------- WAL samples


@change(r"no samples of the primary's WAL")
def _no_samples(world: World) -> None:
    world.samples = []


@change(r"the last sample is <n> s old")
def _old_samples(world: World, seconds: str) -> None:
    world.age_samples(float(seconds))


@change(r"the primary writes (\d+) MiB/s")
def _busy(world: World, rate: str) -> None:
    newest_s = min(sample.age_s for sample in world.samples)
    world.samples = [
        LsnSample(
            s.cluster,
            s.host,
            s.age_s,
            Lsn(END_OF_WAL.bytes - round((s.age_s - newest_s) * int(rate) * 1024**2)),
        )
        for s in world.samples
    ]


# --------------------------------------------------------------------------- ZooKeeper


@change(r"ZooKeeper does not answer")
def _store(world: World) -> None:
    world.store_problem = "no answer within 4 s from jkt-zk1, mks-zk1, sby-zk1"
    world.state = None
    world.claims.clear()
    world.scopes.clear()
    no_quorum = ZooKeeperSeen(ZooKeeperMode.NO_QUORUM)
    world.zookeeper = dict.fromkeys(world.zookeeper, no_quorum)


@change(r"<w> leads the ensemble")
def _leads(world: World, server: str) -> None:
    follower = ZooKeeperSeen(ZooKeeperMode.FOLLOWER, epoch=4)
    world.zookeeper = dict.fromkeys(world.zookeeper, follower)
    world.zookeeper[HostName(server)] = ZooKeeperSeen(ZooKeeperMode.LEADER, epoch=4)


@change(r"ZooKeeper on <w> (refuses|is silent)")
def _server_down(world: World, server: str, answer: str) -> None:
    world.zookeeper[HostName(server)] = ANSWERS[answer]


@change(r"ZooKeeper's leader was restarted <n> s ago")
def _restarted(world: World, seconds: str) -> None:
    world.zookeeper_restarted_s_ago = float(seconds)
