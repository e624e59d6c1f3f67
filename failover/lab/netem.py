"""The delay of the sea, where this machine's kernel can do it; every result says whether it was.

Only what leaves a site for another one is delayed, on its way out of each host.
"""

from __future__ import annotations

from failover.lab.containers import Containers, in_parallel
from failover.lab.hosts import LabHost
from failover.policy import Policy

ONE_WAY_MS = 12  # 1,400 km of fibre and its equipment, there: about 24 ms there and back


def apply(policy: Policy, containers: Containers, hosts: tuple[LabHost, ...]) -> bool:
    """Delay what crosses the sites' borders. False, and nothing done, where it is not possible."""
    probe = "tc qdisc add dev lo root netem delay 1ms && tc qdisc del dev lo root"
    if containers.exec(hosts[0].name, ["sh", "-c", probe]).code != 0:
        return False
    ended = in_parallel(
        lambda host: containers.exec(host.name, ["sh", "-ec", _script(policy, host)]).code, hosts
    )
    return all(code == 0 for code in ended)


def _script(policy: Policy, host: LabHost) -> str:
    elsewhere = [net for site in policy.sites if site.name != host.site for net in site.networks]
    filters = "".join(
        f"tc filter add dev eth0 parent 1: protocol ip u32 match ip dst {network} flowid 1:3\n"
        for network in elsewhere
    )
    everything_else = " ".join(["1"] * 16)
    return (
        f"tc qdisc add dev eth0 root handle 1: prio bands 3 priomap {everything_else}\n"
        f"tc qdisc add dev eth0 parent 1:3 handle 30: netem delay {ONE_WAY_MS}ms\n{filters}"
    )
