"""The acknowledgement barrier, as words for the kernel: who may answer clients now.

The table ``failover-<cluster>`` (nftables) drops what leaves a client port unless its chain
``door`` accepts it. The door has three forms: shut (empty), free (whatever is answered is a read
of a standby, or there is no guard yet), leased (accepted only while one named *generation* is in
the set ``lease``). A generation stands for one renewal: it is put into the set, with the lease's
whole time, *before* that renewal is sent, and the kernel takes it out again. So the time is
counted by the kernel and from before the request: a guard that was frozen anywhere in between and
names the generation late names one that has run out, which opens nothing.

Invariant: what is leased is shut no later than ``Guard.deadline_s`` of the grant, whoever is
frozen. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from failover.guard.logic import Guard, InPlace, ServerSeen, StartMode
from failover.model import ClusterName

# The kernel counts in jiffies (4 ms and more) and may round up.
JIFFIES_S = 0.02


class Form(StrEnum):
    SHUT = "shut"
    FREE = "free"
    LEASED = "leased"


@dataclass(frozen=True, slots=True)
class Door:
    """What the kernel is to do. ``generation``: of the renewal that the deadline counts from."""

    form: Form
    generation: int | None = None


SHUT, FREE = Door(Form.SHUT), Door(Form.FREE)


def generation(sent_s: float) -> int:
    """The name of the renewal sent at ``sent_s`` (boot time): 32 bits, anew after 49 days."""
    return int(sent_s * 1000) & 0xFFFFFFFF


def wanted(guard: Guard, server: ServerSeen, before: Door | None) -> Door | None:
    """The door for what was just judged; ``before``: the one that was wanted last, None: none yet.

    A running primary that is being asked about in place keeps what it has: an unarmed one has
    served all the while, and a guard that starts finds the door as its predecessor left it. A
    standby that ran when this was armed goes on serving reads, and its own standbys, until its next
    start, which passes the barrier.
    """
    if guard.grant is not None:
        leased = guard.renewals
        if leased is None or leased.session_id != guard.grant.session_id:
            return SHUT
        if leased.base_sent_s is None or guard.killing is not None:
            return SHUT
        return Door(Form.LEASED, generation(leased.base_sent_s))
    if not guard.armed:
        return FREE
    if not server.alive:
        return SHUT
    if server.in_production:
        if guard.arming and before is not None and before.form is Form.LEASED:
            before = FREE  # of a grant that came too late; it served before it was asked
        return before if guard.in_place is not InPlace.OVER else SHUT
    reads_only = server.note is not None and server.note.mode is StartMode.STANDBY
    reads_only = reads_only or (server.around is not None and server.around == guard.adopted)
    return FREE if reads_only else SHUT


@dataclass(frozen=True, slots=True)
class Barrier:
    """The table of one cluster's guard. ``ports``: every one on which its clients are answered,
    a pooler's on this host too, because what goes over loopback is not looked at."""

    cluster: ClusterName
    ports: tuple[int, ...]

    @property
    def table(self) -> str:
        return f"inet failover-{self.cluster}"

    def definition(self) -> str:
        """Made new or made sure of; the elements of ``lease`` and the door stay as they are.

        RST passes: it carries no data, and clients of a server that is gone hear of it at once.
        """
        output = f"{self.table} output"
        return "\n".join(
            (
                f"add table {self.table}",
                f"add set {self.table} lease {{ type inet_service . mark; flags timeout; }}",
                f"add chain {self.table} door",
                f"add counter {self.table} unanswered",
                f"add chain {output} {{ type filter hook output priority filter; policy accept; }}",
                self.sieve(),
            )
        )

    def sieve(self) -> str:
        """What comes to the door, in place of what is there: `nft flush table` leaves the chains,
        and so a barrier without rules that refuses nothing and complains of nothing.

        "Not from these ports" is true of TCP only: names, time and IPv6's neighbours go by UDP and
        ICMP.
        """
        output = f"{self.table} output"
        ports = ", ".join(str(port) for port in self.ports)
        return "\n".join(
            (
                f"flush chain {output}",
                f'add rule {output} oifname "lo" accept',
                f"add rule {output} meta l4proto != tcp accept",
                f"add rule {output} tcp sport != {{ {ports} }} accept",
                f"add rule {output} tcp flags & rst == rst accept",
                f"add rule {output} jump door",
                f"add rule {output} counter name unanswered drop",
            )
        )

    def anew(self) -> str:
        """In place of what somebody removed or changed: no lease is known until the next one."""
        table = self.table
        return f"add table {table}\ndelete table {table}\n{self.definition()}"

    def announced(self, sent_s: float, left_s: float) -> str:
        """To be done before the renewal of ``sent_s`` is sent. ``left_s``: until its deadline."""
        time_ms = int((left_s - JIFFIES_S) * 1000)
        elements = self._each(f". {generation(sent_s)} timeout {time_ms}ms")
        return f"add element {self.table} lease {{ {elements} }}"

    def as_wanted(self, door: Door) -> str:
        """One transaction: the old form is in force until the new one is."""
        shut = f"flush chain {self.table} door"
        if door.form is Form.SHUT:
            return shut
        which = "" if door.form is Form.FREE else f"tcp sport . {door.generation} @lease "
        return f"{shut}\nadd rule {self.table} door {which}accept"

    def connections(self) -> tuple[str, ...]:
        """What ``ss`` takes for all that is connected to these ports."""
        return tuple(" or ".join(f"sport = :{port}" for port in self.ports).split())

    def _each(self, rest: str) -> str:
        return ", ".join(f"{port} {rest}" for port in self.ports)
