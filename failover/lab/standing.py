"""What a fault that must do no harm may not change: who is active, who is primary, and since when.

Two looks, one before and one after, compared. A primary that was demoted, restarted or killed is
another postmaster even where the same host took over from itself. Read-only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from failover.coordination.connect import open_store
from failover.coordination.kazoo_store import KazooStore
from failover.lab.errors import LabError
from failover.lab.lab import Lab
from failover.lab.processes import DATA
from failover.lab.stages import ask_guard
from failover.model import ClusterName, Epoch, HostName, SiteName
from failover.policy import DatabaseHost
from failover.state import WriterClaim, decode_record, decode_state
from failover.znode import GroupPaths

KILLS = "failover_guard_kills_total"


@dataclass(frozen=True, slots=True)
class Primary:
    """One cluster's primary: the holder of the claim."""

    cluster: ClusterName
    host: HostName
    session_id: int  # the claim's; another one means that the lease was lost in between
    postmaster: str  # pid and start


@dataclass(frozen=True, slots=True)
class Standing:
    epoch: Epoch
    active_site: SiteName
    primaries: tuple[Primary, ...]
    kills: tuple[tuple[HostName, float | None], ...]  # by the guards there; None: no answer


@dataclass(frozen=True, slots=True)
class Harm:
    """What is not as it was before. ``words`` has everything, for a human."""

    moved: bool  # another epoch or active site
    demoted: bool  # the primary is another host, or the same server started anew
    killed_by_guard: bool
    words: tuple[str, ...]


def standing(lab: Lab) -> Standing:
    """How things stand now. LabError where a cluster has no primary; StoreUnavailable, StateError
    where ZooKeeper cannot tell."""
    paths = GroupPaths(lab.policy.group)
    with open_store(lab.policy) as store:
        store.sync()
        found = store.read(paths.state)
        if found is None:
            raise LabError("the group has no state", todo="`failover lab up`")
        state = decode_state(found.data, path=paths.state)
        primaries = tuple(_primary(lab, store, cluster.name) for cluster in lab.policy.clusters)
    hosts = [host for cluster in lab.policy.clusters for host in cluster.at(state.active_site)]
    return Standing(
        epoch=state.epoch,
        active_site=state.active_site,
        primaries=primaries,
        kills=tuple((host.name, _kills(host)) for host in hosts),
    )


def harm(before: Standing, after: Standing) -> Harm:
    """Everything that changed for the worse."""
    moved = tuple(_moved(before, after))
    demoted = tuple(_demoted(before, after))
    leases = tuple(_leases(before, after))
    kills = tuple(_killed(before, after))
    return Harm(bool(moved), bool(demoted), bool(kills), (*moved, *demoted, *leases, *kills))


def _moved(before: Standing, after: Standing) -> Iterator[str]:
    if (before.epoch, before.active_site) != (after.epoch, after.active_site):
        yield (
            f"epoch {before.epoch} in {before.active_site} became epoch {after.epoch} in "
            f"{after.active_site}"
        )


def _demoted(before: Standing, after: Standing) -> Iterator[str]:
    for old, new in zip(before.primaries, after.primaries, strict=True):
        if old.host != new.host:
            yield f"{old.cluster}: the primary was {old.host}, it is {new.host}"
        elif old.postmaster != new.postmaster:
            yield f"{old.cluster}: the server on {old.host} was started anew"


def _leases(before: Standing, after: Standing) -> Iterator[str]:
    for old, new in zip(before.primaries, after.primaries, strict=True):
        if old.host == new.host and old.session_id != new.session_id:
            yield f"{old.cluster}: {old.host} lost its claim and took it again"


def _killed(before: Standing, after: Standing) -> Iterator[str]:
    known = dict(before.kills)
    for host, kills in after.kills:
        earlier = known.get(host)
        if kills is not None and kills > (earlier or 0.0):
            yield f"the guard of {host} killed its server"


def _primary(lab: Lab, store: KazooStore, cluster: ClusterName) -> Primary:
    path = GroupPaths(lab.policy.group).writer(cluster)
    found = store.read(path)
    if found is None:
        raise LabError(f"{cluster}: nobody holds the writer claim", todo="`failover explain`")
    claim = decode_record(WriterClaim, found.data, path=path)
    started = lab.shell(claim.host, f"sed -n '1p;3p' {DATA}/*/postmaster.pid")
    postmaster = " started ".join(started.split())
    return Primary(cluster, claim.host, found.ephemeral_owner, postmaster)


def _kills(host: DatabaseHost) -> float | None:
    """Since that guard's start."""
    code, text = ask_guard(host, "/metrics")
    if code != 200:
        return None
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == KILLS
    )


def zookeeper_peers(lab: Lab, host: HostName) -> tuple[HostName, ...]:
    """Per connection of a host to ZooKeeper (Patroni's and the guard's), the server's name."""
    names = {str(one.address): one.name for one in lab.policy.zookeeper_servers}
    listed = lab.shell(host, "ss -Htn state established dport = :2181")
    peers = (line.split()[3].rsplit(":", 1)[0] for line in listed.splitlines())
    return tuple(sorted(names.get(peer, HostName(peer)) for peer in peers))
