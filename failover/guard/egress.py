"""Whether the kernel has the rules that keep packets within the declared networks.

They are loaded at boot (``failover-residency.service``), and whoever flushes the kernel's rules
(another firewall's reload) takes them away without a word; the file of them stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from failover.checks.host_report import EGRESS_OFF
from failover.guard.nftables import KernelRefused, Nftables

ENABLED = "etc/systemd/system/patroni.service.requires/failover-residency.service"
_CHAIN = "inet failover_residency egress"
# How the chain begins: what no rule of it lets out stays here.
_HOLDS = ("hook output", "policy drop")


def egress_problem(root: Path, kernel: Callable[[], Nftables]) -> str | None:
    """Why packets go wherever they like; empty where they do not. None: nobody can look."""
    if not (root / ENABLED).is_symlink():
        return EGRESS_OFF
    try:
        nft = kernel()
        found = nft.listed(f"list chain {_CHAIN}")
    except KernelRefused as refusal:
        missing = "No such file or directory" in str(refusal)
        return f"the kernel has no chain {_CHAIN}" if missing else None
    return "" if all(word in found for word in _HOLDS) else f"{_CHAIN} lets everything pass"
