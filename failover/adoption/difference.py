"""One difference between a pair and this design, and what the design is for it. Pure.

Invariant: a difference says what is, what is needed, why, what putting it right costs and how.
"""

from __future__ import annotations

from dataclasses import dataclass

from failover.adoption.needs import Effect, When
from failover.checks.found import Expected
from failover.model import ClusterName, SiteName
from failover.policy import Cluster, Policy

UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Difference:
    """``where``: a scope, a host, or the ensemble. ``patch``: KEY=VALUE of Patroni's dynamic
    configuration; ``do``: whatever else, a line each."""

    where: str
    key: str
    found: str
    wanted: str
    when: When
    effect: Effect
    why: str
    doc: str
    patch: tuple[str, ...] = ()
    do: tuple[str, ...] = ()

    @property
    def blocks(self) -> bool:
        return self.when is When.ARM


@dataclass(frozen=True, slots=True)
class Wanted:
    """What follows from failover.yaml, for one cluster of it."""

    policy: Policy
    cluster: Cluster
    expected: Expected

    @classmethod
    def of(cls, policy: Policy, expected: Expected, name: ClusterName) -> Wanted:
        return cls(policy, policy.cluster(name), expected)

    @property
    def sites(self) -> tuple[SiteName, SiteName]:
        """Of the primary, and of the standby cluster."""
        active = self.policy.initial_site
        return active, self.policy.other_data_site(active).name
