"""Every command of this program that the documentation shows can be given as it stands there.

What stands in blocks of code is parsed in full, as a shell and click would; what is named in a
sentence may leave things out, and its names have to exist.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import docs_pages
import pytest
from docs_pages import PAGES, ROOT

from failover.cli.main import cli

_PROGRAM = re.compile(r"^(?:sudo (?:-u \w+ )?)?(?:\.venv/bin/)?failover (?=[a-z-])")
GENERATED = {"docs/commands.md"}  # usage lines, from the commands themselves
PROSE_ENDS = re.compile(r"[|…\[]|\.\.\.")


def blocks(page: Path) -> Iterator[str]:
    """Command lines in blocks of code, continued ones joined."""
    held = ""
    for line, code in docs_pages.lines(page):
        if not code:
            held = ""
            continue
        line = held + line.strip()
        held = line[:-1] if line.endswith("\\") else ""
        found = _PROGRAM.search(line)
        if found and not held:
            yield line[found.end() :]


def named(page: Path) -> Iterator[str]:
    """Command lines between backticks in sentences."""
    for line, code in docs_pages.lines(page):
        if not code:
            for text in re.findall(r"`(?:\.venv/bin/)?failover ([a-z-][^`]*)`", line):
                if not text.startswith("guard:"):  # what barriers say in a log
                    yield PROSE_ENDS.split(text, maxsplit=1)[0].strip()


def words_of(line: str) -> list[str]:
    """As a shell splits it, up to a comment, a pipe or a redirection."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = list(lexer)
    ends = [at for at, word in enumerate(words) if set(word) <= set("|&;<>()")]
    return words[: ends[0]] if ends else words


def command_at(words: list[str]) -> tuple[click.Context, click.Command, list[str]]:
    """The innermost command, and what is given to it."""
    command: click.Command = cli
    context = click.Context(cli, info_name="failover")
    while isinstance(command, click.Group) and words:
        inner = command.get_command(context, words[0])
        if inner is None:
            break
        context = click.Context(inner, info_name=words[0], parent=context)
        command, words = inner, words[1:]
    return context, command, words


def cases(find: object) -> list[tuple[str, str]]:
    assert callable(find)
    found = {
        (docs_pages.name(page), line)
        for page in PAGES
        if docs_pages.name(page) not in GENERATED
        for line in find(page)
    }
    return sorted(found)


@pytest.mark.parametrize(("page", "line"), cases(blocks))
def test_a_command_in_a_block_can_be_given(page: str, line: str) -> None:
    context, command, given = command_at(words_of(line))
    inner = [word for word in given[:1] if not word.startswith("-")]
    assert not isinstance(command, click.Group) or not inner, f"there is no `failover {line}`"
    if {"-h", "--help"} & set(given):
        return
    try:
        command.make_context(context.info_name, list(given), parent=context.parent)
    except click.UsageError as error:
        pytest.fail(f"{page}: failover {line}: {error.format_message()}")


@pytest.mark.parametrize(("page", "line"), cases(named))
def test_a_command_in_a_sentence_exists(page: str, line: str) -> None:
    words = line.replace("'", "").replace('"', "").split()
    _context, command, given = command_at(words)
    if isinstance(command, click.Group) and given:
        assert given[0].isupper() or given[0].startswith("-"), f"{page}: no `failover {line}`"
    options = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    options |= {"-h", "--help", "--config", "--version"}
    wrong = [w for w in given if w.startswith("-") and w.partition("=")[0] not in options]
    assert wrong == [], f"{page}: failover {line}"


def test_commands_are_found() -> None:
    assert len(cases(blocks)) > 50
    assert len(cases(named)) > 50
    assert (ROOT / "docs" / "cli.md").exists()
