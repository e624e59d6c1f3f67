"""``failover switchover --to SITE``: a planned move of the group, nothing lost.

Every gate first; then the site's name typed by a human (or ``--yes``); then the request is put
before the leading controller and followed. Where no controller lives, this process stands in for
its site's, and then stays until the plan has ended. Ctrl-C ends the following, not the switchover.
"""

from __future__ import annotations

import contextlib
import signal
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from failover.cli.exit_codes import ExitCode
from failover.cli.options import config_option, known_site, load_policy, output_option, own_site
from failover.cli.output import UserError, print_json
from failover.cli.settings import operator

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from failover.coordination.store import Store
    from failover.model import SiteName
    from failover.planning.plan import Gate
    from failover.policy import Policy
    from failover.state import OperatorRequest

SWITCHOVER_SCHEMA = 1
ANSWER_S = 10.0  # for the leading controller, a new election included
LIMIT_S = 15.0
LIMIT_S_MAX = 300.0
READY_S = 20.0  # for a controller that stands in: to look around and to be elected
HAND_OVER_S = 1.5  # between two leaders there is none
LEADER_SEEN_S = 5.0  # a controller that died just now holds the leadership for its session


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


@click.command("switchover")
@click.option("--to", "to_site", required=True, metavar="SITE", help="The site to make active.")
@click.option("--reason", metavar="TEXT", default="", help="Why; it goes into the history.")
@click.option(
    "--limit",
    "limit_s",
    type=click.FloatRange(min=2.0, max=LIMIT_S_MAX),
    default=LIMIT_S,
    show_default=True,
    help="Seconds after which it goes back to where it was.",
)
@click.option("--site", metavar="NAME", help="Where this command runs. Default: this host's.")
@click.option(
    "--password-file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("/etc/failover/secrets/observer.password"),
    show_default=True,
    help="Of the database role failover_observer, for when no controller lives.",
)
@click.option("--yes", is_flag=True, help="Do not ask for the site's name.")
@click.option("--dry-run", is_flag=True, help="Gates and plan only; change nothing.")
@output_option
@config_option
def command(
    to_site: str,
    reason: str,
    limit_s: float,
    site: str | None,
    password_file: Path,
    yes: bool,
    dry_run: bool,
    output: str,
) -> None:
    """Move the whole group to SITE, planned: the old primaries are stopped first, nothing is lost.

    Refused with every reason at once where it would not work. Where it does not come to its end
    within the limit it goes back to where it was and says why. Ctrl-C only stops following it.

    Where no controller leads, this command is one until it ends, and does all that one does; then
    it does not leave before the plan has ended, not for Ctrl-C either.

    Exit codes: 0 done; 1 gone back; 5 refused, nothing was touched.
    """
    from failover.coordination.connect import open_store

    policy = load_policy()
    target = _data_site(policy, to_site)
    with open_store(policy) as store:
        alone = not _somebody_leads(policy, store)
        if alone and dry_run:
            raise UserError(
                "no controller leads, so there is nobody to judge by",
                todo="start a controller; without --dry-run this command stands in for one",
                code=ExitCode.REFUSED,
            )
        with _standing_in(policy, site, password_file) if alone else contextlib.nullcontext():
            request = _request(target, reason, limit_s)
            from_site, gates = _judged(policy, store, request, READY_S if alone else 0.0)
            if dry_run:
                _show_dry_run(policy, request, from_site, gates, output)
                return
            if not yes:
                _confirm(from_site, target)
            request = _renewed(request)
            with _to_the_end(policy, store, request) if alone else contextlib.nullcontext():
                ended = _carry_out(policy, store, from_site, request, output)
    _report(ended, output)


def _data_site(policy: Policy, name: str) -> SiteName:
    site = known_site(policy, name)
    known = [one.name for one in policy.data_sites]
    if site not in known:
        raise UserError(
            f"{site} is the witness: it holds no data and can never be active",
            todo=f"use one of: {', '.join(known)}",
        )
    return site


def _request(target: SiteName, reason: str, limit_s: float) -> OperatorRequest:
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


def _renewed(request: OperatorRequest) -> OperatorRequest:
    """The human may have taken a while to type."""
    from dataclasses import replace

    now_unix_s = time.time()
    return replace(request, at_unix_s=now_unix_s, answer_by_unix_s=now_unix_s + ANSWER_S)


def _judged(
    policy: Policy, store: Store, request: OperatorRequest, ready_s: float
) -> tuple[SiteName, tuple[Gate, ...]]:
    """The active site and every gate, all passing. UserError with all reasons where one is not.

    ``ready_s``: how long to wait for eyes; a controller that stands in has to look around first.
    """
    from failover.cli.look import Observer
    from failover.planning.switchover_gates import begin_gates

    observer = Observer(policy, store)
    give_up_s = time.monotonic() + ready_s
    while True:
        seen = observer.settle()
        if seen.unusable is not None:
            what = seen.view.store_problem or seen.view.state_problem or "there is no state"
            raise UserError(what, todo="`failover status`", code=seen.unusable)
        gates = begin_gates(seen.view, _renewed(request))
        blocking = [gate for gate in gates if gate.passes is not True]
        if not blocking:
            return seen.view.active_site, gates
        if time.monotonic() > give_up_s:
            _refuse(request.to_site, _lines(blocking))
        time.sleep(0.3)


def _lines(gates: Iterable[Gate]) -> list[str]:
    said = {False: "no", None: "unknown"}
    return [f"{g.name} ({said.get(g.passes, 'yes')}): {g.evidence}" for g in gates]


def _refuse(target: SiteName, reasons: Iterable[str]) -> NoReturn:
    lines = "".join(f"\n  - {reason}" for reason in reasons)
    raise UserError(
        f"no switchover to {target}:{lines}",
        todo="nothing was touched; docs/operations/switchover.md has what each reason means",
        code=ExitCode.REFUSED,
    )


def _confirm(from_site: SiteName, target: SiteName) -> None:
    words = f"{target} becomes the active site instead of {from_site}. Type {target} to go on"
    try:
        typed = click.prompt(words, default="", show_default=False, err=True)
    except click.Abort:
        typed = ""
    if typed.strip() != target:
        _refuse(target, ["the name was not typed; --yes does not ask"])


# --------------------------------------------------------------------------- carried out


def _somebody_leads(policy: Policy, store: Store) -> bool:
    """Controllers are alive: they publish, and one leads or is about to be elected.

    A dead one's leadership stays for as long as its session.
    """
    from failover.znode import GroupPaths

    paths = GroupPaths(policy.group)
    started_s, seen = time.monotonic(), set[tuple[str, int]]()
    while time.monotonic() < started_s + LEADER_SEEN_S:
        store.sync()
        nobody = store.read(f"{paths.leadership}/leader") is None
        if nobody and time.monotonic() > started_s + HAND_OVER_S:
            return False
        for site in policy.sites:
            found = store.read(paths.observer(site.name))
            if found is not None:
                seen.add((site.name, found.version))
        if len(seen) > len({name for name, _version in seen}):
            return True  # one of them publishes: controllers are alive
        time.sleep(0.2)
    return False


@contextlib.contextmanager
def _standing_in(policy: Policy, said_site: str | None, password_file: Path) -> Iterator[None]:
    """A controller of this host's site in this process. It does all that one does."""
    import logging

    from failover.controller_service import standing_in
    from failover.events import configure

    site = own_site(policy, said_site)
    click.echo(f"no controller leads: this process stands in for {site}'s", err=True)
    configure(logging.WARNING, to_stderr=True)
    with standing_in(policy, site, password_file):
        yield


@contextlib.contextmanager
def _to_the_end(policy: Policy, store: Store, request: OperatorRequest) -> Iterator[None]:
    """While this process is the only controller it does not leave with a plan standing: the old
    site gets no permit until the plan has ended, and nobody else would end it."""
    click.echo("Ctrl-C does nothing until the plan has ended: nobody else would end it", err=True)
    numbers = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        _until_no_plan(policy, store, request)
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _until_no_plan(policy: Policy, store: Store, request: OperatorRequest) -> None:
    from failover.coordination.requests import withdraw
    from failover.coordination.store import StoreUnavailable
    from failover.state import decode_state
    from failover.znode import GroupPaths

    paths, give_up_s = GroupPaths(policy.group), time.monotonic() + LIMIT_S_MAX
    while time.monotonic() < give_up_s:
        with contextlib.suppress(StoreUnavailable):
            withdraw(store, paths, request.id, "the command has ended")  # where it still waits
            found = store.read(paths.state)
            if found is None or decode_state(found.data, path=paths.state).plan is None:
                return
        time.sleep(0.2)


def _carry_out(
    policy: Policy, store: Store, from_site: SiteName, request: OperatorRequest, output: str
) -> Ended:
    from failover.cli.look import Observer
    from failover.cli.requests import Following
    from failover.coordination.requests import Busy, ask
    from failover.health.predicates import all_serving
    from failover.znode import GroupPaths

    paths, observer = GroupPaths(policy.group), Observer(policy, store)
    following = Following(
        store,
        paths,
        request,
        say=lambda line: click.echo(line, err=True),
        serving=lambda: all_serving(observer.look().view),
    )
    busy = ask(store, paths, request, now_unix_s=time.time())
    if isinstance(busy, Busy):
        other = busy.request
        _refuse(
            request.to_site,
            [f"{other.by} has a {other.kind} to {other.to_site} under way ({other.id})"],
        )
    try:
        last = following.until_ended()
    except KeyboardInterrupt:
        click.echo(
            f"\nno longer followed; request {request.id} goes on without this command. "
            "Follow it with `failover status --watch` and `failover history`",
            err=True,
        )
        raise
    return Ended(
        request=request.id,
        outcome=str(last.phase),
        from_site=str(from_site),
        to_site=str(request.to_site),
        epoch=following.epoch,
        took_s=following.took_s,
        reasons=last.outcome,
    )


# --------------------------------------------------------------------------- words


def _show_dry_run(
    policy: Policy,
    request: OperatorRequest,
    from_site: SiteName,
    gates: tuple[Gate, ...],
    output: str,
) -> None:
    if output == "json":
        ended = Ended(
            "", "dry_run", str(from_site), str(request.to_site), None, None, tuple(_lines(gates))
        )
        print_json({"schema": SWITCHOVER_SCHEMA, **asdict(ended)})
        return
    click.echo(f"switchover of {policy.group} from {from_site} to {request.to_site} would begin:")
    for line in _lines(gates):
        click.echo(f"  {line}")
    click.echo(
        f"1. {from_site} gets no permit any more and follows {request.to_site}: its primaries "
        "stop\n"
        f"2. {request.to_site} replays what they wrote last\n"
        f"3. {request.to_site} is made active in the next epoch, and promoted\n"
        f"writes pause from 1. to 3.; after {request.limit_s:g} s without 3. everything goes back"
    )


def _report(ended: Ended, output: str) -> None:
    if output == "json":
        print_json({"schema": SWITCHOVER_SCHEMA, **asdict(ended)})
    if ended.outcome == "done":
        if output != "json":
            click.echo(
                f"{ended.to_site} is active in epoch {ended.epoch}, {ended.took_s:.1f} s after the "
                "plan was frozen"
                if ended.took_s is not None
                else f"{ended.to_site} is active in epoch {ended.epoch}"
            )
        return
    lines = "".join(f"\n  - {reason}" for reason in ended.reasons)
    gone_back = ended.outcome == "gone_back"
    raise UserError(
        f"the switchover to {ended.to_site} "
        + (f"went back, {ended.from_site} stays active:" if gone_back else "was refused:")
        + lines,
        todo="`failover explain`; docs/operations/switchover.md",
        code=ExitCode.FINDINGS if gone_back else ExitCode.REFUSED,
    )
