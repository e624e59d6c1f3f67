"""Every port of every kind of host: what listens, who connects, and what each kind of client can do
there, without and with the switches of failover.yaml. docs/ports.md is made of it. Pure.

Invariant: nothing listens that is not here. tests/integration/test_ports.py compares the sockets of
every host of the lab with this table, and tries what it says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from failover.reference.markdown import table


class Host(StrEnum):
    DATABASE = "Database hosts"
    CONTROLLER = "Controllers"
    ZOOKEEPER = "ZooKeeper servers"
    PROXY = "Proxies"
    OPERATIONS = "The lab's operations host"
    ANY = "Every host of the lab"


class Listens(StrEnum):
    OWN = "the host's own address"
    LEADER = "the host's own address, on the leader alone"
    EVERYWHERE = "every address"
    LOOPBACK = "127.0.0.11, seen by the host alone"


class Client(StrEnum):
    """Kinds of clients, from those that prove nothing to those that have a role's credentials."""

    NOBODY = "anybody, without TLS"
    NO_CERTIFICATE = "anybody, with TLS"
    OTHER_AUTHORITY = "a certificate of another authority"
    UNDECLARED = "from a network that is not declared"
    ELSEWHERE = "a certificate of the group, from an address that is not in it"
    GROUP = "a certificate of the group, and nothing else"
    WRONG_PASSWORD = "a wrong password"
    PATRONI = "the password of Patroni's REST interface"
    CUSTOMER = "the customers' role"
    OBSERVER = "`failover_observer`"
    REPLICATOR = "`replicator`"
    REWINDER = "`rewinder`"
    SUPERUSER = "`postgres`"
    WRONG_KEY = "a guess for the key `controller`"
    VIEWER_KEY = "key `viewer`"
    OPERATOR_KEY = "key `operator`"
    APPROVER_KEY = "key `approver`"
    GUARD_KEY = "key `guard`"
    PATRONI_KEY = "key `patroni.SCOPE`"
    CONTROLLER_KEY = "key `controller`"
    ADMIN_KEY = "key `admin`"


class Can(StrEnum):
    """What was tried, and what came of it."""

    NEEDS_TLS = "refused: TLS is required"
    NO_TLS = "there is no TLS"
    HANDSHAKE = "refused at the handshake"
    CLOSED = "closed at once"
    PASSWORD = "asked for a password (SCRAM)"
    NO_LINE = "refused by pg_hba"
    READS = "reads, and changes nothing: other methods are refused (405)"
    READS_NO_ORDERS = (
        "reads the status; every order is refused (401), but `POST /mpp`, for which Patroni asks "
        "no password and which does nothing without Citus"
    )
    ORDERS = "reads the status, gives orders"
    OWN_DATABASE = (
        "reads and writes its own database; no other one, no file or role of the server, no WAL"
    )
    OBSERVES = (
        "from controllers: reads replication, sessions and settings; no row, no statement of "
        "others, no file; writes nothing, but ends sessions (`failover.end_sessions`) and has a "
        "checkpoint made (`failover.checkpoint`)"
    )
    STREAMS = "from the cluster's hosts: the WAL and base backups, so every row; no SQL"
    FILES = (
        "from the cluster's hosts: the files below the data directory, so every row; no customers' "
        "database, no other file, changes nothing"
    )
    EVERY_ZNODE = "reads and writes every znode; of the four-letter words `srvr mntr ruok conf`"
    NO_ZNODE = (
        "`srvr mntr ruok conf`; reads and writes no znode, but reads `/zookeeper/config` (the "
        "servers' addresses)"
    )
    NO_KEYS = "there are no keys"
    A_SERVER = "is heard as a server of the ensemble: no other proof is asked for"
    NOT_TRIED = "not tried"


# What a key writes, makes or deletes, below the group's znode; in "scopes": Patroni's.
REQUESTS = ("requests/operator", "requests/operator.setting")
APPROVALS = ("requests/approver", "requests/approver.setting")
WRITES: dict[Client, tuple[str, ...]] = {
    Client.VIEWER_KEY: (),
    Client.OPERATOR_KEY: REQUESTS,
    Client.APPROVER_KEY: (*REQUESTS, *APPROVALS),
    Client.GUARD_KEY: ("writers", "sessions", "stopped", "salvage"),
    Client.CONTROLLER_KEY: (
        *("the group's own znode", "state", "writers", "stopped", "history", "history_head"),
        *("residency", "approved", "notifications", "observers", "leadership"),
        *(*REQUESTS, *APPROVALS),
        "all scopes",
    ),
}


def of_key(client: Client) -> str:
    """What the key of this role is good for where lists are closed."""
    if client is Client.ADMIN_KEY:
        return "everything, and it alone changes access lists"
    if client is Client.PATRONI_KEY:
        return "reads and writes its own scope, but no fence there; reads nothing else"
    places = ", ".join(f"`{each}`" if " " not in each else each for each in WRITES[client])
    return f"reads the group and the scopes; writes {places or 'nothing'}"


@dataclass(frozen=True, slots=True)
class Row:
    client: Client
    off: str  # as failover.yaml is without switches
    required: str  # `tls` and `zookeeper.acl` at `require`


@dataclass(frozen=True, slots=True)
class Port:
    """``number`` None: any. ``unit``: the systemd unit that the listener belongs to."""

    host: Host
    number: int | None
    program: str
    unit: str
    listens: Listens
    switch: str  # of failover.yaml, that secures it
    connects: str
    setting: str = ""  # of failover.yaml, that moves it
    udp: bool = False
    lab_only: bool = False
    rows: tuple[Row, ...] = ()


def _rows(*rows: tuple[Client, str, str]) -> tuple[Row, ...]:
    return tuple(Row(*row) for row in rows)


# Who has no password for PostgreSQL; by itself, and through HAProxy, which passes on what is said.
_STRANGERS = (
    (Client.NOBODY, Can.PASSWORD, Can.NEEDS_TLS),
    (Client.NO_CERTIFICATE, Can.NO_TLS, Can.PASSWORD),
    (Client.OTHER_AUTHORITY, Can.NO_TLS, Can.PASSWORD),
)
# Whoever has to prove himself: Patroni's REST interface, ZooKeeper and its servers.
_UNPROVEN = (
    (Client.NO_CERTIFICATE, Can.NO_TLS, Can.HANDSHAKE),
    (Client.OTHER_AUTHORITY, Can.NO_TLS, Can.HANDSHAKE),
)
_HTTP = _rows(
    (Client.NOBODY, Can.READS, Can.NEEDS_TLS),
    (Client.NO_CERTIFICATE, Can.NO_TLS, Can.READS),
    (Client.OTHER_AUTHORITY, Can.NO_TLS, Can.READS),
    (Client.GROUP, Can.NO_TLS, Can.READS),
)
_PEERS = _rows(
    (Client.NOBODY, Can.A_SERVER, Can.NEEDS_TLS),
    (Client.NO_CERTIFICATE, Can.NOT_TRIED, Can.HANDSHAKE),
    (Client.OTHER_AUTHORITY, Can.NOT_TRIED, Can.HANDSHAKE),
    (Client.ELSEWHERE, Can.NOT_TRIED, Can.HANDSHAKE),
    (Client.GROUP, Can.NOT_TRIED, Can.A_SERVER),
)
_INSIDERS = (Client.OBSERVER, Client.REPLICATOR, Client.REWINDER, Client.SUPERUSER)
_KEYS = (
    *(Client.VIEWER_KEY, Client.OPERATOR_KEY, Client.APPROVER_KEY, Client.GUARD_KEY),
    *(Client.PATRONI_KEY, Client.CONTROLLER_KEY, Client.ADMIN_KEY),
)

DATABASE = (
    Port(
        *(Host.DATABASE, 5432, "PostgreSQL", "patroni.service", Listens.OWN, "tls.postgresql"),
        "customers through the proxies, standbys and rewinding hosts of the cluster, controllers",
        setting="clusters.CLUSTER.hosts.SITE[].postgres_port",
        rows=_rows(
            *_STRANGERS,
            (Client.UNDECLARED, Can.NO_LINE, Can.NO_LINE),
            (Client.CUSTOMER, Can.OWN_DATABASE, Can.OWN_DATABASE),
            (Client.OBSERVER, Can.OBSERVES, Can.OBSERVES),
            (Client.REPLICATOR, Can.STREAMS, Can.STREAMS),
            (Client.REWINDER, Can.FILES, Can.FILES),
            (Client.SUPERUSER, Can.NO_LINE, Can.NO_LINE),
        ),
    ),
    Port(
        *(Host.DATABASE, 8008, "Patroni's REST interface", "patroni.service", Listens.OWN),
        switch="tls.patroni",
        connects="Patroni on the other hosts, controllers, `patronictl`",
        setting="clusters.CLUSTER.hosts.SITE[].patroni_port",
        rows=_rows(
            (Client.NOBODY, Can.READS_NO_ORDERS, Can.NEEDS_TLS),
            *_UNPROVEN,
            (Client.GROUP, Can.NO_TLS, Can.READS_NO_ORDERS),
            (Client.WRONG_PASSWORD, Can.READS_NO_ORDERS, Can.READS_NO_ORDERS),
            (Client.PATRONI, Can.ORDERS, Can.ORDERS),
        ),
    ),
    Port(
        *(Host.DATABASE, 8009, "the guard", "failover-guard.service", Listens.OWN, "tls.http"),
        "HAProxy's checks, controllers, Prometheus, commands",
        setting="clusters.CLUSTER.hosts.SITE[].guard_port",
        rows=_HTTP,
    ),
)
CONTROLLER = (
    Port(
        *(Host.CONTROLLER, 9187, "the controller's metrics and console"),
        unit="failover-controller.service",
        listens=Listens.OWN,
        switch="tls.http",
        connects="Prometheus, people's browsers",
        setting="sites.SITE.controller.metrics_port",
        rows=_HTTP,
    ),
)
ZOOKEEPER = (
    Port(
        *(Host.ZOOKEEPER, 2181, "ZooKeeper, for its clients", "zookeeper.service", Listens.OWN),
        switch="tls.zookeeper, zookeeper.acl",
        connects="controllers, guards, Patroni, people's commands",
        setting="sites.SITE.zookeeper[].client_port",
        rows=_rows(
            (Client.NOBODY, Can.EVERY_ZNODE, Can.NEEDS_TLS),
            *_UNPROVEN,
            (Client.GROUP, Can.NO_TLS, Can.NO_ZNODE),
            (Client.WRONG_KEY, Can.NO_KEYS, Can.NO_ZNODE),
            *((key, Can.NO_KEYS, of_key(key)) for key in _KEYS),
        ),
    ),
    Port(
        *(Host.ZOOKEEPER, 2888, "ZooKeeper, for its followers", "zookeeper.service"),
        listens=Listens.LEADER,
        switch="tls.zookeeper",
        connects="the other ZooKeeper servers, and nobody else: the firewall's business",
        rows=_PEERS,
    ),
    Port(
        *(Host.ZOOKEEPER, 3888, "ZooKeeper's elections", "zookeeper.service", Listens.OWN),
        switch="tls.zookeeper",
        connects="the other ZooKeeper servers, and nobody else: the firewall's business",
        rows=_PEERS,
    ),
    Port(
        *(Host.ZOOKEEPER, 2189, "restarts ZooKeeper for whoever connects"),
        unit="lab-restart-zookeeper.socket",
        listens=Listens.EVERYWHERE,
        switch="none",
        connects="controllers of the lab (a site has ssh for that)",
        lab_only=True,
    ),
)
PROXY = (
    Port(
        *(Host.PROXY, 5000, "HAProxy, to PostgreSQL", "haproxy.service", Listens.OWN),
        switch="tls.postgresql",
        connects="customers; what they say is passed on as it is",
        setting="clusters.CLUSTER.proxy_port",
        rows=_rows(
            *_STRANGERS,
            (Client.UNDECLARED, Can.CLOSED, Can.CLOSED),
            (Client.CUSTOMER, Can.OWN_DATABASE, Can.OWN_DATABASE),
            *((client, Can.NO_LINE, Can.NO_LINE) for client in _INSIDERS),
        ),
    ),
    Port(
        *(Host.PROXY, 8404, "HAProxy's statistics", "haproxy.service", Listens.OWN),
        switch="tls.http",
        connects="Prometheus, `failover check`, people's browsers",
        rows=_HTTP,
    ),
)
_LAB = (
    *(
        Port(
            *(Host.OPERATIONS, number, program, unit, Listens.EVERYWHERE, "none", connects),
            udp=udp,
            lab_only=True,
        )
        for number, program, unit, connects, udp in (
            (9090, "Prometheus", "prometheus.service", "people's browsers", False),
            (9093, "Alertmanager", "prometheus-alertmanager.service", "Prometheus", False),
            (9094, "Alertmanager's cluster", "prometheus-alertmanager.service", "nobody", False),
            (9094, "Alertmanager's cluster", "prometheus-alertmanager.service", "nobody", True),
            (9099, "receiver of alerts", "lab-notifications.service", "Alertmanager", False),
        )
    ),
    *(
        Port(
            *(Host.ANY, None, "the container engine's names", "", Listens.LOOPBACK, "none"),
            "the host itself",
            udp=udp,
            lab_only=True,
        )
        for udp in (False, True)
    ),
)
PORTS = (*DATABASE, *CONTROLLER, *ZOOKEEPER, *PROXY, *_LAB)


# --------------------------------------------------------------------------- docs/ports.md

_TOP = """\
# Ports

Made from `failover/reference/ports.py` by `make reference`; do not edit.

Every port that a host listens on, who connects, and what each kind of client can do there: as
`failover.yaml` is with every switch off ("off", as the lab that most tests share has it), and with
`tls.*` and `zookeeper.acl` at `require`, the default. `tests/integration/test_ports.py` (and
`test_ports_required.py`) compares the sockets of every host of the lab with this page, fails for
each that is not on it, and tries each line against the running parts.

For a firewall: let in who connects, refuse the rest. What database hosts may dial is in
[Indonesia only](residency.md). Setting the switches: [certificates](operations/certificates.md),
[access](operations/access.md); why they are so: decisions
[0018](decisions/0018-transport-security.md) and [0019](decisions/0019-access-in-zookeeper.md).

Unix sockets are for the host's own users: PostgreSQL's (the superuser by `peer`, so `postgres`
alone) and the guard's for the barriers (`postgres` alone).
"""


def page() -> str:
    """The whole page."""
    return "\n".join((_TOP, *_summary(), *(part for host in Host for part in _chapter(host))))


def _summary() -> Iterator[str]:
    rows = (
        (port.host, f"{_number(port)}", port.program, port.connects, _switch(port))
        for port in PORTS
        if not port.lab_only
    )
    yield table(("hosts", "port", "is", "connect", "secured by"), rows)


def _chapter(host: Host) -> Iterator[str]:
    ports = [port for port in PORTS if port.host is host]
    yield f"## {host}\n"
    for port in ports:
        if port.rows:
            yield from _port(port)
    unlisted = [port for port in ports if not port.rows]
    if unlisted:
        rows = ((_number(port), port.program, port.listens, port.connects) for port in unlisted)
        yield "In the lab alone; a site has none of it.\n"
        yield table(("port", "is", "listens on", "connects"), rows)


def _port(port: Port) -> Iterator[str]:
    moved = f", moved by `{port.setting}`" if port.setting else ""
    yield f"### {port.number}: {port.program}\n"
    yield f"Listens on {port.listens}{moved}; secured by {_switch(port)}."
    yield f"Connect: {port.connects}.\n"
    rows = ((row.client, row.off, row.required) for row in port.rows)
    yield table(("client", "off", "`require`"), rows)


def _number(port: Port) -> str:
    return f"{port.number or 'any'}{'/udp' if port.udp else ''}"


def _switch(port: Port) -> str:
    if port.switch == "none":
        return "nothing: the firewall"
    return " and ".join(f"`{each}`" for each in port.switch.split(", "))
