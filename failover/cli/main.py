"""The ``failover`` command: one lazily loaded sub-command per noun, one place for errors.

Invariant: a sub-command's module is imported only when that sub-command is called, so that the
barriers and the guard never pay for the lab's or the database's libraries. A user's mistake is a
message and an exit code, never a traceback; a bug is a traceback.
"""

from __future__ import annotations

import errno
import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem, get_completion_class

from failover import __version__
from failover.cli.exit_codes import ExitCode
from failover.cli.options import KEYS_VARIABLE, TLS_VARIABLE, Settings, config_option
from failover.cli.output import UserError


@dataclass(frozen=True, slots=True)
class Noun:
    """One sub-command: its module in failover.cli has a click object named ``command``."""

    name: str
    summary: str

    @property
    def module(self) -> str:
        return f"failover.cli.{self.name.replace('-', '_')}"


NOUNS: dict[str, Noun] = {
    noun.name: noun
    for noun in (
        Noun("status", "Sites, hosts, roles, lag, lease and verdict, as a tree."),
        Noun("explain", "What is decided now, and why: every gate with its evidence."),
        Noun("check", "Every assumption of the design against the running system, with a fix."),
        Noun("zookeeper", "Every ZooKeeper server, asked on its own; needs no quorum."),
        Noun("history", "What happened: epochs, takeovers, reinstatements. Newest last."),
        Noun("residency", "Indonesia only: what could leave now; the report for a period."),
        Noun("loss", "What was left behind at the old site: the loss receipt."),
        Noun("switchover", "Move the group to the other data site, planned: nothing is lost."),
        Noun("takeover", "Make the other site active by hand, where automation held."),
        Noun("break-glass", "Two sites are lost: a quorum from one site's own data, and back."),
        Noun("rehearse", "A planned move there and back, measured, with a signed-off report."),
        Noun("automation", "Who decides: the controllers, on paper only, or a human."),
        Noun("protection", "What commits wait for, and what a takeover may lose."),
        Noun("pause", "No takeover for a while; ends by itself."),
        Noun("acknowledge", "A human has looked at the last takeover: no cooldown any more."),
        Noun("config", "Check failover.yaml; render what follows from it."),
        Noun("pki", "Certificates for every host, from a private authority in a directory."),
        Noun("init", "First start: create the state in ZooKeeper and arm the guards."),
        Noun("adopt", "A running Patroni pair: look, differences, observe, arm, disarm."),
        Noun("reseed", "Give a host a new copy of its cluster; size and duration first."),
        Noun("secrets", "The passwords of this group, as files for each host."),
        Noun("controller", "Run the controller of this site."),
        Noun("guard", "Run the guard of this database host; the barriers' questions."),
        Noun("lab", "Both data sites and the witness in containers on this machine."),
        Noun("bench", "Measure takeovers and harmless faults, as a client sees them."),
        Noun("demo", "The story: Jakarta is lost, Makassar takes over, Jakarta returns."),
    )
}


class LazyGroup(click.Group):
    """Knows the names and summaries of the nouns; imports a module when it is called for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        present = [name for name, noun in NOUNS.items() if importlib.util.find_spec(noun.module)]
        return present + sorted(self.commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        noun = NOUNS.get(cmd_name)
        if noun is None:
            return super().get_command(ctx, cmd_name)
        return _load(noun)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, self._summary(name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [
            CompletionItem(name, help=self._summary(name))
            for name in self.list_commands(ctx)
            if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise UserError("interrupted", code=ExitCode.INTERRUPTED) from None
        except click.ClickException:
            raise
        except Exception as error:
            raise_for_user(error)

    def _summary(self, name: str) -> str:
        noun = NOUNS.get(name)
        return noun.summary if noun else self.commands[name].get_short_help_str(limit=70)


def _load(noun: Noun) -> click.Command | None:
    """The noun's command; None where this installation does not have it."""
    try:
        command = importlib.import_module(noun.module).command
    except ModuleNotFoundError as error:
        if error.name == noun.module:
            return None
        raise UserError(
            f"`failover {noun.name}` needs the Python module {error.name!r}, not installed here",
            todo="install the package with its extras: pip install 'failover[lab]'",
        ) from None
    assert isinstance(command, click.Command)
    return command


def raise_for_user(error: Exception) -> NoReturn:
    """A known kind of trouble as a UserError with its exit code; anything else as it is."""
    from failover.coordination.store import StoreForbidden, StoreUnavailable

    if isinstance(error, StoreForbidden):
        raise UserError(
            f"not allowed in ZooKeeper: {error}",
            where=f"the keys in ${KEYS_VARIABLE}, or in /etc/failover/secrets, as {_user()} "
            "reads them",
            todo="use the key of a role that may, or ask who has one (docs/operations/access.md)",
            code=ExitCode.FORBIDDEN,
        ) from None
    if isinstance(error, StoreUnavailable):
        _raise_own_files(error)
        raise UserError(
            str(error),  # it says who gave no answer: a server, a controller, a znode that changes
            todo="`failover zookeeper status` says whether a majority of the servers serves; where "
            "none does: docs/operations/quorum-lost.md",
            code=ExitCode.UNREACHABLE,
        ) from None
    if type(error).__name__ == "StateError":  # its module costs pydantic: not imported to compare
        raise UserError(str(error), code=ExitCode.STATE_UNREADABLE) from None
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        raise UserError(error.strerror or str(error), where=str(error.filename)) from None
    raise error


def _raise_own_files(error: Exception) -> None:
    """UserError where it is of this user's own files: the ensemble was not asked."""
    from failover.coordination.session import OwnFilesUnusable

    if isinstance(error, OwnFilesUnusable):
        raise UserError(
            str(error),
            where=f"this host, as {_user()}; ZooKeeper was not asked",
            todo="run it as a user who may read these files (`failover` on a controller's host, "
            f"`postgres` on a database host, root), or name a directory with your own in "
            f"${TLS_VARIABLE} (docs/operations/certificates.md)",
            code=ExitCode.FORBIDDEN,
        ) from None


def _user() -> str:
    """Whose rights this process has; $LOGNAME and $USER may say anything."""
    import os
    import pwd

    try:
        return f"user {pwd.getpwuid(os.geteuid()).pw_name}"
    except KeyError:  # one without a name
        return f"uid {os.geteuid()}"


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 ok, 1 findings or unhealthy, 2 bad input, 3 ensemble unreachable, "
    "4 state unreadable, 5 refused, 6 not with this key or user, 130 interrupted.",
)
@click.version_option(__version__, prog_name="failover")
@config_option
@click.pass_context
def cli(ctx: click.Context) -> None:
    """PostgreSQL failover between data centres, on top of Patroni and ZooKeeper."""
    ctx.ensure_object(Settings)


@cli.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    bash: add `eval "$(failover completion bash)"` to ~/.bashrc; zsh likewise to ~/.zshrc;
    fish: `failover completion fish > ~/.config/fish/completions/failover.fish`.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "failover", "_FAILOVER_COMPLETE").source())


def main() -> None:
    """The console script."""
    cli(prog_name="failover")
