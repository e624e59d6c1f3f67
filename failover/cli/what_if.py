"""``failover explain --what-if``: what would happen if a site, a host or the link were lost now.

Reads only: one look at the present, a little longer than usual because the loss is estimated from
it, then the real decision code on what would be seen second by second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from failover.cli import look
from failover.cli.exit_codes import ExitCode
from failover.cli.options import known_name, known_site
from failover.cli.output import UserError, console, print_json
from failover.cli.prediction import Prediction, as_rich, prediction
from failover.coordination.store import StoreUnavailable
from failover.health.change import Change, HostLost, LinkCut, SiteLost, hosts_of
from failover.model import HostName, SiteName
from failover.planning.what_if import Foresight, Outcome, foresee

if TYPE_CHECKING:
    from failover.policy import Policy

WHAT_IF_SCHEMA = 1
LOOK_S = 3.0  # a standby that is further behind than this look reaches back is behind without end


def changes_of(policy: Policy, said: Sequence[str]) -> tuple[Change, ...]:
    """``site-lost=SITE``, ``host-lost=HOST``, ``link-cut``. UserError with what is known."""
    return tuple(dict.fromkeys(_change(policy, words) for words in said))


def _change(policy: Policy, words: str) -> Change:
    kind, equals, name = words.partition("=")
    match kind, equals:
        case "site-lost", "=":
            return SiteLost(known_site(policy, name))
        case "host-lost", "=":
            hosts = (host for host, _ in hosts_of(policy))
            return HostLost(HostName(known_name("host", name, hosts)))
        case "link-cut", "":
            return LinkCut()
    raise UserError(
        f"unknown change {words!r}",
        where="--what-if",
        todo="use site-lost=SITE, host-lost=HOST or link-cut (between the two data sites); sites: "
        f"{', '.join(site.name for site in policy.sites)}; hosts: "
        f"{', '.join(host for host, _ in hosts_of(policy))}",
    )


def look_and_foresee(policy: Policy, changes: tuple[Change, ...]) -> tuple[look.Seen, Foresight]:
    """What is seen now, and what would follow. StoreUnavailable where nothing answers."""
    with look.observing(policy) as reader:
        seen = look.allowed(reader.settle(LOOK_S))
    return seen, foresee(policy, seen.inputs, changes)


def predictor(policy: Policy) -> Callable[[SiteName], Foresight | None]:
    """Asks what the loss of a site would bring now; None where nothing answers."""

    def predict(lost: SiteName) -> Foresight | None:
        try:
            return look_and_foresee(policy, (SiteLost(lost),))[1]
        except StoreUnavailable:
            return None

    return predict


def show(policy: Policy, changes: tuple[Change, ...], *, output: str) -> ExitCode:
    """Print the prediction; the exit code that goes with it."""
    seen, foresight = look_and_foresee(policy, changes)
    predicted = prediction(seen.view, foresight, looked_for_s=seen.looked_for_s)
    if output == "json":
        print_json(as_json(predicted))
    else:
        console().print(as_rich(predicted))
    if seen.unusable is not None:
        return seen.unusable
    return ExitCode.REFUSED if foresight.outcome is Outcome.HOLD else ExitCode.OK


def as_json(predicted: Prediction) -> dict[str, Any]:
    """The documented shape (docs/cli.md)."""
    return {"schema": WHAT_IF_SCHEMA, **asdict(predicted)}
