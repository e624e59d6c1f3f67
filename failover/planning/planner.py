"""verdict → the one next step, or a hold with its reasons. Pure."""

from __future__ import annotations

from failover.health.verdict import Verdict
from failover.health.view import View
from failover.planning.plan import Hold, Plan


def plan(view: View, verdict: Verdict) -> Plan | Hold:
    """The next step from here, planned from scratch. Unknown holds."""
    raise NotImplementedError(view, verdict)
