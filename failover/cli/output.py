"""How commands speak: errors on stderr in one shape, tables and trees on stdout, JSON on request.

Invariant: nothing is said by colour alone, and without a terminal there is no colour at all.
Must not import the rest of the program: it is loaded by every command, the guard's included.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from failover.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Shown = TypeVar("Shown")

PIPED_WIDTH = 100  # what is written to a file is not cut to the width of nobody's terminal


class UserError(click.ClickException):
    """A mistake or a state of affairs that the user can do something about.

    ``what`` happened, ``where`` (file, path, host; may be empty) and ``todo``: what to do about
    it (may be empty). Printed on stderr without a traceback; the process ends with ``code``.
    """

    def __init__(
        self, what: str, *, where: str = "", todo: str = "", code: ExitCode = ExitCode.BAD_INPUT
    ) -> None:
        super().__init__(what)
        self.where = where
        self.todo = todo
        self.exit_code = int(code)  # type: ignore[misc]  # click reads it from the instance

    def format_message(self) -> str:
        lines = [self.message.rstrip()]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.todo:
            lines.append(f"  what to do: {self.todo}")
        return "\n".join(lines)

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"error: {self.format_message()}", file=file, err=file is None)


def console() -> Console:
    """The terminal on stdout. Colours only where it is one; NO_COLOR and COLUMNS are obeyed."""
    from rich.console import Console

    _forget_odd_sizes()
    found = Console(highlight=False, soft_wrap=False)
    if not found.is_terminal:
        return Console(highlight=False, width=_piped_width(), no_color=True)
    return found


def _forget_odd_sizes() -> None:
    """rich takes "²" for a number of columns and fails, and 999999999 for one and fills memory."""
    import os

    for name in ("COLUMNS", "LINES"):
        said = os.environ.get(name, "")
        if not (said.isascii() and said.isdigit() and len(said) <= 4):
            os.environ.pop(name, None)


def _piped_width() -> int:
    import os

    columns = os.environ.get("COLUMNS", "")
    return int(columns) if columns.isdigit() and int(columns) >= 40 else PIPED_WIDTH


def print_json(value: dict[str, Any]) -> None:
    """One JSON document on stdout. Always carries ``schema``: the shape's version number."""
    assert "schema" in value, "every JSON document says its schema"
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def watch(
    values: Iterator[Shown],
    *,
    title: str,
    output: str,
    as_json: Callable[[Shown], dict[str, Any]],
    as_rich: Callable[[Shown], RenderableType],
) -> NoReturn:
    """Show one value after the other until Ctrl-C; then end with the code of an interruption.

    json: one document per line. Text: in place on a terminal that can do that, one after the other
    elsewhere. ``title``: what stands above it.
    """
    out = console()
    try:
        if output == "json":
            for value in values:
                click.echo(json.dumps(as_json(value), ensure_ascii=False))
        elif not out.is_terminal or out.is_dumb_terminal:
            for value in values:
                out.print(as_rich(value), "")
        else:
            from failover.cli.screen import watch_in_place

            watch_in_place(out, title, map(as_rich, values))
    except KeyboardInterrupt:
        pass
    raise SystemExit(ExitCode.INTERRUPTED)
