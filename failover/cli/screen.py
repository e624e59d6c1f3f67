"""``--watch`` on a terminal: the newest picture, how old it is, and whether some of it has no room.

Invariant: an old picture is never shown as if it were now, and what does not fit is told, not left
out. Colours are the picture's; what is said here is said in words.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.text import Text

STALE_AFTER_S = 3.0  # a look is taken every second
REFRESHES_A_SECOND = 2


class Screen:
    """The whole terminal: a line about the picture, and as much of the picture as has room."""

    def __init__(
        self,
        title: str,
        clock_s: Callable[[], float] = time.monotonic,
        wall: Callable[[], str] = lambda: time.strftime("%H:%M:%S"),
    ) -> None:
        self._title = title
        self._clock_s = clock_s
        self._wall = wall
        self._picture: RenderableType = Text("looking …")
        self._shown_s = clock_s()
        self._shown_at = wall()

    def show(self, picture: RenderableType) -> None:
        """This is how it is now."""
        self._picture = picture
        self._shown_s, self._shown_at = self._clock_s(), self._wall()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = max(1, (options.height or options.max_height) - 2)
        lines = console.render_lines(self._picture, options.update(height=None), pad=False)
        yield self._head()
        if len(lines) <= room:
            yield Text()
        else:
            hidden = len(lines) - room
            words = f"{hidden} more lines below: a taller terminal shows them"
            yield Text(words, style="reverse")
        for line in lines[:room]:
            yield from line
            yield Segment.line()

    def _head(self) -> Text:
        age_s = self._clock_s() - self._shown_s
        if age_s > STALE_AFTER_S:
            words = f"STALE: nothing new for {age_s:.0f} s, this is as of {self._shown_at}"
            return Text.assemble(f"{self._title}  ", (words, "bold reverse"))
        return Text(f"{self._title}  {self._shown_at}, every second; Ctrl-C ends")


def watch_in_place(console: Console, title: str, pictures: Iterator[RenderableType]) -> None:
    """One picture after the other, in place, until there is none any more or Ctrl-C."""
    screen = Screen(title)
    with Live(
        get_renderable=lambda: screen,
        console=console,
        screen=True,
        refresh_per_second=REFRESHES_A_SECOND,
    ) as live:
        for picture in pictures:
            screen.show(picture)
            live.refresh()
