"""A group on which nobody writes is as well protected as a busy one."""

from __future__ import annotations

import pytest
from drill import Roles, segment_is_whole, state_of, wait_until, whole

from failover.lab.lab import Lab
from failover.lab.processes import Process

pytestmark = pytest.mark.lab

HEARTBEATS_S = 30.0
TAKEOVER_LIMIT_S = 40.0


def test_an_idle_group_is_taken_over_after_its_standby_was_restarted(lab: Lab) -> None:
    """A restarted standby says nothing of what it has received before something new comes."""
    roles = Roles.now(lab)
    lab.faults.kill(roles.standby_leader.name, Process.POSTMASTER)
    whole(lab)
    after = Roles.now(lab)
    wait_until(
        "it says that it has its segment",
        lambda: segment_is_whole(lab, after.standby_leader, after.primary),
        HEARTBEATS_S,
    )
    lab.faults.unplug(after.active)
    wait_until(
        "the other site is active",
        lambda: state_of(lab).active_site == after.standby,
        TAKEOVER_LIMIT_S,
    )
    lab.faults.heal()
    state = whole(lab)
    assert (state.epoch, state.active_site) == (after.state.epoch + 1, after.standby)
