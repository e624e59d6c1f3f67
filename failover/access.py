"""Who may do what in ZooKeeper: the positions of the switch, the roles, how a key is named. Pure.

Every process shows ZooKeeper the key of its role; ZooKeeper itself compares it with the access list
of each znode. From an open tree to a closed one it goes in steps that can be taken host by host
(decision 0019).
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from enum import IntFlag, StrEnum

from failover.model import ScopeName

KEYS_DIRECTORY = "/etc/failover/secrets"
IDS_FILE = "zookeeper.ids"  # of every role, not secret: what access lists name
KEY_FILES = "zookeeper-{}.key"


class Access(StrEnum):
    OFF = "off"
    USE = "use"  # every process shows its key; what it makes stays open
    REQUIRE = "require"  # what is made is closed to whoever has no business there

    @property
    def shown(self) -> bool:
        """Processes show a key."""
        return self is not Access.OFF

    @property
    def closed(self) -> bool:
        return self is Access.REQUIRE


class Role(StrEnum):
    """Whose key it is. Patroni's is one per scope, all others one per group."""

    ADMIN = "admin"  # changes access lists; on no host
    CONTROLLER = "controller"
    GUARD = "guard"
    PATRONI = "patroni"
    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"


PEOPLE = (Role.VIEWER, Role.OPERATOR, Role.APPROVER, Role.ADMIN)


class May(IntFlag):
    """What an access list allows, in ZooKeeper's numbers. Creating and deleting are about the
    children: a znode is made and deleted by permission of its parent."""

    READ = 1
    WRITE = 2
    CREATE = 4
    DELETE = 8
    ADMIN = 16


@dataclass(frozen=True, slots=True)
class ZooKeeperAccess:
    """The switch, and where a host has its keys."""

    position: Access = Access.OFF
    directory: str = KEYS_DIRECTORY


OPEN = ZooKeeperAccess()


def patroni_of(scope: ScopeName) -> str:
    """The name of the key of one scope."""
    return f"{Role.PATRONI}.{scope}"


def key_file(name: str) -> str:
    """The file that has the key of this name."""
    return KEY_FILES.format(name)


def identifier(credential: str) -> str:
    """What an access list says of ``name:secret``: the name, and a digest that is no secret.

    ZooKeeper's digest scheme (DigestAuthenticationProvider). A secret of 24 random bytes is not
    found from its SHA-1.
    """
    digest = hashlib.sha1(credential.encode(), usedforsecurity=False).digest()
    name = credential.partition(":")[0]
    return f"{name}:{base64.b64encode(digest).decode()}"
