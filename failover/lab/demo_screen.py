"""How the demo looks: headings and facts that stay, and one moving frame while something happens.

Shows values it is given; knows nothing of the lab. Without a terminal nothing moves: only what
stays is printed. Nothing is said by colour alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from failover.lab.evidence import Evidence
from failover.planning.plan import Gate

HEALTHY = "healthy"
BAR_WIDTH = 30
MARKS = {True: ("passes", "green"), False: ("blocks", "red"), None: ("unknown", "yellow")}


@dataclass(frozen=True, slots=True)
class SiteTraffic:
    """What the customers of one site are being told."""

    site: str
    acked_per_s: float
    served_by: str | None


Show = Callable[[Evidence, Sequence[SiteTraffic]], None]


def title(site: str) -> str:
    """A site's name at the beginning of a sentence."""
    return site[:1].upper() + site[1:]


class Screen:
    def __init__(self, console: Console) -> None:
        self.console = console
        self._act = 0
        self._verdict = ""

    def heading(self, text: str) -> None:
        self._act += 1
        self.console.print()
        self.console.rule(f"[bold]{self._act}. {text}", align="left")

    def say(self, text: str) -> None:
        self.console.print(text)

    def facts(self, *rows: tuple[str, str]) -> None:
        table = Table.grid(padding=(0, 2))
        for name, value in rows:
            table.add_row(f"  {name}", Text(value, style="bold"))
        self.console.print(table)

    @contextmanager
    def waiting(self, text: str) -> Iterator[Callable[[str], None]]:
        """A line with a spinner; what is yielded replaces its text."""
        with self.console.status(text) as status:
            yield lambda words: status.update(words[: self.console.width - 4])

    @contextmanager
    def moving(self, since_s: float | None = None) -> Iterator[Show]:
        """Evidence and traffic as they change.

        A new verdict is also printed, with its time after ``since_s`` (boot time).
        """
        with Live(console=self.console, auto_refresh=False, transient=True) as live:

            def show(evidence: Evidence, traffic: Sequence[SiteTraffic]) -> None:
                self._new_verdict(evidence, since_s)
                live.update(_frame(evidence, traffic), refresh=self.console.is_terminal)

            yield show

    def _new_verdict(self, evidence: Evidence, since_s: float | None) -> None:
        if evidence.verdict.code == self._verdict:
            return
        self._verdict = evidence.verdict.code
        at = "" if since_s is None else f"+{evidence.at_s - since_s:.1f} s  "
        sentence = f": {evidence.verdict.sentence}"
        style = "green" if self._verdict == HEALTHY else "yellow"
        self.console.print(
            Text.assemble(f"  {at}verdict ", (self._verdict, f"bold {style}"), sentence)
        )


def _frame(evidence: Evidence, traffic: Sequence[SiteTraffic]) -> RenderableType:
    parts: list[RenderableType] = [Text(), _traffic(traffic), Text()]
    parts.append(Text(f"  next: {evidence.next_step.sentence}"))
    if evidence.gates:
        parts.append(_gates(evidence.gates))
    return Group(*parts)


def _traffic(traffic: Sequence[SiteTraffic]) -> Table:
    table = Table.grid(padding=(0, 2))
    for one in traffic:
        served = f"{one.acked_per_s:5.1f}/s by {title(one.served_by)}" if one.served_by else "–"
        bar = Text("█" * min(BAR_WIDTH, round(one.acked_per_s / 3)), style="green")
        told = served if one.acked_per_s else "nothing is acknowledged"
        table.add_row(f"  customers in {title(one.site)}", told, bar)
    return table


def _gates(gates: Sequence[Gate]) -> Table:
    table = Table.grid(padding=(0, 2))
    for gate in gates:
        word, style = MARKS[gate.passes]
        opens = "" if gate.opens_in_s is None else f" (opens in {gate.opens_in_s:.1f} s)"
        table.add_row(
            f"  {gate.name}", Text(word, style=style), Text(f"{gate.evidence}{opens}", style="dim")
        )
    return table
