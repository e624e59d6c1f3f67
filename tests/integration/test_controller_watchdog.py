"""systemd hears of every turn of a controller, and starts one anew whose turns hang."""

from __future__ import annotations

import pytest
from drill import wait_until, whole

from failover.lab.lab import Lab

pytestmark = pytest.mark.lab

HOST = "sby-ctl1"
WATCHDOG_S = 60.0


def shown(lab: Lab, *names: str) -> list[str]:
    """Of the controller's unit, in the order in which it was asked."""
    ask = " ".join(f"-P {name}" for name in names)
    return lab.shell(HOST, f"systemctl show {ask} failover-controller").split()


def heard_at(lab: Lab) -> int:
    return int(shown(lab, "WatchdogTimestampMonotonic")[0])


def test_systemd_hears_of_a_controller_again_and_again(lab: Lab) -> None:
    assert shown(lab, "WatchdogUSec") == ["1min"]
    for _ in range(3):
        before = heard_at(lab)
        wait_until("a turn has ended", lambda before=before: heard_at(lab) > before)


@pytest.mark.full
@pytest.mark.slow
def test_a_controller_that_hangs_is_started_anew(lab: Lab) -> None:
    """A minute and a half, of which one is the watchdog's."""
    whole(lab)
    (pid,) = shown(lab, "MainPID")
    lab.shell(HOST, f"kill -STOP {pid}")
    wait_until("another runs", lambda: shown(lab, "MainPID")[0] not in ("0", pid), 2 * WATCHDOG_S)
    log = lab.shell(HOST, "journalctl -u failover-controller -o cat --no-pager -n 400")
    assert "Watchdog timeout" in log
    assert "most recent call first" in log  # the stacks of its threads
    whole(lab)
