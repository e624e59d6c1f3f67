"""Where a command gets its site and its policy from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from cli_world import CONFIG, POLICY
from click.testing import CliRunner

from failover.cli import options
from failover.cli.main import cli
from failover.cli.output import UserError
from failover.lab.workload import inside


@pytest.fixture
def site_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.delenv("FAILOVER_SITE", raising=False)
    monkeypatch.setenv(options.CONFIG_VARIABLE, str(CONFIG))
    monkeypatch.setattr(options, "SITE_FILE", tmp_path / "site")
    return tmp_path / "site"


def own_site(said: str | None = None) -> str:
    with click.Context(cli):
        return options.own_site(POLICY, said)


@pytest.mark.parametrize("text", ["makassar\n", "SITE=makassar\n", 'SITE="makassar"\n'])
def test_the_site_is_in_a_file(site_file: Path, text: str) -> None:
    site_file.write_text(text)
    assert own_site() == "makassar"


def test_what_was_said_wins(site_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site_file.write_text("makassar\n")
    monkeypatch.setenv("FAILOVER_SITE", "surabaya")
    assert own_site() == "surabaya"
    assert own_site("jakarta") == "jakarta"


def test_no_site_is_not_guessed(site_file: Path) -> None:
    with pytest.raises(UserError, match="not known at which site") as caught:
        own_site()
    assert "--site NAME" in caught.value.todo


def test_an_unknown_site_is_refused_with_the_known_ones(site_file: Path) -> None:
    with pytest.raises(UserError, match="unknown site 'bali'") as caught:
        own_site("bali")
    assert caught.value.todo == "use one of: jakarta, makassar, surabaya"


def test_every_mistake_of_the_file_at_once(tmp_path: Path) -> None:
    wrong = tmp_path / "failover.yaml"
    wrong.write_text("group: x\nlease: 1s\ncolour: blue\n")
    result = CliRunner().invoke(cli, ["--config", str(wrong), "status"], prog_name="failover")
    assert result.exit_code == 2
    assert all(word in result.stderr for word in ("sites", "clusters", "lease", "colour"))
    assert "Traceback" not in result.output


def commands(command: click.Command, path: str = "failover") -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, f"{path} {name}")


def test_every_number_on_the_command_line_is_one_and_has_an_end() -> None:
    """NaN is inside of every range of click's own."""
    numbers = [
        (path, parameter)
        for path, command in (*commands(cli), *commands(inside.command, "inside"))
        for parameter in command.params
        if isinstance(parameter.type, click.types.FloatParamType)
    ]
    assert len(numbers) > 8
    for path, parameter in numbers:
        assert isinstance(parameter.type, options.Number), f"{path}: {parameter.name}"
        assert parameter.type.min is not None, f"{path}: {parameter.name} may be negative"
        for odd in ("nan", "inf", "-inf", "-1"):
            with pytest.raises(click.BadParameter):
                parameter.type.convert(odd, parameter, None)
