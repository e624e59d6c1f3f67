"""``failover break-glass``: two sites are lost, so ZooKeeper has no quorum and nothing is decided.

``quorum`` makes one of the surviving site's own servers, ``rejoin`` brings a returned server into
it without its old data, ``widen`` makes the survivors members of the whole ensemble again. Each
runs as root on the ZooKeeper host that it is about (docs/operations/two-sites-lost.md).
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from failover.cli.exit_codes import ExitCode
from failover.cli.options import config_option, known_site, load_policy, own_site
from failover.cli.output import UserError
from failover.cli.settings import operator, reason_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from failover.coordination.store import Store
    from failover.model import SiteName
    from failover.policy import Policy, ZooKeeperServer
    from failover.rebuild.server import ZooKeeperHost
    from failover.state import GroupState

ANSWER_LIMIT_S = 1.0
SERVES_LIMIT_S = 60.0
RUNBOOK = "docs/operations/two-sites-lost.md"


@click.group("break-glass")
def command() -> None:
    """When two sites are lost and ZooKeeper has no quorum left. Read the runbook first."""


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
@click.option("--yes", is_flag=True, help="Do not ask for the site's name.")
@config_option
def quorum(fenced: tuple[str, ...], reason: str, yes: bool) -> None:
    """Make a quorum of this site's own ZooKeeper servers, from their own data.

    Refused while the ensemble answers, or any server of a site that is said to be fenced does.
    What these servers did not hear of before the loss is gone from the record.
    """
    from failover.rebuild import zoo_cfg

    policy, host, me = _this_server()
    if me.site not in [site.name for site in policy.data_sites]:
        raise UserError(f"{me.site} holds no data: there is nothing here to go on with")
    keep = frozenset(s.myid for s in policy.zookeeper_servers if s.site == me.site)
    _all_fenced(policy, me.site, fenced)
    _nobody_else_answers(policy, me)
    if not yes:
        _confirm(f"{me.site} becomes the only site of the ensemble", me.site)
    with _told(host):
        host.stop()
        click.echo(f"a copy of the data is in {host.copy_data()}")
        epoch = host.raise_epoch()
        old = host.write_config(zoo_cfg.alone(host.config, keep))
        click.echo(f"{me.name} stands for {me.site} alone from epoch {epoch} on (was: {old})")
        host.start()
    with _serving(policy) as store:
        state = _record(store, policy, me.site, reason)
    _say_what_next(policy, me.site, state)


@command.command("rejoin")
@click.option("--yes", is_flag=True, help="Do not ask for the server's name.")
@config_option
def rejoin(yes: bool) -> None:
    """Bring this returned ZooKeeper server into the ensemble without what it knew.

    Its data is put aside, never deleted. One server at a time: two that still have their old data
    could make the old quorum again, and with it let the lost site write.
    """
    from failover.rebuild import zoo_cfg

    policy, host, me = _this_server()
    if zoo_cfg.is_alone(host.config):
        raise UserError(
            f"{me.name} is a survivor: its data is the record",
            todo="`failover break-glass widen` here, once another server has rejoined",
            code=ExitCode.REFUSED,
        )
    _survivor_serves(policy, me)
    if not yes:
        _confirm(f"the data of {me.name} is put aside", me.name)
    with _told(host):
        host.stop()
        click.echo(f"the data it had is in {host.set_data_aside()}")
        host.start()
    click.echo(
        f"{me.name} waits for the ensemble. Next: `failover break-glass widen` on the survivor"
    )


@command.command("widen")
@config_option
def widen() -> None:
    """Make this surviving server a member of the whole ensemble again.

    A server that has rejoined must be waiting; the survivor's restart is a short election.
    """
    from failover.rebuild import zoo_cfg

    policy, host, me = _this_server()
    if not zoo_cfg.is_alone(host.config):
        raise UserError(f"{me.name} is a member of the whole ensemble", code=ExitCode.REFUSED)
    others = [s for s in policy.zookeeper_servers if s.name != me.name and _answers(s)]
    wanted = len(policy.zookeeper_servers) // 2 + 1
    if len(others) + 1 < wanted:
        raise UserError(
            f"{len(others) + 1} of {len(policy.zookeeper_servers)} servers answer: no quorum",
            todo="`failover break-glass rejoin` on a returned server first",
            code=ExitCode.REFUSED,
        )
    with _told(host):
        old = host.write_config(_rendered(policy, me))
        host.stop()
        host.start()
        click.echo(f"{me.name} is a member of the whole ensemble again (was: {old})")
    with _serving(policy):
        click.echo("the ensemble serves")


# --------------------------------------------------------------------------- pieces


def _this_server() -> tuple[Policy, ZooKeeperHost, ZooKeeperServer]:
    """This host's ZooKeeper server, by its site and its ``myid``."""
    from failover.rebuild.server import ServerError, ZooKeeperHost

    policy = load_policy()
    site, host = own_site(policy, None), ZooKeeperHost()
    try:
        myid = host.myid
    except ServerError as error:
        raise UserError(str(error), todo=f"run it on a ZooKeeper host: {RUNBOOK}") from None
    found = [s for s in policy.zookeeper_servers if (s.site, s.myid) == (site, myid)]
    if not found:
        raise UserError(f"failover.yaml has no ZooKeeper server {myid} in {site}")
    return policy, host, found[0]


def _all_fenced(policy: Policy, own: SiteName, fenced: tuple[str, ...]) -> None:
    said = {known_site(policy, name) for name in fenced}
    if own in said:
        raise UserError(f"{own} is where this command runs: it is not fenced")
    missing = [site.name for site in policy.sites if site.name != own and site.name not in said]
    if missing:
        raise UserError(
            f"nothing is said of {', '.join(missing)}",
            todo="fence every other site and name it: two of them could go on without us",
            code=ExitCode.REFUSED,
        )


def _nobody_else_answers(policy: Policy, me: ZooKeeperServer) -> None:
    """A quorum that is there, or a server of a site that is fenced, speaks against it."""
    answering = [s.name for s in policy.zookeeper_servers if s.site != me.site and _answers(s)]
    if answering:
        raise UserError(
            f"{', '.join(answering)} answers: that site is neither lost nor fenced",
            todo="cut its power or its network first",
            code=ExitCode.REFUSED,
        )
    if _mode(me) not in (None, "no_quorum"):
        raise UserError(
            f"{me.name} serves: there is a quorum",
            todo="`failover explain` says what holds",
            code=ExitCode.REFUSED,
        )


def _survivor_serves(policy: Policy, me: ZooKeeperServer) -> None:
    """Without it nobody could give this server the data that it is about to put aside."""
    serving = [
        s.name
        for s in policy.zookeeper_servers
        if s.name != me.name and _mode(s) in ("leader", "follower")
    ]
    if not serving:
        raise UserError(
            "no other ZooKeeper server serves from here: nobody has the record to join",
            todo="`failover break-glass quorum` at the surviving site first; then look at the link",
            code=ExitCode.REFUSED,
        )
    if _mode(me) in ("leader", "follower"):
        raise UserError(
            f"{me.name} serves already",
            todo="with its old data it must not: stop it, and see which servers it sits with",
            code=ExitCode.REFUSED,
        )


def _answers(server: ZooKeeperServer) -> bool:
    return _mode(server) is not None


def _mode(server: ZooKeeperServer) -> str | None:
    """What the server says of itself; None without an answer."""
    import asyncio

    from failover.health.observation import NoAnswer
    from failover.sites.zookeeper_status import ask_zookeeper

    found = asyncio.run(ask_zookeeper(server, ANSWER_LIMIT_S))
    return None if isinstance(found, NoAnswer) else str(found.mode)


def _rendered(policy: Policy, me: ZooKeeperServer) -> str:
    """zoo.cfg as `failover config render` makes it for this host."""
    from pathlib import PurePosixPath

    from failover.render.files import render

    return render(policy)[PurePosixPath(me.site, me.name, "etc/zookeeper/zoo.cfg")]


def _confirm(what: str, name: str) -> None:
    try:
        typed = click.prompt(f"{what}. Type {name} to go on", default="", err=True)
    except click.Abort:
        typed = ""
    if typed.strip() != name:
        raise UserError("the name was not typed; nothing was touched", code=ExitCode.REFUSED)


@contextlib.contextmanager
def _told(host: ZooKeeperHost) -> Iterator[None]:
    """A failure on this host says what was left how."""
    from failover.rebuild.server import ServerError

    try:
        yield
    except (ServerError, OSError) as error:
        raise UserError(
            str(error),
            todo=f"nothing was deleted: what was there is beside it; `journalctl -u zookeeper`; "
            f"{RUNBOOK}",
            code=ExitCode.FINDINGS,
        ) from None


@contextlib.contextmanager
def _serving(policy: Policy) -> Iterator[Store]:
    """A store once the ensemble answers. StoreUnavailable when it does not within a minute."""
    from failover.coordination.connect import open_store

    with open_store(policy, SERVES_LIMIT_S) as store:
        yield store


def _record(store: Store, policy: Policy, site: SiteName, reason: str) -> GroupState:
    """On record for good: who made a quorum of one site, and why; and of whom it knows nothing."""
    from failover.coordination.settings import Setting, apply_setting, read_state

    lost = policy.other_data_site(site).name

    def change(state: GroupState) -> GroupState:
        return replace(state, unproven_site=lost)

    summary = f"the quorum was rebuilt at {site} alone"
    fenced = ", ".join(s.name for s in policy.sites if s.name != site)
    details = {"reason": reason, "fenced_by_hand": f"{fenced}, says {operator()}"}
    setting = Setting("quorum_rebuilt", summary, operator(), details, change)
    after = apply_setting(store, policy, setting, now_unix_s=time.time())
    return after if after is not None else read_state(store, policy)[0]


def _say_what_next(policy: Policy, site: SiteName, state: GroupState) -> None:
    click.echo(f"the ensemble serves: epoch {state.epoch}, {state.active_site} active on record")
    if state.active_site == site:
        click.echo(f"{site} is the active site: its primary starts by itself")
        return
    click.echo(
        f"next: failover takeover --to {site} --i-have-fenced {state.active_site} "
        "--reason … [--accept-data-loss]"
    )
