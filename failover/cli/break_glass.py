"""``failover break-glass``: two sites are lost, so ZooKeeper has no quorum and nothing is decided.

``quorum`` makes one of the surviving site's own servers, ``rejoin`` brings a returned server into
it without its old data, ``widen`` makes the survivors members of the whole ensemble again, ``done``
ends the story. The first three run as root on the ZooKeeper host that they are about, and each may
be run again where it was interrupted (docs/operations/two-sites-lost.md).
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import click

from failover.cli.break_glass_checks import (
    RUNBOOK,
    all_fenced,
    everybody_knows_everybody,
    is_a_returned_one,
    members,
    no_quorum_yet,
    nobody_else_answers,
    on_a_data_site,
    this_server,
    waiting,
)
from failover.cli.exit_codes import ExitCode
from failover.cli.history import time_text
from failover.cli.moves import typed
from failover.cli.options import config_option, load_policy
from failover.cli.output import UserError
from failover.cli.settings import operator, reason_option, set_in_state
from failover.cli.signals import interrupted_once

if TYPE_CHECKING:
    from collections.abc import Iterator

    from failover.coordination.store import Store
    from failover.model import SiteName
    from failover.policy import Policy, ZooKeeperServer
    from failover.rebuild.server import ZooKeeperHost
    from failover.state import GroupState

SERVES_LIMIT_S = 60.0
LOOK_AGAIN_S = 0.2
JOINED_LIMIT_S = 15.0  # an election, and the whole record to whoever has none


@click.group("break-glass")
def command() -> None:
    """When two sites are lost and ZooKeeper has no quorum left. Read the runbook first."""


# --------------------------------------------------------------------------- quorum


@command.command("quorum")
@click.option(
    "--i-have-fenced",
    "fenced",
    metavar="SITE",
    multiple=True,
    required=True,
    help="A lost site that cannot come back by itself: its power or its network is off. Every "
    "other site has to be named.",
)
@reason_option(required=True)
@click.option(
    "--accept-data-loss",
    is_flag=True,
    help="Where this site is the active one on record: what the others did since is given up.",
)
@click.option("--yes", is_flag=True, help="Do not ask for the site's name.")
@config_option
def quorum(fenced: tuple[str, ...], reason: str, accept_data_loss: bool, yes: bool) -> None:
    """Make a quorum of this site's own ZooKeeper servers, from their own data.

    Refused while the ensemble answers, or anything of a site that is said to be fenced does.
    What these servers did not hear of is gone from the record. Given again where it was done, it
    stops nothing.
    """
    from failover.rebuild import zoo_cfg
    from failover.rebuild.questions import mode, serves

    policy, host, me = this_server()
    keep = [s.myid for s in policy.zookeeper_servers if s.site == me.site]
    on_a_data_site(policy, me)
    all_fenced(policy, me.site, fenced)
    nobody_else_answers(policy, me)
    full, config = _rendered(policy, me), host.config
    begun = zoo_cfg.is_part(config) and zoo_cfg.members(config) == frozenset(keep)
    if begun and not zoo_cfg.is_unseen(config) and serves(mode(me)):
        _say_what_next(me.site, _on_record(policy))
        return
    with _told():
        ends = time_text(host.last_write_unix_s(begun=begun))
        if not begun:
            no_quorum_yet(me)
        click.echo(f"its record ends at {ends}", err=True)
        if not yes:
            _confirm(f"{me.site} becomes the only site of the ensemble", me.site)
        host.stop()
        if not begun:
            click.echo(f"a copy of the data is in {host.copy_data()}")
        # On record before anybody else is let in: who comes first must find what is proved. And
        # nobody's member before it outranks everybody, whatever happens in between.
        host.write_config(zoo_cfg.part(full, keep, unseen=True))
        click.echo(f"{me.name} stands for {me.site} alone from epoch {host.raise_epoch()} on")
        host.start()
        details = {"reason": reason, "record_ended": ends}
        if accept_data_loss:
            details["data_loss"] = f"accepted by {operator()}"
        state = _record(policy, me, details, again=begun, accept_data_loss=accept_data_loss)
        _restart_with(host, zoo_cfg.part(full, keep))
    _wait_serving(me, SERVES_LIMIT_S)
    _say_what_next(me.site, state)


def _record(
    policy: Policy,
    me: ZooKeeperServer,
    details: dict[str, str],
    *,
    again: bool,
    accept_data_loss: bool,
) -> GroupState:
    """On record for good: who made a quorum of one site, and why; and of whom it knows nothing."""
    from failover.coordination.connect import open_store
    from failover.coordination.settings import Setting, apply_setting, read_state
    from failover.rebuild.record import rebuilt, timelines_ahead
    from failover.znode import GroupPaths, Set

    lost = policy.other_data_site(me.site).name
    fenced = ", ".join(s.name for s in policy.sites if s.name != me.site)
    last_writers = [GroupPaths(policy.group).last_writer(c.name) for c in policy.clusters]

    def beside(store: Store) -> tuple[Set, ...]:
        found = (store.read(path) for path in last_writers)
        return tuple(op for znode in found if znode is not None for op in timelines_ahead(znode))

    setting = Setting(
        "quorum_rebuilt",
        f"the quorum was rebuilt at {me.site} alone",
        operator(),
        details | {"fenced_by_hand": f"{fenced}, says {operator()}"},
        lambda state: rebuilt(state, lost, now_unix_s=time.time(), again=again),
        beside,
    )
    with open_store(policy, SERVES_LIMIT_S, only=me) as store:
        state, _ = read_state(store, policy)
        if state.active_site == me.site and not accept_data_loss:
            raise UserError(
                f"{me.site} is the active site on this record, which ends at "
                f"{details['record_ended']}: what another site did since would be given up",
                todo="say --accept-data-loss, in this command again; nobody is let in before that. "
                "Where the others are back and serve: `failover break-glass rejoin` here",
                code=ExitCode.REFUSED,
            )
        apply_setting(store, policy, setting, now_unix_s=time.time())
        return read_state(store, policy)[0]


def _on_record(policy: Policy) -> GroupState:
    from failover.coordination.connect import open_store
    from failover.coordination.settings import read_state

    with open_store(policy) as store:
        return read_state(store, policy)[0]


def _say_what_next(site: SiteName, state: GroupState) -> None:
    click.echo(f"the ensemble serves: epoch {state.epoch}, {state.active_site} active on record")
    if state.active_site == site:
        click.echo(f"{site} is the active site: its primary starts by itself")
        return
    click.echo(
        f"next: failover takeover --to {site} --i-have-fenced {state.active_site} "
        "--reason … [--accept-data-loss]"
    )


# --------------------------------------------------------------------------- the way back


@command.command("rejoin")
@click.option("--yes", is_flag=True, help="Do not ask for the server's name.")
@config_option
def rejoin(yes: bool) -> None:
    """Bring this returned ZooKeeper server into the ensemble without what it knew.

    Its data is put aside, never deleted. It knows the survivors and itself, and so agrees to
    nothing without them. Run it again when the survivors are widened: then it knows everybody. It
    is also the way back from a `quorum` that was not gone on with, when the others serve.
    """
    from failover.rebuild import zoo_cfg
    from failover.rebuild.questions import mode, serves

    policy, host, me = this_server()
    before = host.config
    is_a_returned_one(policy, me, before)
    known, full, here = members(policy), _rendered(policy, me), mode(me)
    abandoned = zoo_cfg.is_unseen(before)
    if zoo_cfg.is_part(before) and not abandoned and here is not None:
        _settle(host, me, full, follows=serves(here))
        return
    if serves(here):
        raise UserError(
            f"{me.name} serves already, and knows every server",
            todo="nothing is to be done; with its old data see which servers it sits with",
            code=ExitCode.REFUSED,
        )
    if not yes:
        _confirm(f"the data of {me.name} is put aside", me.name)
    with _told():
        text = zoo_cfg.part(full, known | {me.myid})
        host.stop()
        # At no moment may it have old data that outranks everybody, or none, and know everybody.
        if not abandoned:
            host.write_config(text)
        click.echo(f"the data it had is in {host.set_data_aside()}")
        if abandoned:
            host.write_config(text)
        host.start()
    click.echo(
        f"{me.name} waits for the survivors. Next: `failover break-glass widen` there, "
        "and then this command once more"
    )


def _settle(host: ZooKeeperHost, me: ZooKeeperServer, full: str, *, follows: bool) -> None:
    """The last step: it has the survivors' record and may know everybody."""
    if not follows:
        raise UserError(
            f"{me.name} waits for the survivors",
            todo="`failover break-glass widen` there",
            code=ExitCode.REFUSED,
        )
    with _told():
        host.stop()
        host.write_config(full)
        host.start()
    click.echo(f"{me.name} is a member of the whole ensemble again")


@command.command("widen")
@config_option
def widen() -> None:
    """Make this surviving server a member of the whole ensemble again.

    Servers that have rejoined must be waiting; the survivor's restart is a short election.
    """
    from failover.coordination.store import StoreUnavailable
    from failover.rebuild import zoo_cfg
    from failover.rebuild.questions import mode, serves

    policy, host, me = this_server()
    before, full = host.config, _rendered(policy, me)
    if not zoo_cfg.is_part(before) and not serves(mode(me)):  # cut off in the middle: once more
        before = host.config_before() or before
    if not zoo_cfg.is_part(before):
        raise UserError(f"{me.name} knows every server already", code=ExitCode.REFUSED)
    there = waiting(policy, me, before)
    alone = f"no quorum was made with {', '.join(there)}; {me.name} stands alone again"
    with _told(), interrupted_once():
        try:
            _restart_with(host, full)
            _wait_serving(me, JOINED_LIMIT_S)
        except BaseException as error:
            _restart_with(host, before)  # also where the terminal is gone: alone it serves
            if not isinstance(error, StoreUnavailable | KeyboardInterrupt):
                raise
            todo = "ports 2888 and 3888, both ways"
            raise UserError(alone, todo=todo, code=ExitCode.FINDINGS) from None
    click.echo(f"{me.name} is a member of the whole ensemble again, and it serves")


def _restart_with(host: ZooKeeperHost, text: str) -> None:
    host.stop()
    host.write_config(text)
    host.start()


@command.command("done")
@reason_option(required=True)
@config_option
def done(reason: str) -> None:
    """Every server is back with this record: what the ensemble says of every site counts again."""
    from failover.health.observation import ZooKeeperMode
    from failover.rebuild.questions import answer, serves
    from failover.rebuild.record import proven

    policy = load_policy()
    seen = {server.name: answer(server) for server in policy.zookeeper_servers}
    away = [name for name, found in seen.items() if found is None or not serves(found.mode)]
    if away:
        raise UserError(
            f"not serving: {', '.join(away)}",
            todo=f"bring them back first: {RUNBOOK}",
            code=ExitCode.REFUSED,
        )
    found = [one for one in seen.values() if one is not None]
    leaders = sum(one.mode is ZooKeeperMode.LEADER for one in found)
    if leaders != 1 or len({one.epoch for one in found}) != 1:
        raise UserError(
            f"they are not one ensemble: {leaders} of them lead",
            todo=f"stop those that have not rejoined: {RUNBOOK}",
            code=ExitCode.REFUSED,
        )
    everybody_knows_everybody(policy)
    summary = "the ensemble is whole again: its claims count for every site"
    set_in_state("quorum_whole", summary, {"reason": reason}, proven)


# --------------------------------------------------------------------------- pieces


def _rendered(policy: Policy, me: ZooKeeperServer) -> str:
    """zoo.cfg as ``failover config render`` makes it for this host: every server."""
    from pathlib import PurePosixPath

    from failover.render.files import render

    return render(policy)[PurePosixPath(me.site, me.name, "etc/zookeeper/zoo.cfg")]


def _confirm(what: str, name: str) -> None:
    if typed(f"{what}. Type {name} to go on") != name:
        raise UserError("the name was not typed; nothing was touched", code=ExitCode.REFUSED)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """A failure on this host says what was left how."""
    from failover.rebuild.server import ServerError

    try:
        yield
    except (ServerError, OSError, ValueError) as error:
        raise UserError(
            str(error),
            todo="nothing was deleted: what was there is kept. `journalctl -u zookeeper`, "
            f"then this command again; {RUNBOOK}",
            code=ExitCode.FINDINGS,
        ) from None


def _wait_serving(me: ZooKeeperServer, limit_s: float) -> None:
    """StoreUnavailable where this server is part of no quorum within the limit."""
    from failover.coordination.store import StoreUnavailable
    from failover.rebuild.questions import mode, serves

    until_s = time.monotonic() + limit_s
    while not serves(mode(me)):
        if time.monotonic() > until_s:
            raise StoreUnavailable(f"{me.name} is part of no quorum, {limit_s:g} s after its start")
        time.sleep(LOOK_AGAIN_S)
