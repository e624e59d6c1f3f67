"""Changes of what observers see: sites, links, hosts, WAL samples, the ensemble."""

from __future__ import annotations

from dataclasses import replace

from failover.health.inputs import Glanced, LastWriterSeen, LsnSample
from failover.health.observation import (
    NoAnswer,
    PostgresSeen,
    SlotSeen,
    ZooKeeperMode,
    ZooKeeperSeen,
)
from failover.model import (
    HostName,
    Lsn,
    SiteName,
    TimelineId,
)
from tests.scenarios.changes import ANSWERS, change
from tests.scenarios.world import (
    END_OF_WAL,
    TIMED_OUT,
    WRITER_VERSION,
    World,
    primary,
    standby,
)

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
    """To everybody, its own guard included."""
    seen = world.hosts[HostName(host)]
    seen.postgres = ANSWERS[answer]
    world.silent_s[HostName(host)] = float(seconds)
    if not isinstance(seen.guard, NoAnswer) and seen.guard.granted:
        seen.guard = replace(seen.guard, answered_s_ago=float(seconds))


@change("the guard on <w> had an answer of its server <n> s ago")
def _answered(world: World, host: str, seconds: str) -> None:
    seen = world.hosts[HostName(host)]
    assert not isinstance(seen.guard, NoAnswer)
    seen.guard = replace(seen.guard, answered_s_ago=float(seconds))


@change("the guard on <w> does not say when its server answered")
def _answer_untold(world: World, host: str) -> None:
    seen = world.hosts[HostName(host)]
    assert not isinstance(seen.guard, NoAnswer)
    seen.guard = replace(seen.guard, answered_s_ago=None)


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


@change("<w> keeps WAL from <w> on, for slot <w>")
def _keeps(world: World, host: str, keeps_from: str, slot: str) -> None:
    seen = world.hosts[HostName(host)]
    assert not isinstance(seen.postgres, NoAnswer)
    kept = (*(seen.postgres.kept or ()), SlotSeen(slot, Lsn.parse(keeps_from)))
    seen.postgres = replace(seen.postgres, kept=kept)


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


@change("PostgreSQL on <w> is on timeline <n>")
def _timeline(world: World, host: str, timeline: str) -> None:
    seen = world.hosts[HostName(host)]
    assert isinstance(seen.postgres, PostgresSeen)
    seen.postgres = replace(seen.postgres, timeline=TimelineId(int(timeline)))
    world.last_timeline[HostName(host)] = TimelineId(int(timeline))


@change("<w> was last seen on timeline <n>")
def _last_seen(world: World, host: str, timeline: str) -> None:
    world.last_timeline[HostName(host)] = TimelineId(int(timeline))


@change("<w> was never seen")
def _never_seen(world: World, host: str) -> None:
    world.last_timeline[HostName(host)] = None


@change("the primary was last seen on timeline <n>")
def _sampled_on(world: World, timeline: str) -> None:
    number = TimelineId(int(timeline))
    world.samples = [replace(sample, timeline=number) for sample in world.samples]


@change("PostgreSQL on <w> was asked once more <n> s ago")
def _glance(world: World, host: str, age_s: str) -> None:
    seen = world.hosts[HostName(host)].postgres
    assert isinstance(seen, PostgresSeen)
    world.glances.append(Glanced(HostName(host), seen, float(age_s)))


@change("timeline <n> is promised to <w>")
def _promised(world: World, timeline: str, host: str) -> None:
    found, number = world.policy.host(HostName(host)), TimelineId(int(timeline))
    writer = LastWriterSeen(found.cluster, found.name, WRITER_VERSION, found.site, number)
    world.writers[found.cluster] = writer


# --------------------------------------------------------------------------- WAL samples


@change(r"no samples of the primary's WAL")
def _no_samples(world: World) -> None:
    world.samples = []


@change(r"the last sample is <n> s old")
def _old_samples(world: World, seconds: str) -> None:
    world.age_samples(float(seconds))


@change(r"the last sample of <w> is <n> s old")
def _old_samples_of(world: World, cluster: str, seconds: str) -> None:
    world.age_samples(float(seconds), cluster)


@change(r"the primary writes (\d+) MiB/s")
def _busy(world: World, rate: str) -> None:
    newest_s = min(sample.age_s for sample in world.samples)
    world.samples = [
        LsnSample(
            s.cluster,
            s.host,
            s.age_s,
            Lsn(END_OF_WAL.bytes - round((s.age_s - newest_s) * int(rate) * 1024**2)),
            s.timeline,
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


@change(r"ZooKeeper refuses the key of this controller")
def _refused(world: World) -> None:
    problem = "/failover/marketplace/state may not be touched so by the key that was shown"
    world.store_problem, world.store_forbidden = problem, True
    world.state = None
    world.claims.clear()
    world.scopes.clear()


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
    world.zookeeper_restarts_s_ago += (float(seconds),)


@change(r"the ensemble has been as it is for <n> s")
def _unchanged(world: World, seconds: str) -> None:
    world.ensemble_unchanged_for_s = float(seconds)
