"""A lab that is up, and each line of the table of ports tried in it: what a kind of client can do
at a port of a host, in the table's own words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from port_ensemble import KEYS, Ensemble
from port_http import HttpDoor, patroni, reads
from port_proofs import Proofs
from port_roles import Roles
from port_sockets import HOSTS, number_of

from failover.lab.containers import in_parallel
from failover.lab.hosts import LabHost
from failover.lab.lab import Lab
from failover.lab.stages import zookeeper_mode
from failover.model import HostName
from failover.reference.ports import Client, Host, Listens, Port

PATHS = {
    8009: ("/writable", "/status", "/metrics", "/host"),
    9187: ("/metrics", "/", "/console.json"),
    8404: ("/metrics", "/", "/;csv"),
}
AT_ONCE = 3

Try = Callable[[LabHost, int, Client], str]


class World:
    """``directory``: for certificates of another authority. ``everywhere``: on every host; else on
    the first of those that do the same."""

    def __init__(self, lab: Lab, directory: Path, *, everywhere: bool) -> None:
        self.lab = lab
        self._everywhere = everywhere
        self._proofs = Proofs(lab, directory)
        self._ensemble = Ensemble(self._proofs)
        self.roles = Roles(self._proofs)

    def seen(self, port: Port, client: Client) -> dict[HostName, str]:
        """What this kind of client can do at this port, host by host."""
        attempt = self._try(port)
        hosts = self._hosts(port)
        if client in KEYS or not self._everywhere:  # a key is worth the same at every server
            hosts = self._some(hosts)

        def one(host: LabHost) -> str:
            return str(attempt(host, number_of(self.lab.policy, host, port), client))

        found = in_parallel(one, hosts, AT_ONCE)
        return dict(zip((host.name for host in hosts), found, strict=True))

    def _some(self, hosts: tuple[LabHost, ...]) -> tuple[LabHost, ...]:
        """One; of database hosts the primary and a standby: each hides what the other shows."""
        primary = self.lab.writable_host()
        if primary is None or primary.name not in [host.name for host in hosts]:
            return hosts[:1]
        return (primary, *(host for host in hosts if host.name != primary.name))[:2]

    def _hosts(self, port: Port) -> tuple[LabHost, ...]:
        """Those that listen there."""
        found = tuple(host for host in self.lab.all_hosts if HOSTS.get(host.role) is port.host)
        if port.listens is Listens.LEADER:
            return tuple(host for host in found if zookeeper_mode(host) == "leader")
        return found

    def _try(self, port: Port) -> Try:
        match port.host, port.number:
            case (Host.DATABASE, 5432) | (Host.PROXY, 5000):
                return self.roles.session
            case Host.DATABASE, 8008:
                return self._patroni
            case Host.ZOOKEEPER, 2181:
                return self._ensemble.client
            case Host.ZOOKEEPER, _:
                return self._ensemble.server
        assert port.number is not None
        paths = PATHS[port.number]
        return lambda host, number, client: reads(self._door(host, number, client), paths)

    def _door(self, host: LabHost, number: int, client: Client) -> HttpDoor:
        context = self._proofs.context(client)
        return HttpDoor(str(host.address), number, context, self._proofs.secrets)

    def _patroni(self, host: LabHost, number: int, client: Client) -> str:
        comes = client
        if client in (Client.WRONG_PASSWORD, Client.PATRONI):  # all the rest is as it should be
            comes = Client.GROUP if self.lab.policy.tls.patroni.required else Client.NOBODY
        password = {
            Client.WRONG_PASSWORD: "not-this-one",
            Client.PATRONI: self._proofs.secret("patroni-rest.password"),
        }
        return patroni(self._door(host, number, comes), password.get(client, ""))
