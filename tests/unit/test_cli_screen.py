"""--watch on a terminal: the picture, its age, and what has no room. And the pictures in docs/.

REWRITE_GOLDEN=1 takes the pictures of the documentation anew.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_world import POLICY, healthy, jakarta_gone
from rich.console import Console, RenderableType
from rich.text import Text
from test_cli_status import LOST, WELL

from failover.cli import output
from failover.cli.exit_codes import ExitCode
from failover.cli.screen import Screen, watch_in_place
from failover.cli.snapshot import status_tree
from failover.cli.tree import as_rich
from failover.health.inputs import ViewInputs
from failover.health.verdict import Verdict
from failover.health.view import build_view

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def screen(clock: Clock | None = None) -> Screen:
    return Screen("failover status", clock or Clock(), lambda: "12:03:05")


def status(inputs: ViewInputs, verdict: Verdict) -> RenderableType:
    return as_rich(status_tree(build_view(POLICY, inputs), verdict))


def terminal(height: int, **options: object) -> Console:
    return Console(
        file=io.StringIO(),
        force_terminal=True,
        width=90,
        height=height,
        highlight=False,
        legacy_windows=False,
        **options,  # type: ignore[arg-type]
    )


def lines_of(shown: Screen, height: int = 40) -> list[str]:
    console = terminal(height, no_color=True, color_system=None)
    with console.capture() as capture:
        console.print(shown, end="")
    return capture.get().splitlines()


def test_the_whole_picture_where_there_is_room() -> None:
    shown = screen()
    shown.show(status(healthy(), WELL))
    lines = lines_of(shown)
    assert lines[0] == "failover status  12:03:05, every second; Ctrl-C ends"
    assert lines[1] == ""
    assert lines[2].startswith("group marketplace")
    assert lines[-1].endswith("observer: alive, 0.4 s ago")


def test_what_has_no_room_is_told() -> None:
    shown = screen()
    shown.show(Text("\n".join(f"line {n}" for n in range(30))))
    lines = lines_of(shown, height=24)
    assert len(lines) == 24
    assert lines[1] == "8 more lines below: a taller terminal shows them"
    assert lines[-1] == "line 21"


def test_an_old_picture_says_so() -> None:
    clock = Clock()
    shown = screen(clock)
    shown.show(Text("all is well"))
    clock.now_s += 2.9
    assert "STALE" not in lines_of(shown)[0]
    clock.now_s += 4.1
    assert (
        lines_of(shown)[0] == "failover status  STALE: nothing new for 7 s, this is as of 12:03:05"
    )
    shown.show(Text("all is well"))
    assert "STALE" not in lines_of(shown)[0]


def test_the_terminal_is_given_back_as_it_was() -> None:
    console = terminal(24)

    def pictures() -> Iterator[RenderableType]:
        yield Text("first")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch_in_place(console, "failover status", pictures())
    written = console.file.getvalue()
    assert "first" in written
    assert written.index("\x1b[?1049h") < written.index("\x1b[?1049l")  # the other screen, and back
    assert written.rindex("\x1b[?25l") < written.rindex("\x1b[?25h")  # the cursor, too


def test_no_color_is_obeyed_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    shown = screen()
    shown.show(status(jakarta_gone(), LOST))
    console = terminal(60)
    with console.capture() as capture:
        console.print(shown)
    colours = re.findall(r"\x1b\[[0-9;]*?(?:3[0-7]|9[0-7]|4[0-7])m", capture.get())
    assert colours == []
    assert "NOBODY" in capture.get()


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_that_cannot_move_the_cursor_gets_plain_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], term: str
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("FORCE_COLOR", "1")  # as a terminal says it is one
    with pytest.raises(SystemExit) as ended:
        output.watch(
            iter(["one", "two"]),
            title="failover status",
            output="text",
            as_json=lambda value: {"value": value},
            as_rich=Text,
        )
    assert ended.value.code == ExitCode.INTERRUPTED
    assert capsys.readouterr().out.split() == ["one", "two"]


@pytest.mark.parametrize(
    ("name", "inputs", "verdict"),
    [("terminal-healthy", healthy, WELL), ("terminal-site-lost", jakarta_gone, LOST)],
)
def test_the_pictures_of_the_documentation_are_what_is_shown(
    name: str, inputs: Callable[[], ViewInputs], verdict: Verdict
) -> None:
    shown = screen()
    shown.show(status(inputs(), verdict))
    drawn = picture(shown, name)
    file = PICTURES / f"{name}.svg"
    if os.environ.get("REWRITE_GOLDEN"):
        file.write_text(drawn, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == drawn, "REWRITE_GOLDEN=1 takes it anew"


def picture(shown: Screen, name: str) -> str:
    """As SVG, of a terminal of 90 columns, without a font from elsewhere."""
    console = Console(
        file=io.StringIO(),
        record=True,
        force_terminal=True,
        color_system="truecolor",
        no_color=False,
        width=90,
        height=40,
        highlight=False,
    )
    console.print(shown)
    drawn = console.export_svg(title="failover status --watch", unique_id=name)
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)
    assert "http" not in drawn.replace("http://www.w3.org/2000/svg", "").replace(
        "https://www.textualize.io", ""
    )
    return drawn
