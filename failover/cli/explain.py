"""``failover explain``: what is decided now, and why; inaction as carefully as action.

Reads only: it runs the same judge, planner and gates as the controllers, on what it sees itself,
and commits nothing.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NoReturn

import click

from failover.cli.exit_codes import ExitCode
from failover.cli.options import config_option, load_policy, output_option
from failover.cli.output import UserError, console, print_json, watch

if TYPE_CHECKING:
    from failover.cli.explanation import ExplainSnapshot
    from failover.cli.look import Seen
    from failover.policy import Policy

EXPLAIN_SCHEMA = 1


@click.command("explain")
@click.option(
    "--watch", "watching", is_flag=True, help="Keep looking, once a second, until Ctrl-C."
)
@click.option(
    "--what-if",
    "supposed",
    multiple=True,
    metavar="CHANGE",
    help="Say what would be decided, when and with what loss: site-lost=SITE, host-lost=HOST or "
    "link-cut. Several together are one event.",
)
@output_option
@config_option
def command(watching: bool, supposed: tuple[str, ...], output: str) -> None:
    """The verdict, every gate with its evidence, the one that blocks, and what comes next.

    Exit code 0 when all is well, 1 when it is not or a step is due, 5 on a hold, 3 without an
    answer of the ensemble, 4 without a usable state, 6 where this user, or the key, may not look.
    With --what-if: 0 where writes would go on, here or at the other site, 5 where everything would
    hold.
    """
    from failover.cli.explanation import as_rich
    from failover.cli.look import allowed, observing, without_ensemble
    from failover.coordination.session import OwnFilesUnusable
    from failover.coordination.store import StoreForbidden, StoreUnavailable

    policy = load_policy()
    if supposed:
        _suppose(policy, supposed, watching=watching, output=output)
    try:
        with observing(policy) as reader:
            if watching:
                shown = map(_explain, map(allowed, reader.forever()))
                watch(
                    shown, title="failover explain", output=output, as_json=as_json, as_rich=as_rich
                )
            seen = allowed(reader.settle())
    except (StoreForbidden, OwnFilesUnusable):
        raise  # says nothing of the ensemble, so it is no verdict
    except StoreUnavailable as error:
        seen = without_ensemble(policy, str(error))  # a named scenario like any other
    explanation = _explain(seen)
    if output == "json":
        print_json(as_json(explanation))
    else:
        console().print(as_rich(explanation))
    click.get_current_context().exit(exit_code(seen, explanation))


def _suppose(policy: Policy, supposed: tuple[str, ...], *, watching: bool, output: str) -> NoReturn:
    from failover.cli.what_if import changes_of, show

    if watching:
        raise UserError("--watch and --what-if do not go together", todo="leave one of them out")
    code = show(policy, changes_of(policy, supposed), output=output)
    click.get_current_context().exit(code)


def _explain(seen: Seen) -> ExplainSnapshot:
    from failover.cli.explanation import explain_snapshot
    from failover.planning.decision import decide
    from failover.planning.explain import explain

    decided = decide(seen.view)
    explained = explain(seen.view, decided.verdict, decided.next_step)
    return explain_snapshot(seen.view, explained, looked_for_s=seen.looked_for_s)


def exit_code(seen: Seen, explanation: ExplainSnapshot) -> ExitCode:
    """See the command's help."""
    if seen.unusable is not None:
        return seen.unusable
    if explanation.decision == "hold":
        return ExitCode.REFUSED
    settled = explanation.decision == "nothing" and explanation.healthy
    return ExitCode.OK if settled else ExitCode.FINDINGS


def as_json(explanation: ExplainSnapshot) -> dict[str, Any]:
    """The documented shape (docs/cli.md)."""
    return {"schema": EXPLAIN_SCHEMA, "healthy": explanation.healthy, **asdict(explanation)}
