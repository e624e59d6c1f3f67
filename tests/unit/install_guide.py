"""A page of docs/operations as a list of blocks: what is run, and on which hosts."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from failover.lab.hosts import LabHost, Role, hosts_of
from failover.model import SiteKind
from failover.policy import Policy

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "operations" / "install.md"
CONTAINERS_PAGE = PAGE.with_name("containers.md")
ADMINISTRATOR = "the administrator's machine"
_BLOCK = re.compile(
    r"^```sh\n# On (?P<where>[^\n]+):\n(?P<script>.*?)^```$", re.DOTALL | re.MULTILINE
)
_FENCE = re.compile(r"^```sh$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    number: int  # from 1
    line: int  # of the page
    where: str
    script: str


def blocks(page: Path = PAGE) -> tuple[Block, ...]:
    """Every block in the order of the page. A fence that does not say where is a mistake in it."""
    text = page.read_text(encoding="utf-8")
    found = tuple(
        Block(number, text.count("\n", 0, match.start()) + 1, match["where"], match["script"])
        for number, match in enumerate(_BLOCK.finditer(text), 1)
    )
    assert len(found) == len(_FENCE.findall(text)), "a block does not begin with `# On …:`"
    return found


def hosts_named(policy: Policy, where: str) -> tuple[LabHost, ...]:
    """Whom the page means. KeyError for words that it has not used so far."""
    return _BY_WORDS[where](_Hosts(policy))


class _Hosts:
    def __init__(self, policy: Policy) -> None:
        self.all = tuple(host for host in hosts_of(policy) if host.role is not Role.CLIENT)
        self.initial = policy.initial_site
        self.other = policy.other_data_site(policy.initial_site).name
        self.witness = next(s.name for s in policy.sites if s.kind is SiteKind.WITNESS)

    def of(self, *roles: Role, at: tuple[str, ...] = ()) -> tuple[LabHost, ...]:
        return tuple(h for h in self.all if h.role in roles and (not at or h.site in at))


_BY_WORDS: dict[str, Callable[[_Hosts], tuple[LabHost, ...]]] = {
    "every host": lambda hosts: hosts.all,
    "the ZooKeeper hosts": lambda hosts: hosts.of(Role.ZOOKEEPER),
    "the witness's ZooKeeper host": lambda hosts: hosts.of(Role.ZOOKEEPER, at=(hosts.witness,)),
    "the ZooKeeper hosts of the data sites": lambda hosts: hosts.of(
        Role.ZOOKEEPER, at=(hosts.initial, hosts.other)
    ),
    "the database hosts": lambda hosts: hosts.of(Role.DATABASE),
    "every host but the proxies": lambda hosts: hosts.of(
        Role.ZOOKEEPER, Role.DATABASE, Role.CONTROLLER
    ),
    "the database hosts of the initial site": lambda hosts: hosts.of(
        Role.DATABASE, at=(hosts.initial,)
    ),
    "the database hosts of the other site": lambda hosts: hosts.of(
        Role.DATABASE, at=(hosts.other,)
    ),
    "one database host of the initial site": lambda hosts: hosts.of(
        Role.DATABASE, at=(hosts.initial,)
    )[:1],
    "one database host of the other site": lambda hosts: hosts.of(Role.DATABASE, at=(hosts.other,))[
        :1
    ],
    "the controller hosts": lambda hosts: hosts.of(Role.CONTROLLER),
    "one controller host of the initial site": lambda hosts: hosts.of(
        Role.CONTROLLER, at=(hosts.initial,)
    )[:1],
    "the proxy hosts": lambda hosts: hosts.of(Role.PROXY),
}


def packages(policy: Policy, role: Role) -> str:
    """What the page runs on hosts of this role until their packages are installed."""
    chosen = [
        block.script
        for block in blocks()
        if "apt-get install" in block.script
        and {host.role for host in hosts_named(policy, block.where)} == {role}
    ]
    return "".join(chosen)
