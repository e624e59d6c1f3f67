"""What the commands that set something in ``state`` share: who, why, and what is said of it."""

from __future__ import annotations

import getpass
import os
import socket
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from failover.cli.exit_codes import ExitCode
from failover.cli.options import WORDS_LENGTH_MAX, Decorated, OneLine, load_policy
from failover.cli.output import UserError

if TYPE_CHECKING:
    from failover.coordination.store import Store
    from failover.policy import Policy
    from failover.state import GroupState
    from failover.znode import Op


def operator() -> str:
    """Who gives this command: user and host, as they stand in the history."""
    try:
        user = getpass.getuser()  # $LOGNAME or $USER come first: anything may stand there
    except (KeyError, OSError):  # a user without a name
        user = f"uid {os.getuid()}"
    who = f"{user}@{socket.gethostname()}"
    return "".join(each if each.isprintable() else "?" for each in who)[:WORDS_LENGTH_MAX]


def reason_option(*, required: bool) -> Callable[[Decorated], Decorated]:
    """``--reason TEXT``; where it is not required it may be left out."""
    words = "Why; it goes into the history."
    if required:
        return click.option("--reason", type=OneLine(), metavar="TEXT", required=True, help=words)
    return click.option("--reason", type=OneLine(), metavar="TEXT", default="", help=words)


def set_in_state(
    event: str,
    summary: str,
    details: dict[str, str],
    change: Callable[[GroupState], GroupState],
    *,
    beside: Callable[[Store], tuple[Op, ...]] = lambda _store: (),
    value: str | None = None,
) -> None:
    """Write it, on record, and say so. ``beside``: more operations of the same transaction.

    ``value``: what is set, as a controller is asked for it where only controllers write ``state``;
    None: nobody can be asked for that.
    """
    from failover.cli.roles import writes_state
    from failover.coordination.connect import open_store
    from failover.coordination.settings import Setting, apply_setting

    reason = details.get("reason", "").strip()
    if "reason" in details and not reason:
        raise UserError("it goes on record with its reason", todo="say it with --reason TEXT")
    policy = load_policy()
    setting = Setting(event, summary, operator(), details, change, beside)
    with open_store(policy) as store:
        if value is not None and not writes_state(policy, store):
            outcome = ask_for(policy, store, event, value, summary, details)
            click.echo(f"nothing to do: {outcome}" if outcome else summary)
            return
        changed = apply_setting(store, policy, setting, now_unix_s=time.time()) is not None
    click.echo(summary if changed else "nothing to do: it is so already")


def ask_for(
    policy: Policy, store: Store, event: str, value: str, summary: str, details: dict[str, str]
) -> str:
    """Have the leading controller set it; what it says of that, empty: done. UserError where it
    refuses, StoreForbidden where this key may not ask."""
    from failover.cli.roles import as_approver
    from failover.coordination.setting_desk import ask_setting
    from failover.setting_request import ANSWER_S, SettingKind, SettingRequest
    from failover.state import RequestPhase

    now_unix_s = time.time()
    request = SettingRequest(
        id=uuid.uuid4().hex[:12],
        kind=SettingKind(event),
        value=value,
        summary=summary,
        by=operator(),
        details=details,
        at_unix_s=now_unix_s,
        answer_by_unix_s=now_unix_s + ANSWER_S,
    )
    approver = as_approver(policy, store, needed=request.needs_approver)
    ended = ask_setting(store, policy, request, approver=approver)
    if ended.phase is RequestPhase.REFUSED:
        raise UserError(
            f"the controller refuses: {ended.outcome}",
            todo="nothing was changed",
            code=ExitCode.REFUSED,
        )
    return ended.outcome
