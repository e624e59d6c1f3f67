"""When a pair may be armed, and when it is (failover/adoption/arming.py)."""

from __future__ import annotations

from dataclasses import replace

from failover.adoption import arming
from failover.checks.table import NAMES
from failover.health.view import View, build_view
from failover.model import Automation, SiteName
from failover.state import StandbyScope
from tests.scenarios.language import build

MAKASSAR = SiteName("makassar")


def seen(*changes: str) -> View:
    world = build(list(changes))
    return build_view(world.policy, world.inputs())


def test_every_check_that_it_waits_for_is_there() -> None:
    assert set(arming.CHECKS) <= set(NAMES)


def test_a_healthy_pair_may_be_armed() -> None:
    no_slot = "marketplace: no slot failover_makassar in the scope of jakarta"
    assert arming.against_arming(seen()) == (no_slot,)  # this world's scopes say nothing of slots
    assert arming.active_site(seen()) == "jakarta"
    assert arming.not_yet(seen()) == ()


def test_what_speaks_against_it() -> None:
    sites = ("jakarta", "makassar", "surabaya")
    blind = seen(*(f"observer {site} has published nothing" for site in sites))
    assert arming.against_arming(blind) == ("no controller lives: nobody sees the hosts",)
    silent = arming.against_arming(seen("the guard on mks-db2 is silent"))
    assert "mks-db2: its guard gives no answer" in silent
    two = arming.against_arming(seen("PostgreSQL on mks-db1 is a working primary"))
    assert "marketplace: a server out of recovery in makassar" in two


def test_a_group_whose_primary_has_no_claim_is_not_armed_yet() -> None:
    assert "marketplace: its primary holds no claim" in arming.not_yet(seen("no claim for 5 s"))


def test_disarmed_it_is_when_claims_and_guards_are_gone() -> None:
    assert "marketplace: its claim is held" in arming.still_armed(seen())


def test_a_new_arrangement_forgets_what_was_before() -> None:
    state = seen().state
    assert state is not None
    after = arming.armed(arming.disarmed(state), MAKASSAR, 5.0)
    assert (after.armed, after.epoch, after.active_site) == (True, state.epoch + 1, MAKASSAR)
    assert after.automation is Automation.OBSERVE
    (cluster,) = after.clusters.values()
    assert (cluster.promoted, cluster.standby) == (True, StandbyScope.FOLLOWING)
    assert replace(arming.disarmed(state), armed=True, automation=state.automation) == state
