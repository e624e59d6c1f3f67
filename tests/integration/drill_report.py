"""What a lab says of itself right after a drill failed: for who reads the report of a run."""

from __future__ import annotations

from collections.abc import Iterator

from click.testing import CliRunner

from failover.cli.main import cli
from failover.lab.errors import LabError
from failover.lab.hosts import Role
from failover.lab.lab import Lab

COMMANDS = (("status",), ("explain",), ("history", "--limit", "20"))
JOURNAL_LINES = 40


def what_the_lab_says(lab: Lab) -> list[tuple[str, str]]:
    """Sections of a report: the group in the operator's words, and the end of every journal."""
    return list(_sections(lab))


def _sections(lab: Lab) -> Iterator[tuple[str, str]]:
    yield "faults", "\n".join(str(one) for one in lab.faults.active) or "none"
    for command in COMMANDS:
        yield f"failover {' '.join(command)}", _output(lab, command)
    for host in lab.all_hosts:
        if host.role in (Role.DATABASE, Role.CONTROLLER):
            yield f"journal of {host.name}", _journal(lab, host.name)


def _output(lab: Lab, command: tuple[str, ...]) -> str:
    return CliRunner().invoke(cli, ["--config", str(lab.config), *command]).output


def _journal(lab: Lab, host: str) -> str:
    """A host that is stopped has none to show."""
    try:
        return lab.journal(host, None, JOURNAL_LINES)
    except LabError as error:
        return str(error)
