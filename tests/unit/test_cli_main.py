"""The command line as a whole: lazy loading, errors, exit codes, completion."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from failover.cli import main as cli_main
from failover.cli import options
from failover.cli.exit_codes import ExitCode
from failover.cli.main import NOUNS, Noun, cli
from failover.cli.output import UserError
from failover.coordination.session import OwnFilesUnusable
from failover.coordination.store import StoreForbidden, StoreUnavailable
from failover.state import StateError

HEAVY = (
    "docker",
    "testcontainers",
    "psycopg",
    "kazoo",
    "aiohttp",
    "pydantic",
    "rich",
    "jinja2",
    "yaml",
)


@pytest.fixture
def noun(monkeypatch: pytest.MonkeyPatch):
    """Puts a command in the place of ``failover status``."""

    def put(command: click.Command) -> None:
        monkeypatch.setattr(cli_main, "_load", lambda _noun: command)

    return put


def run(*arguments: str):
    return CliRunner().invoke(cli, list(arguments), prog_name="failover")


def raising(error: BaseException) -> click.Command:
    @click.command()
    def command() -> None:
        raise error

    return command


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from failover.cli.main import cli\n"
        "try:\n    cli(['--help'], prog_name='failover')\nexcept SystemExit:\n    pass\n"
        "print('LOADED', *sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.rpartition("LOADED")[2].split())
    assert loaded.isdisjoint(HEAVY)


def test_every_noun_has_one_line_of_help() -> None:
    assert all(len(noun.summary) < 72 and noun.summary.endswith(".") for noun in NOUNS.values())


def test_a_noun_that_is_not_installed_is_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NOUNS, "absent", Noun("absent", "Not there."))
    assert "absent" not in run("--help").output
    result = run("absent")
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "No such command 'absent'" in result.output


def test_a_missing_library_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_docker(_name: str) -> object:
        raise ModuleNotFoundError("No module named 'docker'", name="docker")

    monkeypatch.setattr(cli_main.importlib, "import_module", no_docker)
    result = run("lab")
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "needs the Python module 'docker'" in result.output
    assert "failover[lab]" in result.output


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (
            StoreUnavailable("tried 10.77.1.21:2181 for 5 s"),
            ExitCode.UNREACHABLE,
            "10.77.1.21:2181",
        ),
        (StoreForbidden("no key can be shown"), ExitCode.FORBIDDEN, "access.md"),
        (OSError(36, "File name too long", "/etc/x"), ExitCode.BAD_INPUT, "/etc/x"),
        (OwnFilesUnusable("host.pem: no permission"), ExitCode.FORBIDDEN, "certificates.md"),
        (StateError("state: schema 9 is not known"), ExitCode.STATE_UNREADABLE, "schema 9"),
        (UserError("no", code=ExitCode.REFUSED), ExitCode.REFUSED, "error: no"),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED, "interrupted"),
    ],
)
def test_known_trouble_is_a_message_and_a_code(noun, error, code, words) -> None:
    noun(raising(error))
    result = run("status")
    assert result.exit_code == code
    assert words in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_ones_own_files_are_told_with_the_user_and_not_as_a_silent_ensemble(noun) -> None:
    noun(raising(OwnFilesUnusable("our own key cannot be used: '/etc/x/host.pem'")))
    said = run("status").stderr
    assert said.startswith("error: our own key cannot be used: '/etc/x/host.pem'\n")
    assert f"as user {pwd.getpwuid(os.geteuid()).pw_name}; ZooKeeper was not asked" in said
    assert "quorum" not in said


def test_where_the_ensemble_did_answer_nobody_says_that_it_did_not(noun) -> None:
    """The setting desk's words: a controller is silent, and the ensemble keeps the request."""
    noun(raising(StoreUnavailable("/f/setting: no controller has answered")))
    said = run("status").stderr
    assert said.startswith("error: /f/setting: no controller has answered\n")
    assert "where none does: docs/operations/quorum-lost.md" in said


def test_a_bug_stays_a_traceback(noun) -> None:
    noun(raising(RuntimeError("a bug")))
    assert isinstance(run("status").exception, RuntimeError)


def test_an_error_says_what_where_and_what_to_do() -> None:
    error = UserError("lease is too short", where="failover.yaml:2", todo="at least 6s")
    assert error.format_message() == (
        "lease is too short\n  where: failover.yaml:2\n  what to do: at least 6s"
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(shell: str) -> None:
    result = run("completion", shell)
    assert result.exit_code == 0
    assert "_FAILOVER_COMPLETE" in result.output


def test_completion_offers_the_nouns_without_importing_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cli_main, "_load", lambda _noun: pytest.fail("imported for a completion"))
    offered = {item.value for item in cli.shell_complete(click.Context(cli), "")}
    assert {"status", "explain", "history", "completion"} <= offered
    assert {item.value for item in cli.shell_complete(click.Context(cli), "hist")} == {"history"}


# ------------------------------------------------------------------ where the configuration is


@pytest.fixture
def shows_path(noun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    @click.command()
    @options.config_option
    def command() -> None:
        click.echo(options.config_path())

    noun(command)
    monkeypatch.delenv(options.CONFIG_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(options, "CONFIG_PLACES", (tmp_path / "etc.yaml", Path("deploy/f.yaml")))
    return tmp_path


def test_config_is_taken_from_the_nearest_to_the_command(shows_path: Path, monkeypatch) -> None:
    for name in ("etc.yaml", "variable.yaml", "before.yaml", "after.yaml"):
        (shows_path / name).touch()
    (shows_path / "deploy").mkdir()
    (shows_path / "deploy/f.yaml").touch()

    assert run("status").output.strip() == str(shows_path / "etc.yaml")
    (shows_path / "etc.yaml").unlink()
    assert run("status").output.strip() == "deploy/f.yaml"
    monkeypatch.setenv(options.CONFIG_VARIABLE, "variable.yaml")
    assert run("status").output.strip() == "variable.yaml"
    assert run("--config", "before.yaml", "status").output.strip() == "before.yaml"
    both = run("--config", "before.yaml", "status", "--config", "after.yaml")
    assert both.output.strip() == "after.yaml"


def test_no_configuration_lists_the_places(shows_path: Path) -> None:
    result = run("status")
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "etc.yaml" in result.stderr
    assert "deploy/f.yaml" in result.stderr
    assert "--config" in result.stderr


def test_a_wrong_path_is_not_replaced_by_a_default(shows_path: Path) -> None:
    (shows_path / "etc.yaml").touch()
    result = run("--config", "nowhere.yaml", "status")
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "nowhere.yaml" in result.stderr


@pytest.mark.parametrize("words", [["status"], ["wait", "--limit", "1"]])
def test_who_may_not_ask_the_guard_is_told_so(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says nothing of the guard: a page about a dead one would send him the wrong way."""

    def denied(_self: socket.socket, _address: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", denied)
    config = ["--config", "tests/open.yaml"]
    done = CliRunner().invoke(cli, [*config, "guard", *words, "--host", "jkt-db1"])
    assert done.exit_code == ExitCode.BAD_INPUT, done.output
    assert "root or as postgres" in done.output
