"""How a wire between the parts is secured, and the names a host must prove on it. Pure.

Each wire goes from ``off`` to ``require`` in steps that can be taken host by host, in any order,
without an outage: a step changes either what is accepted or what is asked for, never both
(decision 0018).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from pathlib import PurePosixPath
from typing import Any

TLS_DIRECTORY = "/etc/failover/tls"
HOST_FILE = "host.pem"  # key, certificate and what leads from it to the authority, in one rename
AUTHORITY_FILE = "ca.pem"  # every authority that is trusted: two while one replaces the other


class Wire(StrEnum):
    OFF = "off"
    ACCEPT = "accept"  # servers take both, clients still come without
    USE = "use"  # servers take both, clients come with TLS and verify
    REQUIRE = "require"  # without TLS nobody is let in

    @property
    def served(self) -> bool:
        """Servers have a certificate and take TLS."""
        return self is not Wire.OFF

    @property
    def dialled(self) -> bool:
        """Clients come with TLS, and believe nobody who does not prove his name."""
        return self in (Wire.USE, Wire.REQUIRE)

    @property
    def required(self) -> bool:
        return self is Wire.REQUIRE


@dataclass(frozen=True, slots=True)
class Identity:
    """What a process proves itself with, and whom it believes: two files."""

    host_file: str
    authority_file: str


@dataclass(frozen=True, slots=True)
class Served:
    """How a door answers with TLS. ``required``: who comes without is not let in."""

    identity: Identity
    required: bool


@dataclass(frozen=True, slots=True)
class TransportSecurity:
    """One switch per wire, and where the files are on every host; ``here``: where this process has
    its own, on a machine that is none of them."""

    zookeeper: Wire = Wire.OFF
    postgresql: Wire = Wire.OFF
    patroni: Wire = Wire.OFF
    http: Wire = Wire.OFF
    directory: str = TLS_DIRECTORY
    here: str = ""

    @property
    def any(self) -> bool:
        """Hosts need certificates."""
        wires = (self.zookeeper, self.postgresql, self.patroni, self.http)
        return any(wire.served for wire in wires)

    @property
    def host_file(self) -> str:
        return str(PurePosixPath(self.directory, HOST_FILE))

    @property
    def authority_file(self) -> str:
        return str(PurePosixPath(self.directory, AUTHORITY_FILE))

    @property
    def identity(self) -> Identity:
        """Of this process, whatever is dialled with it."""
        own = PurePosixPath(self.here or self.directory)
        return Identity(str(own / HOST_FILE), str(own / AUTHORITY_FILE))

    @property
    def zookeeper_identity(self) -> Identity | None:
        """For dialling ZooKeeper; None: without TLS."""
        if not self.zookeeper.dialled:
            return None
        return self.identity

    @property
    def patroni_identity(self) -> Identity | None:
        """For dialling Patroni's REST interface; None: without TLS."""
        return self.identity if self.patroni.dialled else None

    @property
    def http_identity(self) -> Identity | None:
        """For dialling guards and controllers; None: without TLS."""
        return self.identity if self.http.dialled else None

    @property
    def http_served(self) -> Served | None:
        """For answering as a guard or a controller; None: without TLS."""
        return Served(self.identity, self.http.required) if self.http.served else None

    @property
    def statistics_identity(self) -> Identity | None:
        """For dialling HAProxy's statistics; None: without TLS. That port takes one way at a time,
        so there it is TLS from ``require`` on."""
        return self.identity if self.http.required else None

    @property
    def postgres_authorities(self) -> str | None:
        """For dialling PostgreSQL; None: without TLS."""
        return self.identity.authority_file if self.postgresql.dialled else None


NO_TLS = TransportSecurity()


def libpq_parameters(authorities: str | None) -> dict[str, Any]:
    """How libpq is to dial: with TLS and the address verified; where ``None``, as it likes."""
    if authorities is None:
        return {}
    return {"sslmode": "verify-full", "sslrootcert": authorities}


@dataclass(frozen=True, slots=True)
class HostNames:
    """What the certificate of one host says. ``also``: where else it answers as itself."""

    site: str
    host: str
    address: IPv4Address | IPv6Address
    also: tuple[IPv4Address | IPv6Address, ...] = ()

    @property
    def addresses(self) -> tuple[IPv4Address | IPv6Address, ...]:
        return (self.address, *self.also)
