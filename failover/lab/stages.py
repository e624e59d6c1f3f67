"""How the lab comes up: one stage after the other, each waited for before the next is begun.

The order is an operator's: the ensemble with its leader on the witness, the group's state, the
active site, the other one, controllers, proxies. A wait has a limit; the error says which host is
late, what it last said of itself, and its journal.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from enum import StrEnum
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any

from failover.coordination.access_tree import apply as apply_lists
from failover.coordination.connect import open_store
from failover.coordination.init import initialise
from failover.lab.containers import in_parallel
from failover.lab.errors import LabError
from failover.lab.hosts import LabHost, Role
from failover.model import Automation, SiteKind, SiteName
from failover.policy import DatabaseHost, Policy
from failover.sealed import dial
from failover.transport import Identity

if TYPE_CHECKING:
    from failover.lab.lab import Lab

POLL_S = 0.1
ANSWER_LIMIT_S = 1.0
ELECTION_PORT = 3888
CLIENT_PORT = 2181
METRICS_PORT = 8404
LEADER_TRIES = 3


class Stage(StrEnum):
    """How far a lab is up, in order."""

    HOSTS = "hosts"  # booted, nothing started
    ZOOKEEPER = "zookeeper"
    STATE = "state"  # `failover init`
    ACTIVE_SITE = "active-site"  # guards and Patroni where the group starts
    DATABASES = "databases"  # those of the other site too
    CONTROLLERS = "controllers"
    PROXIES = "proxies"
    CLIENTS = "clients"  # everything


def reach(lab: Lab, stage: Stage, say: Callable[[str], None]) -> None:
    """Bring the lab from the stage before to this one. LabError when that does not work."""
    match stage:
        case Stage.HOSTS | Stage.CLIENTS:
            pass
        case Stage.ZOOKEEPER:
            say("ZooKeeper: the witness first, so that it leads")
            _zookeeper(lab)
        case Stage.STATE:
            say("the state of the group (`failover init`)")
            _state(lab)
        case Stage.ACTIVE_SITE:
            say(f"databases in {lab.policy.initial_site}")
            _databases(lab, lab.policy.initial_site)
        case Stage.DATABASES:
            other = lab.policy.other_data_site(lab.policy.initial_site).name
            say(f"databases in {other}")
            _databases(lab, other)
        case Stage.CONTROLLERS:
            say("controllers")
            _enable_all(lab, Role.CONTROLLER)
            _wait_active(lab, Role.CONTROLLER)
        case Stage.PROXIES:
            say("proxies")
            _enable_all(lab, Role.PROXY)
            for host in lab.hosts(Role.PROXY):
                _wait(lab, host, 20, "sends clients to a writable host", _proxy_problem)


# --------------------------------------------------------------------------- ZooKeeper


def _zookeeper(lab: Lab) -> None:
    """A quorum led by the witness.

    The highest ``myid`` leads only when it is there in time (of equals): it is started first and
    waited for. Should another lead all the same, that one is restarted.
    """
    witnesses = {site.name for site in lab.policy.sites if site.kind is SiteKind.WITNESS}
    servers = lab.hosts(Role.ZOOKEEPER)
    first = [host for host in servers if host.site in witnesses]
    for host in first:
        _enable(lab, host)
    for host in first:
        _wait(lab, host, 20, "takes part in elections", _election_problem)
    in_parallel(lambda host: _enable(lab, host), [host for host in servers if host not in first])
    for _ in range(LEADER_TRIES):
        for host in servers:
            _wait(lab, host, 30, "belongs to a quorum", _member_problem)
        leader = next((host for host in servers if zookeeper_mode(host) == "leader"), None)
        if leader in first:
            return
        if leader is not None:
            lab.shell(leader.name, "systemctl restart zookeeper.service")
    raise LabError(
        f"ZooKeeper's leader is {leader.name if leader else 'unknown'}, not the witness",
        todo="`failover lab up` again",
    )


def zookeeper_mode(host: LabHost) -> str:
    """leader, follower, or why there is no answer."""
    try:
        with dial(str(host.address), CLIENT_PORT, host.identity, ANSWER_LIMIT_S) as link:
            link.sendall(b"srvr")
            answer = b"".join(iter(lambda: link.recv(4096), b"")).decode(errors="replace")
    except OSError as error:
        return f"no answer on port {CLIENT_PORT} ({error})"
    for line in answer.splitlines():
        if line.startswith("Mode: "):
            return line.removeprefix("Mode: ").strip()
    return answer.strip() or "an empty answer"


def _member_problem(lab: Lab, host: LabHost) -> str:
    mode = zookeeper_mode(host)
    return "" if mode in ("leader", "follower") else mode


def _election_problem(lab: Lab, host: LabHost) -> str:
    return _port_problem(host, ELECTION_PORT)


def _port_problem(host: LabHost, port: int) -> str:
    try:
        socket.create_connection((str(host.address), port), ANSWER_LIMIT_S).close()
    except OSError as error:
        return f"no answer on port {port} ({error})"
    return ""


# --------------------------------------------------------------------------- state, databases


def _state(lab: Lab) -> None:
    if lab.policy.access.position.shown:
        _state_as_admin(lab.policy)
        return
    (host,) = lab.hosts(Role.CONTROLLER, lab.policy.initial_site)
    command = ["failover", "init", "--config", "/etc/failover/failover.yaml"]
    if lab.policy.automation is Automation.AUTO:  # in the lab nothing is to be proven first
        command += ["--unproven", "--reason", "the lab"]
    ended = lab.exec(host.name, command, user="failover")
    if ended.code != 0:
        raise LabError(f"`failover init` on {host.name} failed (exit {ended.code})", log=ended.out)


def _state_as_admin(policy: Policy) -> None:
    """From here, since the admin's key is on no host; then every list as it should be."""
    with open_store(policy) as store:
        initialise(
            store, policy, now_unix_s=time.time(), by="lab", details={"override": "unproven"}
        )
        apply_lists(policy, store)


def _databases(lab: Lab, site: SiteName) -> None:
    """Guards and Patroni at one site: a leader, and every other host streaming."""
    hosts = lab.hosts(Role.DATABASE, site)
    in_parallel(lambda host: _enable(lab, host), hosts)
    for host in hosts:
        _wait(lab, host, 60, "streams, or is the primary", _database_problem)
    if site == lab.policy.initial_site:
        for cluster in lab.policy.clusters:
            _wait_writable(lab, cluster.at(site))


def _database_problem(lab: Lab, host: LabHost) -> str:
    """What Patroni says of its own server; empty when it is where it should be."""
    found = patroni(lab.policy.host(host.name))
    if not isinstance(found, dict):
        return found
    state, role = found.get("state"), found.get("role")
    if role in ("primary", "standby_leader") and state == "running":
        return "" if role == "primary" or _receives(found) else "a standby leader, not streaming"
    return "" if _receives(found) else f"role {role}, state {state}, not streaming"


def _receives(found: dict[str, Any]) -> bool:
    return found.get("replication_state") == "streaming" or found.get("state") == "streaming"


def patroni(host: DatabaseHost) -> dict[str, Any] | str:
    """What ``GET /patroni`` says, or why there is no answer."""
    code, body = http_get(str(host.address), host.patroni_port, "/patroni", host.patroni_identity)
    if code is None:
        return f"Patroni: {body}"
    try:
        found = json.loads(body)
    except ValueError:
        return f"Patroni answers {code}: {body[:200]}"
    assert isinstance(found, dict)
    return found


def ask_guard(host: DatabaseHost, path: str) -> tuple[int | None, str]:
    """As ``http_get``."""
    return http_get(str(host.address), host.guard_port, path, host.http_identity)


def _wait_writable(lab: Lab, hosts: tuple[DatabaseHost, ...]) -> None:
    """One guard of these says that its host may take writes."""
    said: dict[str, str] = {}
    give_up_s = time.monotonic() + 20
    while time.monotonic() < give_up_s:
        for host in hosts:
            code, body = ask_guard(host, "/writable")
            if code == 200:
                return
            said[host.name] = body.strip()
        time.sleep(POLL_S)
    words = "; ".join(f"{name}: {text}" for name, text in said.items())
    log = lab.journal(hosts[0].name, "failover-guard.service", 15)
    raise LabError(f"no guard says that its host is writable ({words})", log=log)


# --------------------------------------------------------------------------- proxies


def _proxy_problem(lab: Lab, host: LabHost) -> str:
    """Every cluster has exactly one server that is up."""
    proof = lab.policy.tls.statistics_identity
    code, body = http_get(str(host.address), METRICS_PORT, "/;csv", proof)
    if code != 200:
        return f"HAProxy: {body.strip()[:200]}"
    rows = [line.split(",") for line in body.splitlines() if line and not line.startswith("#")]
    for cluster in lab.policy.clusters:
        names = {member.name for member in cluster.hosts}
        up = [row[1] for row in rows if row[1] in names and row[17].startswith("UP")]
        if len(up) != 1:
            return f"{cluster.name}: {len(up)} servers are up ({', '.join(up) or 'none'})"
    return ""


# --------------------------------------------------------------------------- waiting


def _enable(lab: Lab, host: LabHost) -> None:
    """Start the units of a host now, and whenever it boots."""
    lab.shell(host.name, f"systemctl enable --quiet --now --no-block {' '.join(host.units)}")


def _enable_all(lab: Lab, role: Role) -> None:
    in_parallel(lambda host: _enable(lab, host), lab.hosts(role))


def _wait_active(lab: Lab, role: Role) -> None:
    for host in lab.hosts(role):
        _wait(lab, host, 20, "runs", _units_problem)


def _units_problem(lab: Lab, host: LabHost) -> str:
    states = lab.exec(host.name, ["systemctl", "is-active", *host.units]).out.split()
    late = [f"{u}: {s}" for u, s in zip(host.units, states, strict=False) if s != "active"]
    return ", ".join(late)


def _wait(
    lab: Lab, host: LabHost, limit_s: float, what: str, problem: Callable[[Lab, LabHost], str]
) -> None:
    """Return once there is no problem. LabError, with the last one, after the limit."""
    wait_for(
        host, limit_s, what, lambda: problem(lab, host), lambda: lab.journal(host.name, lines=20)
    )


def wait_for(
    host: LabHost,
    limit_s: float,
    what: str,
    problem: Callable[[], str],
    journal: Callable[[], str],
) -> None:
    """The same for a host that no lab knows (yet)."""
    give_up_s = time.monotonic() + limit_s
    while said := problem():
        if time.monotonic() > give_up_s:
            raise LabError(
                f"{host.name}: it is not so within {limit_s:g} s that it {what}: {said}",
                todo=f"`failover lab logs {host.name}`",
                log=journal(),
            )
        time.sleep(POLL_S)


def http_get(
    address: str, port: int, path: str, identity: Identity | None = None
) -> tuple[int | None, str]:
    """Status and body; None and the reason where there is no answer within a second.
    ``identity``: with TLS."""
    link = HTTPConnection(address, port, timeout=ANSWER_LIMIT_S)
    try:
        if identity is not None:
            link.sock = dial(address, port, identity, ANSWER_LIMIT_S)
        link.request("GET", path)
        answer = link.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except (OSError, HTTPException) as error:
        return None, f"no answer on port {port} ({error})"
    finally:
        link.close()
