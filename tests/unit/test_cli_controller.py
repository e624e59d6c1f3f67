"""`failover controller`: what is said where its door cannot be opened."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest
from cli_world import CONFIG
from click.testing import CliRunner

from failover import controller_service, logs
from failover.cli.exit_codes import ExitCode
from failover.cli.main import cli

IN_USE = OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
NO_KEY = OSError("/etc/failover/tls/host.pem cannot be used: [Errno 13] Permission denied")
NOT_ALLOWED = PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@pytest.mark.parametrize(
    ("error", "todo", "not_said"),
    [
        (IN_USE, "another controller", "certificates.md"),
        (NO_KEY, "certificates.md", "another controller"),
        (NOT_ALLOWED, "may have this port", "another controller"),
    ],
)
def test_what_to_do_goes_with_what_is_wrong(
    error: OSError, todo: str, not_said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_args: Any, **_named: Any) -> None:
        raise error

    monkeypatch.setattr(controller_service, "run", run)
    monkeypatch.setattr(logs, "configure", lambda: None)
    monkeypatch.setenv("FAILOVER_CONFIG", str(CONFIG))
    said = CliRunner().invoke(cli, ["controller", "--site", "surabaya"], prog_name="failover")
    assert said.exit_code == ExitCode.BAD_INPUT
    assert str(error) in said.stderr
    assert todo in said.stderr
    assert not_said not in said.stderr
