"""A gray failure on real parts: PostgreSQL stands still, its guard goes on holding the claim.

Every process of the primary's server is stopped (SIGSTOP), so it answers nobody; Patroni's loop
hangs in a query and keeps its key. The guard of that host is what ends the claim.
"""

from __future__ import annotations

import pytest
from drill import Customers, Roles, concluding, customers, history, state_of, wait_until, whole

from failover.clock import boottime_s
from failover.lab.lab import Lab
from failover.lab.processes import Process
from failover.lab.workload.checker import acked_by_both
from failover.state import HistoryEntry

pytestmark = pytest.mark.lab

BEGUN_LIMIT_S = 40.0  # the site has 10 s to help itself
TAKEN_LIMIT_S = 20.0  # the guard has 3 s for a fast stop, and the plan 15 s for all of it


@pytest.mark.parametrize("patroni", ["hangs", "frozen", "frozen_from_the_beginning"])
def test_one_writable_site_and_nothing_lost_in_silence(lab: Lab, patroni: str) -> None:
    """Patroni hangs with its server; or is frozen as well, once the plan stands or at once.

    Frozen from the beginning it loses its key, and the site helps itself: no plan is needed then.
    """
    roles, on_record = Roles.now(lab), len(history(lab))
    host = roles.primary.name
    with customers(lab, roles.active) as shop, concluding(lab):
        shop.wait_served()
        began_s = boottime_s()
        freeze_postgres(lab, host)
        if patroni == "frozen_from_the_beginning":
            lab.faults.stop(host, Process.PATRONI)
            wait_until("somebody else writes", lambda: moved_on(lab, roles), BEGUN_LIMIT_S)
        else:
            wait_until("the plan stands", lambda: begun(lab, on_record), BEGUN_LIMIT_S)
            if patroni == "frozen":
                lab.faults.stop(host, Process.PATRONI)
            wait_until("taken over", lambda: taken_over(lab, roles), TAKEN_LIMIT_S)
        shop.wait_served(limit_s=60.0)
        lab.faults.heal()  # Patroni is thawed, and what may be left of PostgreSQL
        state = whole(lab)
        shop.wait_served()
        told = history(lab)[on_record:]
        print("history:", *(f"{entry.event}: {entry.summary}" for entry in told), sep="\n  ")
        if state.active_site == roles.standby:
            assert not acked_by_both(shop.attempts(), new_site=state.active_site, since_s=began_s)
        nothing_lost_in_silence(lab, shop, told)
    if patroni != "frozen_from_the_beginning":
        assert (state.epoch, state.active_site) == (roles.state.epoch + 1, roles.standby)
        events = [entry.event for entry in told]
        assert events.count("takeover_begun") == events.count("takeover") == 1
        assert "killed" in taken(told).details[f"{cluster(lab)}.stopped"]


# --------------------------------------------------------------------------- what is done


def freeze_postgres(lab: Lab, host: str) -> None:
    """The postmaster first, so that nobody is forked while the others are stopped."""
    lab.faults.stop(host, Process.POSTMASTER)
    lab.faults.stop(host, Process.POSTGRES)


# --------------------------------------------------------------------------- what is seen


def cluster(lab: Lab) -> str:
    return str(lab.policy.clusters[0].name)


def begun(lab: Lab, on_record: int) -> bool:
    return any(entry.event == "takeover_begun" for entry in history(lab)[on_record:])


def taken_over(lab: Lab, roles: Roles) -> bool:
    state = state_of(lab)
    return (state.epoch, state.active_site) == (roles.state.epoch + 1, roles.standby)


def moved_on(lab: Lab, roles: Roles) -> bool:
    """In this site or the other one."""
    found = lab.writable_host()
    return found is not None and found.name != roles.primary.name


def taken(told: list[HistoryEntry]) -> HistoryEntry:
    (found,) = (entry for entry in told if entry.event == "takeover")
    return found


def nothing_lost_in_silence(lab: Lab, shop: Customers, told: list[HistoryEntry]) -> None:
    """What was acknowledged is there, or the takeover said that it would be missing."""
    report = shop.report_at(state_of(lab).active_site)
    print(f"lost {len(report.lost)}, problems {report.problems}")
    assert not report.problems
    counted = [
        int(entry.details.get(f"{cluster(lab)}.behind_bytes", "0"))
        for entry in told
        if entry.event == "takeover"
    ]
    print(f"bytes that the takeovers counted as lost: {counted}")
    if counted:
        assert not report.lost or sum(counted) > 0
