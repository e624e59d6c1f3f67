"""Changes of where data may go: what scanners find, and records edited by hand."""

from __future__ import annotations

from dataclasses import replace

from failover.model import ClusterName, HostName, SiteName
from failover.residency.findings import Finding
from failover.state import PlanKind, PlanRecord
from tests.scenarios.changes import change
from tests.scenarios.world import NOW_UNIX_S, World


@change("the scanner finds <w> on <w>: (.+)")
def _found(world: World, way: str, host: str, subject: str) -> None:
    world.findings.append(Finding(way, HostName(host), subject, "role replicator"))


@change("by hand the state says that <w> has everything")
def _have_outside(world: World, host: str) -> None:
    assert world.state is not None
    name = ClusterName("marketplace")
    recorded = world.state.clusters[name]
    world.state = world.state.with_cluster(
        name, replace(recorded, have=(*recorded.have, HostName(host)))
    )


@change("by hand the state names <w> as the active site")
def _active_outside(world: World, site: str) -> None:
    assert world.state is not None
    world.state = replace(world.state, active_site=SiteName(site))


@change("by hand the state has a plan from <w> to <w>")
def _plan_outside(world: World, from_site: str, to_site: str) -> None:
    assert world.state is not None
    plan = PlanRecord(
        id="by-hand",
        kind=PlanKind.SWITCHOVER,
        from_site=SiteName(from_site),
        to_site=SiteName(to_site),
        deadline_unix_s=NOW_UNIX_S + 10,
        requested_by="vi",
    )
    world.state = replace(world.state, plan=plan)
