"""What faults in two acts are made of: when the next act comes, and who is lost in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from failover.model import SiteName
from failover.simulation.faults import Undo, power_off
from failover.simulation.world import World

LOOK_S = 0.05


class Acts:
    """What is still to come. Undone, nothing more happens."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._over = False

    def end(self) -> None:
        self._over = True

    def after(self, delay_s: float, act: Callable[[], None]) -> None:
        """Then, unless it has been undone."""
        self._world.kernel.after(delay_s, lambda: None if self._over else act())

    def when(self, so: Callable[[], bool], act: Callable[[], None]) -> None:
        """As soon as it is so, once."""

        def look() -> None:
            if so():
                act()
            else:
                self.after(LOOK_S, look)

        self.after(LOOK_S, look)


def standby_site(world: World) -> SiteName:
    return world.policy.other_data_site(world.state.active_site).name


def lose(world: World, site: str, *, by_power: bool) -> Undo:
    """The database hosts of a site, by their power, or the whole of it, by its links."""
    if not by_power:
        world.network.isolate(site)
        return lambda: world.network.rejoin(site)
    return power_off(world, [stack.host.name for stack in world.at(site) if stack.host.up])


def together(undos: Iterable[Undo]) -> None:
    for undo in undos:
        undo()
