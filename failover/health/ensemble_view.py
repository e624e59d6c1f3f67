"""The ZooKeeper ensemble as living observers see it: who serves, and who leads. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from failover.health.inputs import ObserverSeen
from failover.health.observation import NoAnswer, NoAnswerKind, ZooKeeperMode, ZooKeeperSeen
from failover.health.sightings import Tri, some
from failover.model import HostName
from failover.policy import Policy, ZooKeeperServer

_LEAD = (ZooKeeperMode.LEADER, ZooKeeperMode.STANDALONE)


@dataclass(frozen=True, slots=True)
class ZooKeeperView:
    """One server of the ensemble, through the eyes of the living observers."""

    server: ZooKeeperServer
    serving: Tri
    leading: bool


def ensemble_view(policy: Policy, living: tuple[ObserverSeen, ...]) -> tuple[ZooKeeperView, ...]:
    """Every server of failover.yaml, in its order."""
    servers = policy.zookeeper_servers
    answers: dict[HostName, list[ZooKeeperSeen | NoAnswer]] = {each.name: [] for each in servers}
    for o in living:
        for seen in o.observation.zookeeper if o.observation is not None else ():
            if seen.server in answers:
                answers[seen.server].append(seen.answer)
    leading = {
        name: max((e for answer in given if (e := _leading_epoch(answer)) is not None), default=-1)
        for name, given in answers.items()
    }
    newest = max(leading.values(), default=-1)  # an isolated old leader answers for seconds
    return tuple(
        ZooKeeperView(
            server,
            some(_serves(answer) for answer in answers[server.name]),
            leading[server.name] == newest >= 0,
        )
        for server in servers
    )


def _leading_epoch(answer: ZooKeeperSeen | NoAnswer) -> int | None:
    return answer.epoch if isinstance(answer, ZooKeeperSeen) and answer.mode in _LEAD else None


def _serves(answer: ZooKeeperSeen | NoAnswer) -> Tri:
    if isinstance(answer, ZooKeeperSeen):
        return answer.mode is not ZooKeeperMode.NO_QUORUM
    return False if answer.kind is not NoAnswerKind.TIMED_OUT else None
