"""The ensemble: who serves, who leads, who would lead, and how it keeps time. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address

from failover.checks.found import Found, ServerFound
from failover.checks.result import (
    LOOK_AT_OBSERVERS,
    Check,
    Said,
    Subject,
    failed,
    of,
    ok,
    unknown,
    warning,
)
from failover.health.observation import NoAnswer
from failover.model import HostName, SiteKind
from failover.policy import ZooKeeperServer
from failover.timing import INIT_LIMIT_TICKS

MEMBER = "server."  # in front of a myid, in zoo.cfg and in the answer to `conf`


def quorum(found: Found) -> Said:
    serving = [s for s in found.view.zookeeper if s.serving]
    return of(
        f"{len(serving)} of {len(found.view.zookeeper)} servers serve",
        wrong=[
            f"{seen.server.name} answers and does not serve, or refuses: of {_servers(found)} "
            f"{len(serving)} serve"
            for seen in found.view.zookeeper
            if seen.serving is False
        ]
        + [
            f"{seen.server.name} gives no observer an answer: of {_servers(found)} "
            f"{len(serving)} serve"
            for seen in found.view.zookeeper
            if seen.serving is None and found.view.living_observers
        ],
        unseen=[] if found.view.living_observers else ["no living observer looks at the ensemble"],
        unseen_fix=LOOK_AT_OBSERVERS,
    )


def _servers(found: Found) -> int:
    return len(found.view.zookeeper)


def leader(found: Found) -> Said:
    leads = found.view.zookeeper_leader
    if leads is None:
        return unknown("no living observer sees a leader", "Look at `failover zookeeper status`.")
    if found.policy.site(leads.site).kind is SiteKind.WITNESS:
        return ok(f"{leads.name} leads, at the witness ({leads.site})")
    if leads.site == found.view.active_site:
        return failed(
            f"{leads.name} leads, in {leads.site}, the active site: losing it costs an election "
            "just when a takeover needs the ensemble"
        )
    return warning(f"{leads.name} leads, in the data site {leads.site}, not at the witness")


def myid(found: Found) -> Said:
    """Order by failover.yaml; what runs by each server's own list of members."""
    servers = found.policy.zookeeper_servers
    witness = [s.myid for s in servers if _at_witness(found, s)]
    data = [s for s in servers if not _at_witness(found, s)]
    wrong = [
        f"{server.name} in {server.site} has myid {server.myid}, above the witness's {max(witness)}"
        for server in data
        if witness and server.myid > max(witness)
    ]
    by_name = {server.name: server for server in servers}
    unseen = []
    for each in found.servers:
        if isinstance(each.settings, NoAnswer):
            unseen.append(_unseen(each, each.settings))
            continue
        wrong += _membership(each.name, by_name[each.name], each.settings, servers)
    order = ", ".join(f"{s.name} {s.myid}" for s in sorted(servers, key=lambda s: s.myid))
    return of(f"the servers run as {order}", wrong=wrong, unseen=unseen, unseen_fix=_ALLOW)


def _at_witness(found: Found, server: ZooKeeperServer) -> bool:
    return found.policy.site(server.site).kind is SiteKind.WITNESS


def _address_in(line: str) -> IPv4Address | IPv6Address | None:
    """Of ``10.77.1.21:2888:3888:participant;…`` or ``[fd00::1]:2888:…``; None: it has none."""
    host = line[1:].partition("]")[0] if line.startswith("[") else line.partition(":")[0]
    try:
        return ip_address(host)
    except ValueError:
        return None


def _membership(
    name: HostName,
    server: ZooKeeperServer,
    settings: Mapping[str, str],
    servers: tuple[ZooKeeperServer, ...],
) -> list[str]:
    """How what a server says of the ensemble differs from failover.yaml."""
    wrong = []
    own = settings.get("serverId", "not said")
    if own != str(server.myid):
        wrong.append(f"{name} runs as myid {own}, not {server.myid}")
    for other in servers:
        line = settings.get(f"{MEMBER}{other.myid}", "")
        if _address_in(line) != other.address:
            wrong.append(f"{name} does not list {other.name} as {MEMBER}{other.myid}")
    listed_ids = {key.removeprefix(MEMBER) for key in settings if key.startswith(MEMBER)}
    for stranger in sorted(listed_ids - {str(other.myid) for other in servers}):
        wrong.append(f"{name} lists a server {stranger} that failover.yaml does not have")
    return wrong


def timing(found: Found) -> Said:
    """Sessions are measured by granting (``lease``); these can only be told."""
    wanted = {
        "tickTime": found.timing.zookeeper_tick_ms,
        "syncLimit": found.timing.zookeeper_sync_limit_ticks,
        "initLimit": INIT_LIMIT_TICKS,
    }
    wrong, unseen = [], []
    for each in found.servers:
        if isinstance(each.settings, NoAnswer):
            unseen.append(_unseen(each, each.settings))
            continue
        wrong += [
            f"{each.name} has {key} {each.settings.get(key, 'unknown')}, not {value}"
            for key, value in wanted.items()
            if each.settings.get(key) != str(value)
        ]
    told = ", ".join(f"{key} {value}" for key, value in wanted.items())
    return of(f"every server has {told}", wrong=wrong, unseen=unseen, unseen_fix=_ALLOW)


def _unseen(server: ServerFound, why: NoAnswer) -> str:
    return f"{server.name} does not tell its settings ({why.detail})"


def controllers(found: Found) -> Said:
    """One observer per site, and the door of each controller."""
    silent = [each for each in found.view.observers if not each.alive]
    doors = [each for each in found.controllers if each.problem]
    return of(
        f"{len(found.view.observers)} observers publish; the doors of "
        f"{len(found.controllers) - len(doors)} of {len(found.controllers)} controllers answer",
        wrong=[
            f"the observer in {each.site} is silent"
            + (f" for {each.age_s:.1f} s" if each.age_s is not None else "")
            for each in silent
        ],
        doubtful=[f"{each.name}: its HTTP door does not answer ({each.problem})" for each in doors],
    )


_ALLOW = (
    "Allow the question: `4lw.commands.whitelist=srvr,mntr,ruok,conf` in zoo.cfg "
    "(`failover config render` writes it), and restart the servers, followers first."
)
_RENDER = "Write zoo.cfg and myid anew (`failover config render`), restart followers first."
ZOOKEEPER_CHECKS = (
    Check(
        "zookeeper-quorum",
        Subject.ZOOKEEPER,
        "Every server of the ensemble serves: with one away, the next loss ends the quorum.",
        "Look at `failover zookeeper status` and at the journal of that server.",
        "docs/architecture.md",
        quorum,
        unknown_fails=True,
    ),
    Check(
        "zookeeper-leader",
        Subject.ZOOKEEPER,
        "The leader of the ensemble is at the witness, and not in the active site.",
        "Restart the leading server, or set zookeeper_restart_command so that the controller does.",
        "docs/operations/zookeeper-leader-misplaced.md",
        leader,
    ),
    Check(
        "zookeeper-myid",
        Subject.ZOOKEEPER,
        "The witness has the highest myid, and every server runs with the members of "
        "failover.yaml.",
        _RENDER,
        "docs/architecture.md",
        myid,
    ),
    Check(
        "zookeeper-timing",
        Subject.ZOOKEEPER,
        "Every server has the tick and the limits that the lease arithmetic counts with.",
        _RENDER,
        "docs/decisions/0002-lease-arithmetic.md",
        timing,
    ),
    Check(
        "controllers",
        Subject.ZOOKEEPER,
        "Every site has a living observer: the controller publishes what it sees.",
        "`systemctl status failover-controller` on the controller's host of that site.",
        "docs/architecture.md",
        controllers,
    ),
)
