"""The lab's network: one bridge for all hosts, and what is cut in it.

A cut is a black hole, not a polite refusal: packets vanish in the machine's own packet filter,
so a host cannot tell a cut from a site that burned down. All cuts are replaced in one
transaction: there is no instant with half of them. Addresses of one site still reach each other,
and this machine reaches every host whatever is cut.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from dataclasses import dataclass

import docker
from docker.errors import APIError, NotFound
from docker.types import IPAMConfig, IPAMPool

from failover.lab.errors import LabError
from failover.policy import Network

NAME = "failover-lab"
LABEL = "failover.lab"
SUBNET = "10.77.0.0/16"
TABLE = "bridge failover_lab"
HELPER = "failover-lab-netfilter"


@dataclass(frozen=True, slots=True)
class Cut:
    """Packets from ``sources`` to ``targets`` vanish; with ``port``, only TCP packets to it, with
    ``from_port``, from it; with ``above_bytes_s``, only what is more than that (a slow link)."""

    sources: tuple[Network, ...]
    targets: tuple[Network, ...]
    elsewhere_sources: bool = False  # from anywhere but ``sources``
    elsewhere_targets: bool = False  # to anywhere but ``targets``
    port: int | None = None
    from_port: int | None = None
    above_bytes_s: int | None = None


def unplugged(inside: tuple[Network, ...]) -> tuple[Cut, ...]:
    """Nothing leaves these addresses and nothing gets in; among themselves all is as before."""
    return (
        Cut(inside, inside, elsewhere_targets=True),
        Cut(inside, inside, elsewhere_sources=True),
    )


def script(cuts: tuple[Cut, ...]) -> str:
    """The whole table as one nft transaction; none is left where nothing is cut."""
    head = f"add table {TABLE}\ndelete table {TABLE}\n"
    if not cuts:
        return head
    rules = "".join(f"    {_rule(cut)}\n" for cut in cuts)
    hook = "type filter hook forward priority 0; policy accept;"
    return f"{head}table {TABLE} {{\n  chain cuts {{\n    {hook}\n{rules}  }}\n}}\n"


def _rule(cut: Cut) -> str:
    # No address resolution is cut: a lost site is behind a router, and what is sent to it leaves.
    source = f"ip saddr {'!= ' * cut.elsewhere_sources}{_set(cut.sources)}"
    target = f"ip daddr {'!= ' * cut.elsewhere_targets}{_set(cut.targets)}"
    port = f" tcp dport {cut.port}" if cut.port is not None else ""
    from_port = f" tcp sport {cut.from_port}" if cut.from_port is not None else ""
    limit = "" if cut.above_bytes_s is None else _above(cut.above_bytes_s)
    return f"{source} {target}{port}{from_port}{limit} counter drop"


def _above(bytes_s: int) -> str:
    """A tenth of a second of it at once, and no less than a few packets."""
    burst = max(bytes_s // 10, 16 * 1500)
    return f" limit rate over {bytes_s} bytes/second burst {burst} bytes"


def _set(networks: tuple[Network, ...]) -> str:
    return "{ " + ", ".join(str(network) for network in networks) + " }"


class LabNetwork:
    """The bridge and the packet filter of this machine."""

    def __init__(self, client: docker.DockerClient, image: str) -> None:
        self._client = client
        self._image = image

    def create(self) -> None:
        """The bridge. LabError when its addresses are taken."""
        pool = IPAMConfig(pool_configs=[IPAMPool(subnet=SUBNET)])
        try:
            self._client.networks.create(
                NAME, driver="bridge", internal=True, ipam=pool, labels={LABEL: "1"}
            )
        except APIError as error:
            raise LabError(
                f"the network {SUBNET} cannot be made: {error.explanation or error}",
                todo="something else uses these addresses: `docker network ls`, `ip route`",
            ) from None

    def remove(self) -> None:
        """The bridge and every cut. Nothing happens where there is none."""
        self.apply(())
        for network in self._client.networks.list(filters={"label": LABEL}):
            network.remove()
        with contextlib.suppress(NotFound):
            self._client.containers.get(HELPER).remove(force=True)

    def apply(self, cuts: tuple[Cut, ...]) -> None:
        """Exactly these cuts from now on. LabError when the packet filter refuses."""
        text = script(cuts)
        if os.geteuid() == 0 and shutil.which("nft"):
            ended = subprocess.run(
                ["nft", "-f", "-"], input=text, capture_output=True, text=True, check=False
            )
            code, out = ended.returncode, ended.stdout + ended.stderr
        elif not cuts and not self._helper_exists():
            return  # no helper, so nothing was ever cut
        else:
            code, out = self._in_helper(text)
        if code != 0:
            raise LabError("the packet filter refuses the cuts", log=f"{out}\n{text}")

    def _helper_exists(self) -> bool:
        return bool(self._client.containers.list(filters={"name": HELPER}))

    def _in_helper(self, text: str) -> tuple[int, str]:
        """Without root here: the same from a container in this machine's network namespace."""
        if not self._helper_exists():
            self._client.containers.run(
                self._image,
                ["sleep", "infinity"],
                name=HELPER,
                detach=True,
                network_mode="host",
                cap_add=["NET_ADMIN"],
                labels={LABEL: "1"},
            )
        helper = self._client.containers.get(HELPER)
        ended = helper.exec_run(["sh", "-c", 'printf %s "$0" | nft -f -', text])
        return ended.exit_code, ended.output.decode(errors="replace")
