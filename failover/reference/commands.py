"""docs/commands.md, from the commands themselves. `make reference` writes it anew."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from failover.cli.main import cli
from failover.reference.markdown import table

_TOP = """\
# Commands

Made from the commands themselves by `make reference`; do not edit. What scripts rely on (exit
codes, JSON) is in [the command line](cli.md).

Every command takes `-h`, and `--config PATH` before or after its name. `lab`, `bench` and `demo`
are for [the lab](lab.md); `controller` and most of `guard` are run by systemd.
"""
_EVERYWHERE = {"config"}


def commands() -> Iterator[tuple[click.Context, click.Command]]:
    """Every command, groups too, in the order of the help."""
    yield from _below(click.Context(cli, info_name="failover"), cli)


def page() -> str:
    """The whole page."""
    return "\n".join([_TOP, *(_chapter(*each) for each in commands() if each[0].parent)])


def _below(
    context: click.Context, command: click.Command
) -> Iterator[tuple[click.Context, click.Command]]:
    yield context, command
    if not isinstance(command, click.Group):
        return
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        if inner is not None and not inner.hidden:
            yield from _below(click.Context(inner, info_name=name, parent=context), inner)


def _chapter(context: click.Context, command: click.Command) -> str:
    path = context.command_path
    depth = "##" if path.count(" ") == 1 else "###"
    usage = " ".join(command.collect_usage_pieces(context))
    rows = [_option(context, each) for each in command.params if _told(each)]
    options = f"\n{table(('option', '', 'meaning'), rows)}" if rows else ""
    help_text = _paragraphs(command.help or "")
    return f"{depth} `{path}`\n\n    {path} {usage}\n\n{help_text}\n{options}"


def _told(param: click.Parameter) -> bool:
    return isinstance(param, click.Option) and param.name not in _EVERYWHERE and not param.hidden


def _option(context: click.Context, param: click.Parameter) -> tuple[str, str, str]:
    assert isinstance(param, click.Option)
    names = ", ".join(f"`{name}`" for name in (*param.opts, *param.secondary_opts))
    if not param.is_flag and not param.count:
        names += f" `{param.make_metavar(context)}`"
    extra = param.get_help_extra(context)
    default = extra.get("default")
    said = [
        "**required**" if param.required else "",
        f"default `{default}`" if default and not param.required else "",
        "may be said again" if param.multiple else "",
    ]
    return names, ", ".join(each for each in said if each), _escaped(param.help or "")


def _paragraphs(text: str) -> str:
    """The help, without click's marks; what is between backticks stays as it is."""
    return _escaped(inspect.cleandoc(text).replace("\b\n", "").partition("\f")[0].rstrip())


def _escaped(text: str) -> str:
    """Nothing of it is markup, but for code."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(p if p.startswith("`") else re.sub(r"([<>*_])", r"\\\1", p) for p in parts)
