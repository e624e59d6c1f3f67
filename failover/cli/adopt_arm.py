"""``failover adopt observe|arm|disarm``: the record of a pair that was there before.

Writes this group's own znodes alone: nothing of Patroni's and nothing in PostgreSQL.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from failover.cli.check import everything, observer_password_option
from failover.cli.exit_codes import ExitCode
from failover.cli.options import Number, config_option, load_policy
from failover.cli.output import UserError
from failover.cli.settings import operator, reason_option

if TYPE_CHECKING:
    from failover.cli.look import Seen
    from failover.coordination.store import Store
    from failover.health.view import View
    from failover.model import Epoch, SiteName
    from failover.policy import Policy
    from failover.state import GroupState
    from failover.znode import Op

PAGE = "docs/operations/adopt.md"
LOOK_AGAIN_S = 0.5
LOOK_LONGER_S = 5.0  # where nobody was seen to live at first sight

wait_option = click.option(
    "--wait",
    "wait_s",
    type=Number(min=1, max=600),
    default=15.0,
    show_default=True,
    help="Seconds for the guards to do it.",
)


@click.command("observe")
@reason_option(required=True)
@config_option
def observe(reason: str) -> None:
    """Begin to look: the group's record in ZooKeeper, with guards that hold nothing.

    Controllers look, and record in the group's history what they see; guards that run only watch.
    Nothing of Patroni and nothing in PostgreSQL is written. Refused (exit code 5) where the group
    is in use.
    """
    from failover.coordination.connect import open_store
    from failover.coordination.init import Refused, initialise
    from failover.model import Automation, ProtectionMode

    policy = load_policy()
    if policy.residency.cut:
        raise UserError(
            "residency.cut is on: controllers would end sessions from undeclared networks",
            todo="residency: {cut: false} in failover.yaml, until the group is armed",
            code=ExitCode.REFUSED,
        )
    # Whom commits wait for is the pair's own business until it is armed.
    policy = replace(
        policy, automation=Automation.OBSERVE, protection=ProtectionMode.MAX_PERFORMANCE
    )
    with open_store(policy) as store:
        outcome = initialise(
            store,
            policy,
            now_unix_s=time.time(),
            by=operator(),
            details={"reason": reason},
            armed=False,
        )
    if isinstance(outcome, Refused):
        raise UserError(outcome.reason, todo="nothing was changed", code=ExitCode.REFUSED)
    click.echo(f"group {policy.group}: not armed; controllers look, nothing is done")


@click.command("arm")
@reason_option(required=True)
@wait_option
@observer_password_option
@config_option
def arm(reason: str, wait_s: float, observer_password_file: Path) -> None:
    """Give the guards their servers: each primary gets its permit in place, without a restart.

    Refused (exit code 5) with every reason where something speaks against it. Where not every
    primary has its claim, and every guard is armed, in time, it is taken back (exit code 1).
    Automation is observe afterwards. Run it where `failover check` is run.
    """
    from failover.adoption import arming
    from failover.cli.look import Reader
    from failover.coordination.connect import open_store

    policy = load_policy()
    with open_store(policy) as store:
        reader = Reader(policy, store)
        seen = reader.settle()
        if not seen.view.living_observers:
            seen = reader.settle(LOOK_LONGER_S)
        view = seen.view
        if view.state is not None and view.state.may_move:
            click.echo("nothing to do: it is armed already")
            return
        if view.state is not None and view.state.armed:  # another command was ended meanwhile
            active, epoch = view.state.active_site, view.state.epoch
        else:
            _refuse(policy, store, view, observer_password_file)
            active, epoch = _begin(policy, store, seen, reason)
        missing = _until_nothing(lambda: arming.not_yet(reader.look().view), wait_s)
        if missing:
            _take_back(store, policy, missing, epoch)
        summary = "every guard is armed: the group may be moved"
        words = ("group_armed", summary, reason)
        after = _set(store, policy, words, lambda state: arming.confirmed(state, epoch))
        if after is None:
            raise UserError("disarmed meanwhile by somebody else", code=ExitCode.FINDINGS)
    click.echo(f"group {policy.group}: armed, {active} active, automation observe")


@click.command("disarm")
@reason_option(required=True)
@wait_option
@config_option
def disarm(reason: str, wait_s: float) -> None:
    """Take the servers from the guards again: claims are given back, PostgreSQL goes on.

    From then on Patroni alone decides, inside each site. Refused (exit code 5) while a plan is
    under way or commits wait for standbys. Exit code 1 where a guard does not answer: it gives its
    server free when it reads the record again.
    """
    from failover.adoption import arming
    from failover.cli.look import Reader
    from failover.coordination.connect import open_store

    policy = load_policy()
    with open_store(policy) as store:
        reader = Reader(policy, store)
        _refuse_to_disarm(reader.settle().view)
        summary = "the guards hold nothing any more: Patroni alone decides"
        _set(store, policy, ("group_disarmed", summary, reason), _disarmed)
        left = _until_nothing(lambda: arming.still_armed(reader.look().view), wait_s)
    if left:
        for each in left:
            click.echo(f"  {each}", err=True)
        raise UserError(
            "disarmed on record, and not everywhere yet",
            todo="`systemctl status failover-guard` there",
            code=ExitCode.FINDINGS,
        )
    click.echo(f"group {policy.group}: not armed any more; no guard holds a server")


def _begin(policy: Policy, store: Store, seen: Seen, reason: str) -> tuple[SiteName, Epoch]:
    """The guards are told; which site is active from now on, and in which epoch.

    Patroni's own tools may have moved the pair since it was looked at: then it is refused.
    """
    from failover.adoption import arming

    active, now_s = arming.active_site(seen.view), time.time()
    assert active is not None

    def armed(state: GroupState) -> GroupState:
        if state.armed:
            return state
        if state.protection.synchronous:
            raise UserError(arming.SYNCHRONOUS, todo=PAGE, code=ExitCode.REFUSED)
        return arming.armed(state, active, now_s)

    after = _set(
        store,
        policy,
        ("group_armed", f"the guards hold {active} to the lease from now on", reason),
        armed,
        beside=lambda s: (*_leftovers(s, policy), *_scopes_as_seen(s, policy, seen)),
    )
    if after is None:
        raise UserError("somebody else arms it just now", todo="look again", code=ExitCode.REFUSED)
    return after.active_site, after.epoch


# --------------------------------------------------------------------------- what speaks against it


def _refuse(policy: Policy, store: Store, view: View, password_file: Path) -> None:
    from failover.adoption import arming
    from failover.checks.proven import unproven
    from failover.checks.table import run

    if view.state is None:
        raise UserError(
            view.state_problem or "there is no record of this group",
            todo="`failover adopt observe` first",
            code=ExitCode.STATE_UNREADABLE,
        )
    against = list(arming.against_arming(view))
    against += unproven(run(everything(policy, store, password_file), arming.CHECKS))
    if not against:
        return
    for each in against:
        click.echo(f"  {each}", err=True)
    raise UserError(
        f"not armed: {len(against)} reasons against it",
        todo=f"`failover adopt differences`, `failover check`; {PAGE}",
        code=ExitCode.REFUSED,
    )


def _refuse_to_disarm(view: View) -> None:
    from failover.adoption import arming

    reason = arming.against_disarming(view.state) if view.state is not None else ""
    waiting = [c.name for c in view.clusters if c.active.config and c.active.config.sync_names]
    if waiting:
        reason = (
            f"commits of {', '.join(waiting)} wait for standbys, and nobody would end that when "
            "one is lost: `failover protection max-performance` first"
        )
    if reason:
        raise UserError(reason, todo=PAGE, code=ExitCode.REFUSED)


def _disarmed(state: GroupState) -> GroupState:
    """Judged by the record that is written: what was begun since the look would stand for ever."""
    from failover.adoption import arming

    if what := arming.against_disarming(state):
        raise UserError(what, todo=PAGE, code=ExitCode.REFUSED)
    return arming.disarmed(state)


# --------------------------------------------------------------------------- the record


def _set(
    store: Store,
    policy: Policy,
    words: tuple[str, str, str],
    change: Callable[[GroupState], GroupState],
    *,
    beside: Callable[[Store], tuple[Op, ...]] = lambda _store: (),
) -> GroupState | None:
    """``words``: event, summary, reason. The state afterwards; None: it was so already."""
    from failover.coordination.settings import Setting, apply_setting

    event, summary, reason = words
    setting = Setting(event, summary, operator(), {"reason": reason}, change, beside)
    return apply_setting(store, policy, setting, now_unix_s=time.time())


def _leftovers(store: Store, policy: Policy) -> tuple[Op, ...]:
    """Who wrote last, from before this pair was left to itself: it binds nobody any more."""
    from failover.znode import Delete, GroupPaths

    paths = GroupPaths(policy.group)
    wanted = [
        path
        for cluster in policy.clusters
        for path in (paths.last_writer(cluster.name), paths.stopped(cluster.name))
    ]
    found = [store.read(path) for path in wanted]
    return tuple(Delete(znode.path, znode.version) for znode in found if znode is not None)


def _scopes_as_seen(store: Store, policy: Policy, seen: Seen) -> Iterator[Op]:
    """Which site is active was judged by Patroni's configuration of every scope."""
    from failover.znode import Check, ScopePaths

    for scope in seen.inputs.scopes:
        name = policy.cluster(scope.cluster).scope(scope.site)
        path = ScopePaths(policy.patroni_namespace, name).config
        now = store.read(path)
        if scope.config is None or now is None or now.version != scope.config.version:
            what = f"Patroni's configuration of {name} was changed since it was looked at"
            raise UserError(what, todo="look again", code=ExitCode.REFUSED)
        yield Check(path, now.version)


def _until_nothing(look: Callable[[], tuple[str, ...]], limit_s: float) -> tuple[str, ...]:
    """What is left after ``limit_s``."""
    until_s = time.monotonic() + limit_s
    while (left := look()) and time.monotonic() < until_s:
        time.sleep(LOOK_AGAIN_S)
    return left


def _take_back(store: Store, policy: Policy, missing: tuple[str, ...], epoch: Epoch) -> NoReturn:
    from failover.adoption import arming

    reason = "; ".join(missing)[:500]
    words = ("group_disarmed", "not every guard was armed in time", reason)
    _set(store, policy, words, lambda state: arming.taken_back(state, epoch))
    for each in missing:
        click.echo(f"  {each}", err=True)
    raise UserError(
        "armed, and taken back: not every guard held its server in time",
        todo="`failover guard status` on these hosts, and their journals",
        code=ExitCode.FINDINGS,
    )
