"""Puts the ensemble's leadership where a measurement wants it (it is not always on the witness).

Works with the means of an operator: restarting a server, stopping and continuing another. Only
for the lab: nobody should do this to an ensemble that matters.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from failover.lab.watch import zookeeper_leader, zookeeper_mode
from failover.lab.workload.control import Hosts
from failover.model import SiteName
from failover.policy import Policy, ZooKeeperServer

TRIES = 6
ELECTION_LIMIT_S = 15.0
RESTART_DOOR = "lab-restart-zookeeper.socket"

# A stopped follower is dropped after syncLimit (1.5 s); then the others get ahead of it.
FALL_BEHIND_S = 3.5


class NoSuchLeader(Exception):
    """The leadership did not go where it was wanted."""


def move_zookeeper_leader(
    hosts: Hosts,
    policy: Policy,
    site: SiteName,
    tell: Callable[[str], None] = lambda _text: None,
) -> None:
    """Have a server of ``site`` lead. NoSuchLeader after some tries."""
    wanted = policy.site(site).zookeeper[0]
    for _ in range(TRIES):
        leader = _wait_for_leader(policy)
        if leader is not None and leader.site == site:
            wait_for_ensemble(policy)
            return
        tell(f"ZooKeeper's leader is {leader.name if leader else 'nobody'}, wanted {wanted.name}")
        if leader is not None:
            _depose(hosts, policy, leader, wanted)
    raise NoSuchLeader(f"ZooKeeper's leader did not move to {site} in {TRIES} tries")


def _depose(hosts: Hosts, policy: Policy, leader: ZooKeeperServer, wanted: ZooKeeperServer) -> None:
    """Restart the leader. Rivals that would win the election are made to miss some writes first."""
    rivals = [
        server
        for server in policy.zookeeper_servers
        if server not in (leader, wanted) and server.myid > wanted.myid
    ]
    for rival in rivals:
        _systemctl(hosts, rival, "kill --signal=STOP")
    try:
        if rivals:
            time.sleep(FALL_BEHIND_S)
        _systemctl(hosts, leader, "restart --no-block")
    finally:
        for rival in rivals:
            _systemctl(hosts, rival, "kill --signal=CONT")
    time.sleep(1.0)


@contextmanager
def drift_not_corrected(hosts: Hosts, policy: Policy) -> Iterator[None]:
    """The controllers' ``zookeeper_restart_command`` fails meanwhile: nobody answers its knock.

    So a leader stays where a measurement has put it, with the automation on as ever.
    """
    _door(hosts, policy, "stop")
    try:
        yield
    finally:
        _door(hosts, policy, "start")


def _door(hosts: Hosts, policy: Policy, what: str) -> None:
    for server in policy.zookeeper_servers:
        _systemctl(hosts, server, what, RESTART_DOOR)


def _systemctl(
    hosts: Hosts, server: ZooKeeperServer, what: str, unit: str = "zookeeper.service"
) -> None:
    command = ["systemctl", *what.split(), unit]
    ended = hosts.exec(server.name, command)
    if ended.code != 0:
        raise NoSuchLeader(f"{server.name}: {' '.join(command)}: {ended.out.strip()}")


def _wait_for_leader(policy: Policy) -> ZooKeeperServer | None:
    give_up_s = time.monotonic() + ELECTION_LIMIT_S
    while time.monotonic() < give_up_s:
        leader = zookeeper_leader(policy)
        if leader is not None:
            return leader
        time.sleep(0.1)
    return None


def wait_for_ensemble(policy: Policy) -> None:
    """Return once one server leads and every other follows. NoSuchLeader when it takes too long."""
    modes: list[str | None] = []
    give_up_s = time.monotonic() + ELECTION_LIMIT_S
    while time.monotonic() < give_up_s:
        modes = [zookeeper_mode(server) for server in policy.zookeeper_servers]
        if modes.count("leader") == 1 and modes.count("follower") == len(modes) - 1:
            return
        time.sleep(0.1)
    names = [server.name for server in policy.zookeeper_servers]
    said = ", ".join(f"{n}: {mode or 'silent'}" for n, mode in zip(names, modes, strict=True))
    raise NoSuchLeader(f"the ensemble is not whole within {ELECTION_LIMIT_S:g} s ({said})")
