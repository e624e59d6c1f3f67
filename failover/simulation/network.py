"""Who reaches whom: hosts, sites, cuts in one direction.

A message is there at once or never (a black hole, not a refusal). Delay is what a process sleeps
before and after a request. Addresses inside one site still talk to one another when it is isolated.
"""

from __future__ import annotations

from collections.abc import Callable

from failover.simulation.kernel import Kernel, Process

LOCAL_DELAY_S = 0.0005
SITE_DELAY_S = 0.010  # one way between any two sites


class Host:
    """One machine: powered or not, frozen or not. Its clock goes on while it is frozen.

    ``answers``: whether anything on it can answer now. Kept rather than worked out: it is asked
    15,000 times in a schedule, and changes a few times.
    """

    def __init__(self, name: str, site: str, changed: Callable[[], None]) -> None:
        self.changed = changed
        self.name = name
        self.site = site
        self.up = True
        self.frozen = False
        self.answers = True
        self.boot_id = 1
        self.processes: list[Process] = []

    def adopt(self, process: Process) -> Process:
        """The process lives on this host: it is frozen, thawed and killed with it."""
        self.processes = [p for p in self.processes if p.alive]
        self.processes.append(process)
        if self.frozen:
            process.freeze("host")
        return process

    def freeze(self) -> None:
        self.frozen, self.answers = True, False
        for process in self.processes:
            process.freeze("host")
        self.changed()

    def thaw(self) -> None:
        self.frozen, self.answers = False, self.up
        for process in self.processes:
            process.thaw("host")
        self.changed()

    def kill(self) -> None:
        """Power is cut."""
        self.up = self.frozen = self.answers = False
        processes, self.processes = self.processes, []
        for process in processes:
            process.kill()
        self.changed()

    def boot(self) -> None:
        self.up, self.answers = True, not self.frozen
        self.boot_id += 1
        self.changed()


class Network:
    """All hosts and every cut between them."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.hosts: dict[str, Host] = {}
        self.watchers: list[Callable[[], None]] = []  # called after every change
        self.site_cuts: set[tuple[str, str]] = set()  # (from, to)
        self.host_cuts: set[tuple[str, str]] = set()

    def add(self, name: str, site: str) -> Host:
        host = Host(name, site, self.changed)
        self.hosts[name] = host
        return host

    def changed(self) -> None:
        for watcher in self.watchers:
            watcher()

    @property
    def sites(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(host.site for host in self.hosts.values()))

    def passes(self, source: Host, target: Host) -> bool:
        """Whether a message sent now arrives (the target may still be down or frozen)."""
        if source is target or not (self.site_cuts or self.host_cuts):
            return True
        if source.site != target.site and (source.site, target.site) in self.site_cuts:
            return False
        return not self.host_cuts or (source.name, target.name) not in self.host_cuts

    def talks(self, one: Host, other: Host) -> bool:
        """Whether a request and its answer pass now, and the other side can answer."""
        if not other.answers:
            return False
        cut = self.site_cuts or self.host_cuts
        return not cut or (self.passes(one, other) and self.passes(other, one))

    def delay_s(self, one: Host, other: Host) -> float:
        """One way."""
        return LOCAL_DELAY_S if one.site == other.site else SITE_DELAY_S

    def cut(self, *pairs: tuple[str, str]) -> None:
        """Directions of links between sites: (from, to)."""
        self.site_cuts.update(pairs)
        self.changed()

    def cut_link(self, one: str, other: str) -> None:
        self.cut((one, other), (other, one))

    def isolate(self, site: str, *, inbound: bool = True, outbound: bool = True) -> None:
        """Unplug a site: nothing in, nothing out, or only one of the two."""
        others = [other for other in self.sites if other != site]
        out = [(site, other) for other in others if outbound]
        self.cut(*out, *((other, site) for other in others if inbound))

    def isolate_host(self, name: str) -> None:
        for other in self.hosts:
            if other != name:
                self.host_cuts |= {(name, other), (other, name)}
        self.changed()

    def heal(self) -> None:
        self.site_cuts.clear()
        self.host_cuts.clear()
        self.changed()

    def heal_link(self, one: str, other: str) -> None:
        self.site_cuts -= {(one, other), (other, one)}
        self.changed()

    def rejoin(self, site: str) -> None:
        self.site_cuts = {pair for pair in self.site_cuts if site not in pair}
        self.changed()

    def heal_host(self, name: str) -> None:
        self.host_cuts = {pair for pair in self.host_cuts if name not in pair}
        self.changed()
