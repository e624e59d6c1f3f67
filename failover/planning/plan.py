"""What the planner hands to the executor: one next step, or the reasons for none. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from failover.model import ClusterName, HostName, Invariant, SiteName
from failover.znode import Transaction

AUTOMATION_GATES = frozenset({"automation_auto", "automation_acts"})  # gates, step_gates


class StepName(StrEnum):
    TAKEOVER = "takeover"
    RECORD_PROMOTION = "record_promotion"
    REINSTATE = "reinstate"
    FOLLOW = "follow"
    RESTART_ZOOKEEPER = "restart_zookeeper"
    BEGIN_TAKEOVER = "begin_takeover"
    BEGIN_SWITCHOVER = "begin_switchover"
    SWITCHOVER = "switchover"
    ABANDON_SWITCHOVER = "abandon_switchover"
    REFUSE_REQUEST = "refuse_request"
    DROP_SYNCHRONOUS = "drop_synchronous"
    RECORD_SYNCHRONOUS = "record_synchronous"
    LIST_SYNCHRONOUS = "list_synchronous"
    NAME_CANDIDATE = "name_candidate"


@dataclass(frozen=True, slots=True)
class Gate:
    """One precondition. None: unknown, which holds as firmly as False (I5).

    ``cluster`` None: of the whole group. ``opens_in_s``: when it would pass if nothing changes.
    """

    name: str
    passes: bool | None
    evidence: str
    invariant: Invariant
    cluster: ClusterName | None = None
    opens_in_s: float | None = None


@dataclass(frozen=True, slots=True)
class RestartZooKeeper:
    """Run the policy's ``zookeeper_restart_command`` for this server, once."""

    server: HostName


@dataclass(frozen=True, slots=True)
class Plan:
    """One step, so concrete that executing it needs no choice."""

    step: StepName
    sentence: str
    clusters: tuple[ClusterName, ...]
    from_site: SiteName
    to_site: SiteName
    gates: tuple[Gate, ...]  # all of them passing: the evidence
    action: Transaction | RestartZooKeeper


@dataclass(frozen=True, slots=True)
class Hold:
    """A decision not to act. ``wanted`` None: there is nothing to do.

    ``gates``: every gate of the wanted step, passing or not.
    """

    sentence: str
    wanted: StepName | None
    gates: tuple[Gate, ...]

    @property
    def blocking(self) -> tuple[Gate, ...]:
        return tuple(gate for gate in self.gates if gate.passes is not True)

    @property
    def only_automation_blocks(self) -> bool:
        """The step would be made if the controller were allowed to."""
        names = {gate.name for gate in self.blocking}
        return bool(names) and names <= AUTOMATION_GATES


def passing(gates: tuple[Gate, ...]) -> bool:
    """Every one of them; unknown is not enough (I5)."""
    return all(gate.passes is True for gate in gates)


def held(wanted: StepName, gates: tuple[Gate, ...]) -> Hold:
    """The step is wanted, and these gates keep it."""
    blocking = dict.fromkeys(gate.name for gate in gates if gate.passes is not True)
    words = wanted.replace("_", " ")
    return Hold(f"{words} waits for: {', '.join(blocking)}", wanted, gates)


def reason(gate: Gate) -> str:
    """A gate that does not pass, as one line."""
    of = f"{gate.cluster}: " if gate.cluster is not None else ""
    unknown = " (unknown)" if gate.passes is None else ""
    return f"{of}{gate.name}{unknown}: {gate.evidence}"
