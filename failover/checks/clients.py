"""How clients get to the one writable host, and how they notice that it is gone. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from failover.checks.found import Found, ProxyFound, ProxyServerFound
from failover.checks.guard import no_primary, silent_guards
from failover.checks.host_report import Asked
from failover.checks.hosts import reports
from failover.checks.postgresql import ON_CONTROLLER, read, unread
from failover.checks.quantities import in_ms
from failover.checks.result import LOOK_AT_OBSERVERS, Check, Said, Subject, of, ok, unknown
from failover.health.observation import NoAnswer, NoAnswerKind

ASKED_S_MAX = 5.0  # HAProxy asks several times in that time, every 0.8 s where nothing is new
RISE, FALL = 1, 3  # haproxy.cfg: one good check brings a server in, three bad ones take it out
KEEPALIVE_MS_MAX = 30_000  # idle time and probes together, after which a dead client is noticed
_ASK = "Ask from where the proxies' port 8404 and the guards' 8009 can be reached."


def haproxy(found: Found) -> Said:
    """Every proxy knows every host, asks its guard, and sends clients to the primary alone."""
    wrong: list[str] = []
    unseen: list[str] = []
    count = 0
    for proxy in found.proxies:
        if isinstance(proxy.servers, NoAnswer):
            refused = proxy.servers.kind is not NoAnswerKind.TIMED_OUT
            why = f"{proxy.name}: HAProxy does not answer ({proxy.servers.detail})"
            (wrong if refused else unseen).append(why)
            continue
        count += 1
        wrong += _lines(found, proxy, proxy.servers)
        wrong += _not_asked(found, proxy)
    return of(
        f"{count} proxies ask every guard and send clients to the primary alone",
        wrong=wrong,
        unseen=[*unseen, *silent_guards(found), *no_primary(found)],
        unseen_fix=_ASK if unseen or silent_guards(found) else LOOK_AT_OBSERVERS,
    )


def _lines(found: Found, proxy: ProxyFound, servers: tuple[ProxyServerFound, ...]) -> Iterator[str]:
    for cluster in found.policy.clusters:
        there = {s.host: s for s in servers if s.cluster == cluster.name}
        for host in cluster.hosts:
            server = there.get(host.name)
            if server is None:
                yield f"{proxy.name}: {host.name} is no server of {cluster.name}"
            elif not server.check:
                yield f"{proxy.name}: {host.name} is not checked ({server.status})"
            elif (server.rise, server.fall) not in ((RISE, FALL), (None, None)):
                yield f"{proxy.name}: {host.name} has rise {server.rise}, fall {server.fall}"
        for name in sorted(set(there) - {host.name for host in cluster.hosts}):
            yield f"{proxy.name}: {name} is a server of {cluster.name}, and of no failover.yaml"
        primary = found.view.cluster(cluster.name).primary
        up = sorted(name for name, server in there.items() if server.status.startswith("UP"))
        if primary is not None and up != [primary.host.name]:
            where = ", ".join(up) or "nobody"
            yield f"{proxy.name}: clients go to {where}, not {primary.host.name}"


def _not_asked(found: Found, proxy: ProxyFound) -> Iterator[str]:
    for each, report in reports(found):
        ago_s = min((a.ago_s for a in report.asked if _may_be(found, proxy, a)), default=None)
        if ago_s is None:
            yield f"{proxy.name} has not asked the guard of {each.host.name} whether it is writable"
        elif ago_s > ASKED_S_MAX:
            yield f"{proxy.name} asked the guard of {each.host.name} {ago_s:.0f} s ago last"


def _may_be(found: Found, proxy: ProxyFound, asked: Asked) -> bool:
    """One behind a virtual address asks from its own, which nobody declares: any of that site's
    networks that is no other host's."""
    if asked.address == str(proxy.address):
        return True
    policy = found.policy
    others = {
        str(address)
        for site in policy.sites
        for address in (
            site.controller.address,
            *(other.address for other in site.proxies),
            *(server.address for server in site.zookeeper),
        )
    } | {str(host.address) for cluster in policy.clusters for host in cluster.hosts}
    if asked.address in others:
        return False
    try:
        address = ip_address(asked.address)
    except ValueError:
        return False
    return any(address in network for network in policy.site(proxy.site).networks)


def dead_peers(found: Found) -> Said:
    wrong, told = [], set()
    for each, postgres in read(found):
        user = postgres.setting("tcp_user_timeout")
        timeout_ms = in_ms(*user) if user is not None else None
        if not timeout_ms:
            wrong.append(f"{each.host.name}: tcp_user_timeout is off")
        idle = [postgres.setting(f"tcp_keepalives_{n}") for n in ("idle", "interval", "count")]
        if any(value is None for value in idle):
            wrong.append(f"{each.host.name}: keepalives are not known")
            continue
        idle_s, interval_s, probes = (int(value[0]) for value in idle if value is not None)
        total_ms = (idle_s + interval_s * probes) * 1000
        if not idle_s or total_ms > KEEPALIVE_MS_MAX:
            wrong.append(f"{each.host.name}: a dead client is noticed after {total_ms / 1000:g} s")
        told.add(f"{total_ms / 1000:g} s idle, {(timeout_ms or 0) / 1000:g} s with data under way")
    return of(
        f"{len(read(found))} servers notice a dead client after {' or '.join(sorted(told))}",
        wrong=wrong,
        unseen=unread(found),
        unseen_fix=ON_CONTROLLER,
    )


def client_parameters(_: Found) -> Said:
    return unknown("what applications set for their connections cannot be seen from here")


def endpoints(found: Found) -> Said:
    """Archive, metrics, logs, webhooks: by their names as they resolve now."""
    if not found.endpoints:
        return ok("none is declared besides the group itself")
    return of(
        f"{len(found.endpoints)} declared endpoints are inside",
        wrong=[
            f"{each.name} stands for {', '.join(each.outside)}, outside of the declared networks"
            for each in found.endpoints
            if each.outside
        ],
        doubtful=[
            f"{each.name} stands for no address now"
            for each in found.endpoints
            if not each.addresses
        ],
    )


CLIENT_CHECKS = (
    Check(
        "haproxy",
        Subject.CLIENTS,
        "Every HAProxy asks the guard of every host, and sends clients to the one that is "
        "writable.",
        "Write haproxy.cfg anew (`failover config render`), `systemctl reload haproxy`; its page "
        "on port 8404 shows each server.",
        "failover/render/templates/haproxy.cfg.j2",
        haproxy,
    ),
    Check(
        "dead-peers",
        Subject.CLIENTS,
        "Servers notice within half a minute that a client is gone.",
        "`ALTER SYSTEM SET tcp_user_timeout = '10s'`, tcp_keepalives_idle 5, _interval 2, _count "
        "3 on every database host (it is a file of each), and reload: post-bootstrap.sql has them.",
        "failover/render/templates/post-bootstrap.sql.j2",
        dead_peers,
    ),
    Check(
        "client-parameters",
        Subject.CLIENTS,
        "Applications notice that their server is gone: a session survives a cut link for as long "
        "as nobody sends.",
        "In every application: connect to HAProxy with connect_timeout=2, tcp_user_timeout=5000, "
        "keepalives_idle=5, keepalives_interval=2, keepalives_count=3, and try again what failed.",
        "PostgreSQL's manual: libpq, connection parameters",
        client_parameters,
        never_seen=True,
    ),
    Check(
        "endpoints",
        Subject.CLIENTS,
        "Declared endpoints are still inside of the declared networks, by whatever their names "
        "stand for now.",
        "Correct the name, or declare its network in failover.yaml.",
        "docs/residency.md",
        endpoints,
    ),
)
