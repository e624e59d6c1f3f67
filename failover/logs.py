"""How logs are written: one event per line, JSON but for somebody at a terminal.

Our events and the libraries' logs in one shape. What a line says is its writer's; here nothing is
added but time and level. Must stay cheap to import: the guard's minder logs too.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import sys
from enum import StrEnum
from typing import Any

import structlog

FORMAT_VARIABLE = "FAILOVER_LOG_FORMAT"


class LogFormat(StrEnum):
    AUTO = "auto"  # console on a terminal, else JSON
    JSON = "json"
    CONSOLE = "console"


def configure(
    level: int = logging.INFO,
    *,
    to_stderr: bool = False,
    log_format: LogFormat | None = None,
) -> None:
    """To standard output, or standard error. ``log_format`` None: by ``FAILOVER_LOG_FORMAT``, and
    ``auto`` where that says nothing usable: a log must not keep anything from starting."""
    with contextlib.suppress(OSError, ValueError, RuntimeError):  # no such file
        faulthandler.enable()  # a crash of a library says where, in the journal
    stream = sys.stderr if to_stderr else sys.stdout
    rendering = _rendering(log_format or _said(), stream.isatty())
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stream),
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def _said() -> LogFormat:
    said = os.environ.get(FORMAT_VARIABLE, "")
    return LogFormat(said) if said in tuple(LogFormat) else LogFormat.AUTO


def _rendering(wanted: LogFormat, terminal: bool) -> list[Any]:
    if wanted is LogFormat.JSON or (wanted is LogFormat.AUTO and not terminal):
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    colours = terminal and not os.environ.get("NO_COLOR")
    return [structlog.dev.ConsoleRenderer(colors=colours)]
