"""Every listening socket of a host, as its kernel has it, beside what the table of ports says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from port_hosts import run

from failover.lab.hosts import LabHost, Role
from failover.lab.lab import Lab
from failover.lab.stages import zookeeper_mode
from failover.policy import Policy
from failover.reference.ports import PORTS, Host, Listens, Port

ENGINE = "127.0.0.11"  # where the container engine answers a host's questions for names
ANY_ADDRESS = "*"
HOSTS = {
    Role.DATABASE: Host.DATABASE,
    Role.CONTROLLER: Host.CONTROLLER,
    Role.ZOOKEEPER: Host.ZOOKEEPER,
    Role.PROXY: Host.PROXY,
    Role.OPERATIONS: Host.OPERATIONS,
}
SCRIPT = "ss -H -lntue"  # the kernel knows each socket's cgroup; its process only some may see
_UNIT = re.compile(r"cgroup:\S*?([\w@.\\-]+\.(?:service|scope|socket))(?:\s|$)")


@dataclass(frozen=True, slots=True, order=True)
class Listener:
    """``unit``: the systemd unit that made the socket; empty: none of the host's."""

    address: str
    port: int | None  # None: the engine's own, any
    udp: bool
    unit: str

    def __str__(self) -> str:
        where = f"{self.address} port {self.port}{'/udp' * self.udp}"
        return f"{where} ({self.unit or 'no unit of the host'})"


def listeners(host: LabHost) -> frozenset[Listener]:
    """TCP and UDP, of every address."""
    code, out = run(host.name, SCRIPT)
    assert code == 0, out
    return parse(out)


def parse(text: str) -> frozenset[Listener]:
    """Of what the script prints."""
    return frozenset(_listener(line) for line in text.splitlines() if line)


def _listener(line: str) -> Listener:
    protocol, _state, _received, _sent, local = line.split()[:5]
    address, _, port = local.rpartition(":")
    seen = _address(address)
    unit = _UNIT.search(line)
    number = None if seen == ENGINE else int(port)
    return Listener(seen, number, protocol == "udp", unit[1] if unit else "")


def _address(text: str) -> str:
    plain = text.partition("%")[0].strip("[]")
    if plain in ("*", "0.0.0.0", "::"):
        return ANY_ADDRESS
    found = ip_address(plain)
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found)


def number_of(policy: Policy, host: LabHost, port: Port) -> int:
    """As failover.yaml has it for this host."""
    assert port.number is not None
    match port.host, port.number:
        case Host.DATABASE, 5432:
            return policy.host(host.name).postgres_port
        case Host.DATABASE, 8008:
            return policy.host(host.name).patroni_port
        case Host.DATABASE, 8009:
            return policy.host(host.name).guard_port
        case Host.CONTROLLER, 9187:
            return policy.site(host.site).controller.metrics_port
        case Host.ZOOKEEPER, 2181:
            return next(s for s in policy.zookeeper_servers if s.name == host.name).client_port
        case Host.PROXY, 5000:
            return policy.clusters[0].proxy_port
    return port.number


def said(lab: Lab, host: LabHost) -> tuple[frozenset[Listener], frozenset[Listener]]:
    """What the table has for a host: what must be there, and what may be."""
    required = set(_of_role(lab, host))
    engine = {Listener(ENGINE, None, port.udp, port.unit) for port in PORTS if port.number is None}
    return frozenset(required), frozenset(required | engine)


def _of_role(lab: Lab, host: LabHost) -> Iterator[Listener]:
    for port in PORTS:
        if port.host is not HOSTS.get(host.role):
            continue
        if port.listens is Listens.LEADER and zookeeper_mode(host) != "leader":
            continue
        own = port.listens in (Listens.OWN, Listens.LEADER)
        address = str(host.address) if own else ANY_ADDRESS
        yield Listener(address, number_of(lab.policy, host, port), port.udp, port.unit)
