"""A planned move as the commands ask for it: the request, its gates, and following it to its end.

Shared by every command that moves a group. Writes nothing but the request, and its withdrawal.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn

import click

from failover.cli.exit_codes import ExitCode
from failover.cli.options import Number, known_site
from failover.cli.output import UserError
from failover.cli.settings import operator

if TYPE_CHECKING:
    from failover.cli.look import Seen
    from failover.coordination.store import Store
    from failover.model import SiteName
    from failover.planning.plan import Gate
    from failover.policy import Policy
    from failover.state import OperatorRequest

ANSWER_S = 10.0  # for the leading controller, a new election included
LIMIT_S = 15.0
LIMIT_S_MIN, LIMIT_S_MAX = 2.0, 300.0
PAGE = "docs/operations/switchover.md"

limit_option = click.option(
    "--limit",
    "limit_s",
    type=Number(min=LIMIT_S_MIN, max=LIMIT_S_MAX),
    default=LIMIT_S,
    show_default=True,
    help="Seconds after which a move goes back to where it was.",
)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a request ended. ``took_s``: from the freeze of the plan until a primary worked again,
    as on record (a client's pause is shorter: the old primary goes on until it is stopped)."""

    request: str
    outcome: str  # done, refused, gone_back, dry_run
    from_site: str
    to_site: str
    epoch: int | None
    took_s: float | None
    reasons: tuple[str, ...]


def new_request(target: SiteName, reason: str, limit_s: float) -> OperatorRequest:
    """What this operator asks for, from now on."""
    from failover.state import OperatorRequest, PlanKind

    now_unix_s = time.time()
    return OperatorRequest(
        id=f"s-{uuid.uuid4().hex[:12]}",
        kind=PlanKind.SWITCHOVER,
        to_site=target,
        by=operator(),
        reason=reason.strip(),
        at_unix_s=now_unix_s,
        answer_by_unix_s=now_unix_s + ANSWER_S,
        limit_s=limit_s,
    )


def data_site(policy: Policy, name: str) -> SiteName:
    """A site of that name that may be active. UserError with the known ones when there is none."""
    site = known_site(policy, name)
    known = [one.name for one in policy.data_sites]
    if site not in known:
        raise UserError(
            f"{site} is the witness: it holds no data and can never be active",
            todo=f"use one of: {', '.join(known)}",
        )
    return site


def renewed(request: OperatorRequest) -> OperatorRequest:
    """The human may have taken a while to type."""
    now_unix_s = time.time()
    return replace(request, at_unix_s=now_unix_s, answer_by_unix_s=now_unix_s + ANSWER_S)


# --------------------------------------------------------------------------- judged beforehand


def usable(seen: Seen) -> Seen:
    """The same look. UserError where there is nothing to judge."""
    if seen.unusable is None:
        return seen
    what = seen.view.store_problem or seen.view.state_problem or "there is no state"
    raise UserError(what, todo="`failover status`", code=seen.unusable)


def blocking(gates: Iterable[Gate]) -> tuple[Gate, ...]:
    return tuple(gate for gate in gates if gate.passes is not True)


def gate_lines(gates: Iterable[Gate]) -> list[str]:
    said = {False: "no", None: "unknown"}
    return [f"{g.name} ({said.get(g.passes, 'yes')}): {g.evidence}" for g in gates]


def refuse(what: str, reasons: Iterable[str], *, page: str = PAGE) -> NoReturn:
    """Nothing was touched, and why."""
    lines = "".join(f"\n  - {reason}" for reason in reasons)
    raise UserError(
        f"{what}:{lines}",
        todo=f"nothing was touched; {page} has what each reason means",
        code=ExitCode.REFUSED,
    )


def typed(words: str) -> str:
    """What a human types when asked; empty where nobody does."""
    try:
        answer: str = click.prompt(words, default="", show_default=False, err=True)
    except click.Abort:
        return ""
    return answer.strip()


# --------------------------------------------------------------------------- carried out


def follow(policy: Policy, store: Store, from_site: SiteName, request: OperatorRequest) -> Ended:
    """``carry_out`` with every event on standard error. Ctrl-C ends the following, no more."""
    try:
        return carry_out(
            policy, store, from_site, request, say=lambda line: click.echo(line, err=True)
        )
    except KeyboardInterrupt:
        click.echo(
            f"\nno longer followed; request {request.id} goes on without this command. "
            "Follow it with `failover status --watch` and `failover history`",
            err=True,
        )
        raise


def carry_out(
    policy: Policy,
    store: Store,
    from_site: SiteName,
    request: OperatorRequest,
    say: Callable[[str], None],
) -> Ended:
    """Put it before the leading controller and follow it until a primary works again.

    UserError where it does not come to an end in time, or another operator's stands.
    """
    from failover.cli.look import Reader
    from failover.cli.requests import Following
    from failover.cli.roles import as_approver
    from failover.coordination.requests import Busy, ask
    from failover.coordination.requests_seen import places
    from failover.health.predicates import all_serving
    from failover.znode import GroupPaths

    paths, reader = GroupPaths(policy.group), Reader(policy, store)
    approver = as_approver(policy, store, needed=request.needs_approver)
    following = Following(
        store,
        paths,
        request,
        say=say,
        serving=lambda: all_serving(reader.look().view),
        approver=approver,
    )
    busy = ask(
        store,
        paths,
        request,
        now_unix_s=time.time(),
        approver=approver,
        beside=places(policy),
    )
    if isinstance(busy, Busy):
        other = busy.request
        refuse(
            f"no {request.kind} to {request.to_site}",
            [f"{other.by} has a {other.kind} to {other.to_site} under way ({other.id})"],
        )
    last = following.until_ended()
    return Ended(
        request=request.id,
        outcome=str(last.phase),
        from_site=str(from_site),
        to_site=str(request.to_site),
        epoch=following.epoch,
        took_s=following.took_s,
        reasons=last.outcome,
    )
