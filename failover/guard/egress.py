"""Whether the kernel has the rules that keep packets within the declared networks.

They are loaded at boot (``failover-residency.service``), and whoever flushes the kernel's rules
(another firewall's reload) takes them away without a word; the file of them stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from failover.guard.nftables import KernelRefused, Nftables

FILE = "etc/failover/residency.nft"
_CHAIN = "inet failover_residency egress"
# How the chain begins: what no rule of it lets out stays here.
_HOLDS = ("hook output", "policy drop")


def egress_problem(root: Path, kernel: Callable[[], Nftables]) -> str | None:
    """Why packets go wherever they like; empty where they do not. None: this host is to have no
    such rules, or nobody can look."""
    if not (root / FILE).exists():
        return None
    try:
        nft = kernel()
        found = nft.listed(f"list chain {_CHAIN}")
    except KernelRefused as refusal:
        missing = "No such file or directory" in str(refusal)
        return f"the kernel has no chain {_CHAIN}" if missing else None
    return "" if all(word in found for word in _HOLDS) else f"{_CHAIN} lets everything pass"
