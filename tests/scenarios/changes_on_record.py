"""Changes of what stands in ZooKeeper: claims, the state, Patroni's scopes."""

from __future__ import annotations

from dataclasses import replace

from failover.health.inputs import ClaimSeen, LeaderKeySeen, RequestSeen, StoppedSeen
from failover.health.observation import NoAnswer
from failover.history import NO_HEAD, HeadSeen
from failover.model import (
    Automation,
    ClusterName,
    Epoch,
    HostName,
    Lsn,
    SiteName,
    TimelineId,
)
from failover.state import (
    GroupState,
    OperatorRequest,
    PlanKind,
    PlanRecord,
    RequestPhase,
    SalvagePhase,
    SalvageProgress,
    StandbyScope,
    StopKind,
    StoppedProof,
    WriterClaim,
)
from tests.scenarios.changes import change
from tests.scenarios.world import (
    END_OF_WAL,
    JAKARTA,
    MAKASSAR,
    NOW_UNIX_S,
    REFUSED,
    World,
)

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


@change(r"the group is not armed")
def _not_armed(world: World) -> None:
    world.state = replace(_state(world), armed=False)


@change(r"the group is being armed")
def _arming(world: World) -> None:
    world.state = replace(_state(world), arming=True)


@change(r"the state cannot be understood: (.+)")
def _state_problem(world: World, problem: str) -> None:
    world.state, world.state_problem = None, problem


@change(r"the head of the history cannot be understood")
def _head_spoilt(world: World) -> None:
    problem = "/failover/marketplace/history_head: not a HistoryHead: Field required"
    world.history_head = HeadSeen(version=11, problem=problem)


@change(r"the history has no head")
def _no_head(world: World) -> None:
    world.history_head = NO_HEAD


@change(r"automation is <w>")
def _automation(world: World, value: str) -> None:
    world.state = replace(_state(world), automation=Automation(value))


@change(r"cooldown for <n> s")
def _cooldown(world: World, seconds: str) -> None:
    until = NOW_UNIX_S + float(seconds)
    world.state = replace(_state(world), cooldown_until_unix_s=until)


@change(r"automation paused for <n> s")
def _pause(world: World, seconds: str) -> None:
    world.state = replace(_state(world), paused_until_unix_s=NOW_UNIX_S + float(seconds))


@change(r"the quorum was rebuilt without <w>")
def _rebuilt(world: World, site: str) -> None:
    world.state = replace(_state(world), unproven_site=SiteName(site))


@change(r"a (switchover|takeover) to <w> is frozen with <n> s left")
def _plan(world: World, kind: str, site: str, seconds: str) -> None:
    plan = PlanRecord(
        id="s-17",
        kind=PlanKind(kind),
        from_site=world.policy.other_data_site(SiteName(site)).name,
        to_site=SiteName(site),
        deadline_unix_s=NOW_UNIX_S + float(seconds),
        requested_by="an operator" if kind == "switchover" else "automation",
    )
    world.state = replace(_state(world), plan=plan)
    if kind == "switchover":
        world.request = RequestSeen(3, _request(site, RequestPhase.RUNNING))
    for cluster in world.policy.clusters:
        config = world.scopes[cluster.name, plan.from_site].config
        assert config is not None
        config["standby_cluster"] = {
            "host": str(cluster.at(plan.to_site)[0].address),
            "port": 5432,
            "primary_slot_name": f"failover_{plan.from_site}",
        }


@change(r"a takeover was begun <n> s ago")
def _begun(world: World, seconds: str) -> None:
    world.state = replace(_state(world), takeover_begun_unix_s=NOW_UNIX_S - float(seconds))


@change(r"the takeover is one that an operator asked for(, accepts the loss)?")
def _asked_takeover(world: World, accepts: str | None) -> None:
    request = _request("makassar", RequestPhase.RUNNING)
    asked = replace(request, kind=PlanKind.TAKEOVER, accept_data_loss=accepts is not None)
    world.request = RequestSeen(3, asked)


@change(r"an operator asks for a switchover to <w>, <n> s ago")
def _asked(world: World, site: str, seconds: str) -> None:
    request = _request(site, RequestPhase.WAITING)
    at_unix_s = NOW_UNIX_S - float(seconds)
    request = replace(request, at_unix_s=at_unix_s, answer_by_unix_s=at_unix_s + 10.0)
    world.request = RequestSeen(2, request)


@change(
    r"an operator asks for a takeover to <w>, <n> s ago(, accepts the loss)?(, has fenced <w>)?"
)
def _takeover_asked(
    world: World,
    site: str,
    seconds: str,
    accepts: str | None,
    _words: str | None,
    fenced: str | None,
) -> None:
    _asked(world, site, seconds)
    assert world.request is not None
    assert world.request.request is not None
    asked = replace(
        world.request.request,
        kind=PlanKind.TAKEOVER,
        reason="the shop is closed",
        accept_data_loss=accepts is not None,
        fenced_site=SiteName(fenced) if fenced else None,
    )
    world.request = RequestSeen(2, asked)


@change(r"a switchover to <w> was committed <n> s ago in epoch (\d+)")
def _switched_over(world: World, site: str, seconds: str, epoch: str) -> None:
    """Promoted and on record; the old site follows."""
    active, number = SiteName(site), Epoch(int(epoch))
    world.samples = []
    for name in world.claims:
        world.arrange(name, active, number)
    state = _state(world)
    world.state = replace(
        state,
        epoch=number,
        active_site=active,
        epoch_started_unix_s=NOW_UNIX_S - float(seconds),
        clusters={
            name: replace(recorded, min_lsn=END_OF_WAL, timeline=TimelineId(number - 1))
            for name, recorded in state.clusters.items()
        },
    )


def _request(site: str, phase: RequestPhase) -> OperatorRequest:
    return OperatorRequest(
        id="s-17",
        kind=PlanKind.SWITCHOVER,
        to_site=SiteName(site),
        by="sari@sby-ctl1",
        reason="new switches in the cage",
        at_unix_s=NOW_UNIX_S - 2.0,
        answer_by_unix_s=NOW_UNIX_S + 8.0,
        limit_s=15.0,
        phase=phase,
    )


@change(r"<w> is (shut down|killed) under the plan, its WAL ends at <w>(?:, idle for <n> s)?")
def _stopped_under_plan(world: World, host: str, how: str, end: str, idle: str | None) -> None:
    found = world.policy.host(HostName(host))
    world.claims[found.cluster] = ClaimSeen(found.cluster, None, 0.1)
    world.hosts[found.name].postgres = REFUSED
    world.silent_s[found.name] = 0.2
    proof = StoppedProof(
        plan_id="s-17",
        host=found.name,
        site=found.site,
        kind=StopKind.SHUT_DOWN if how == "shut down" else StopKind.KILLED,
        end_of_wal=Lsn.parse(end),
        timeline=TimelineId(1),
        idle_s=float(idle or 0),
    )
    world.stopped.append(StoppedSeen(found.cluster, version=0, proof=proof))


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


@change(r"the takeover was committed <n> s ago")
def _committed(world: World, seconds: str) -> None:
    started = NOW_UNIX_S - float(seconds)
    world.state = replace(_state(world), epoch_started_unix_s=started)


@change(r"the promotion of <w> is not on record")
def _unpromoted(world: World, cluster: str) -> None:
    state, name = replace(_state(world), proving=True), ClusterName(cluster)
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


def _state(world: World) -> GroupState:
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


@change(r"the leader key of <w>-(jakarta|makassar) names <w>")
def _other_leader(world: World, cluster: str, site: str, host: str) -> None:
    scope = world.scopes[ClusterName(cluster), SiteName(site)]
    assert scope.leader is not None
    scope.leader = replace(scope.leader, value=host)


@change(r"<w>-(jakarta|makassar) has no configuration")
def _no_config(world: World, cluster: str, site: str) -> None:
    world.scopes[ClusterName(cluster), SiteName(site)].config = None


@change(r"Patroni of <w>-(jakarta|makassar) is told to promote <w>")
def _told(world: World, cluster: str, site: str, host: str) -> None:
    scope = world.scopes[ClusterName(cluster), SiteName(site)]
    scope.failover_version, scope.failover_candidate = 2, host
