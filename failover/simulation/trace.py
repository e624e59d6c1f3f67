"""``python -m failover.simulation.trace --schedules 300``: all that happened, in digests.

For whoever makes the simulation faster: before and after must be the same, byte for byte.

A line per seed and protection mode: the transcript, what was covered, how it ended, every committed
transaction (observations with all that is in them) with its session and time, every turn of every
controller with verdict, evidence and decision, every acknowledgement, and where chance stands at
the end. Nothing of it depends on the order of hashes: PYTHONHASHSEED and interpreter may differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import click

from failover.controller import TickResult
from failover.model import ProtectionMode, SiteName
from failover.simulation.memory import told
from failover.simulation.quick import make_values_quickly
from failover.simulation.schedule import run_schedule
from failover.simulation.world import World
from failover.znode import Transaction


class Trace:
    """Of one schedule; ``begin`` is told of its world."""

    def __init__(self) -> None:
        self._commits = hashlib.sha256()
        self._turns = hashlib.sha256()
        self._world: World | None = None

    def begin(self, world: World) -> None:
        self._world = world
        for path, node in sorted(world.ensemble.tree.items()):
            before = (path, node.znode, sorted(node.children), node.changes)
            self._commits.update(repr(before).encode())
        world.ensemble.on_commit.insert(0, self._committed)
        for site, controller in world.controllers.items():
            controller.on_turn = self._turn_of(site, controller.on_turn)

    def _committed(self, transaction: Transaction, session_id: int) -> None:
        assert self._world is not None
        ops = [told(op) for op in transaction]
        self._commits.update(repr((self._world.kernel.now, session_id, ops)).encode())

    def _turn_of(
        self, site: SiteName, before: Callable[[TickResult], None]
    ) -> Callable[[TickResult], None]:
        def turn(result: TickResult) -> None:
            assert self._world is not None
            now_s = self._world.kernel.now
            what = (result.verdict, result.decision, result.execution, result.leading)
            self._turns.update(repr((now_s, site, what)).encode())
            before(result)

        return turn

    def digests(self) -> str:
        world = self._world
        assert world is not None
        acks = [
            (ack.host, ack.run_id, ack.at_s, ack.position.lsn, ack.position.branch.number)
            for cluster in world.policy.clusters
            for ack in world.acknowledgements(cluster.name)
        ]
        chance = world.kernel.random.getstate()
        commits, turns = self._commits.hexdigest()[:16], self._turns.hexdigest()[:16]
        return f"commits={commits} turns={turns} acks={_digest(acks)} chance={_digest(chance)}"


def traced(seed: int, steps: int, mode: ProtectionMode) -> str:
    """One line."""
    trace = Trace()
    result = run_schedule(seed, steps, mode, log=True, begun=trace.begin)
    ended = (result.failure, result.virtual_s, result.takeovers, result.lost_writes)
    return (
        f"{seed} {mode} events={result.events} healed={result.healed_after_s!r} "
        f"log={_digest(result.log)} coverage={_digest(result.coverage)} ended={_digest(ended)} "
        f"{trace.digests()}"
    )


def _digest(what: object) -> str:
    return hashlib.sha256(repr(what).encode()).hexdigest()[:16]


@click.command()
@click.option("--seed", type=int, default=1, show_default=True, help="The first one.")
@click.option("--schedules", type=int, default=300, show_default=True, help="Seeds, each mode.")
@click.option("--steps", type=int, default=200, show_default=True, help="Per schedule.")
def main(seed: int, schedules: int, steps: int) -> None:
    """Run every seed in every protection mode, and print a line for each."""
    make_values_quickly()
    for each in range(seed, seed + schedules):
        for mode in ProtectionMode:
            click.echo(traced(each, steps, mode))


if __name__ == "__main__":
    main()
