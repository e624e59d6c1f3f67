"""What nobody could read is unknown in the gates of steps, and said so: never a no."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from failover.health.view import View
from failover.planning.plan import Gate
from failover.planning.step_gates import follow_gates, record_gates, reinstate_gates, restart_gates
from tests.scenarios.language import build


def follow(view: View) -> tuple[Gate, ...]:
    return follow_gates(view, view.clusters[0])


def record(view: View) -> tuple[Gate, ...]:
    return record_gates(view.clusters[0])


def reinstate(view: View) -> tuple[Gate, ...]:
    return reinstate_gates(view, view.clusters[0])


@pytest.mark.parametrize(
    ("line", "gates", "name", "said"),
    [
        (
            "marketplace-makassar has no configuration",
            follow,
            "standby_not_paused",
            "marketplace-makassar has no usable configuration",
        ),
        (
            "marketplace-makassar has no configuration",
            reinstate,
            "still_quarantined",
            "marketplace-makassar has no usable configuration",
        ),
        (
            "the claim of marketplace could not be read",
            record,
            "primary_works",
            "could not be read",
        ),
        ("makassar unplugged for 60 s", restart_gates, "standby_streams", "nobody knows"),
    ],
)
def test_what_is_not_known_is_no_no(
    line: str, gates: Callable[[View], tuple[Gate, ...]], name: str, said: str
) -> None:
    (gate,) = (gate for gate in gates(build([line]).view()) if gate.name == name)
    assert gate.passes is None
    assert said in gate.evidence


def test_what_is_known_says_yes_or_no() -> None:
    view = build([]).view()
    healthy = {gate.name: gate for gate in (*follow(view), *restart_gates(view))}
    assert healthy["standby_not_paused"].passes is True
    assert healthy["standby_streams"].passes is True
    stopped = build(["PostgreSQL on mks-db1 does not stream"]).view()
    (gate,) = (gate for gate in restart_gates(stopped) if gate.name == "standby_streams")
    assert (gate.passes, gate.evidence) == (False, "makassar does not stream")
