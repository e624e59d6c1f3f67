"""What speaks against breaking the glass: asked before anything is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from failover.cli.exit_codes import ExitCode
from failover.cli.options import known_site, load_policy, own_site
from failover.cli.output import UserError

if TYPE_CHECKING:
    from failover.model import SiteName
    from failover.policy import Policy, ZooKeeperServer
    from failover.rebuild.server import ZooKeeperHost

RUNBOOK = "docs/operations/two-sites-lost.md"


def this_server() -> tuple[Policy, ZooKeeperHost, ZooKeeperServer]:
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
    may_write_the_record(policy)
    return policy, host, found[0]


def may_write_the_record(policy: Policy) -> None:
    """Every step opens a session in the end. Without a key it would be refused half-way, with a
    server stopped for nothing, and look as if nobody served. A controller's own does not do: it
    may not write who wrote last."""
    from failover.access import Role
    from failover.coordination.keys import ring_of

    keys = ring_of(policy, None)
    if keys is None or Role.ADMIN in keys.names:
        return
    raise UserError(
        "this takes the admin's key" + (f": {keys.problem}" if keys.problem else ""),
        where="$FAILOVER_KEYS, or /etc/failover/secrets",
        todo="name the directory with that key in $FAILOVER_KEYS: docs/operations/access.md",
        code=ExitCode.FORBIDDEN,
    )


def on_a_data_site(policy: Policy, me: ZooKeeperServer) -> None:
    if me.site not in [site.name for site in policy.data_sites]:
        raise UserError(f"{me.site} holds no data: there is nothing here to go on with")


def all_fenced(policy: Policy, own: SiteName, fenced: tuple[str, ...]) -> None:
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


def nobody_else_answers(policy: Policy, me: ZooKeeperServer) -> None:
    """Anything of a site that is said to be fenced: ZooKeeper, PostgreSQL, Patroni, guard,
    controller, HAProxy."""
    from failover.rebuild.questions import answering

    found = answering(policy, me.site)
    if found:
        raise UserError(
            f"{', '.join(found)} answers: that site is neither lost nor fenced",
            todo="cut its power or its network first",
            code=ExitCode.REFUSED,
        )


def no_quorum_yet(me: ZooKeeperServer) -> None:
    from failover.rebuild.questions import mode, serves

    if serves(mode(me)):
        raise UserError(
            f"{me.name} serves: there is a quorum",
            todo="`failover explain` says what holds",
            code=ExitCode.REFUSED,
        )


def is_a_returned_one(policy: Policy, me: ZooKeeperServer, config: str) -> None:
    """The survivor itself would have nobody to follow, and could not be asked any more."""
    from failover.rebuild import zoo_cfg

    own = {s.myid for s in policy.zookeeper_servers if s.site == me.site}
    seen = zoo_cfg.is_part(config) and not zoo_cfg.is_unseen(config)
    if seen and zoo_cfg.members(config) <= own:
        raise UserError(
            f"{me.name} is the survivor: the others rejoin it",
            todo="`failover break-glass widen` here, when they wait",
            code=ExitCode.REFUSED,
        )


def waiting(policy: Policy, me: ZooKeeperServer, config: str) -> tuple[str, ...]:
    """Who can make the quorum of all with this survivor. Refused where that would be a minority, or
    where somebody serves already without it: that record is another one."""
    from failover.rebuild import zoo_cfg
    from failover.rebuild.questions import answer, elects, serves

    own = {s.myid for s in policy.zookeeper_servers if s.site == me.site}
    mine = zoo_cfg.members(config)
    if not mine <= own:
        raise UserError(
            f"{me.name} is no survivor: it waits for one and has nothing, or little, of the record",
            todo="run it on the survivor",
            code=ExitCode.REFUSED,
        )
    if zoo_cfg.is_unseen(config):
        raise UserError(
            f"{me.name} is no quorum yet: nothing was put on its record",
            todo="`failover break-glass quorum` again; or, where the others serve, `rejoin` here",
            code=ExitCode.REFUSED,
        )
    seen = {s: answer(s) for s in policy.zookeeper_servers}
    others = {s: found for s, found in seen.items() if s.name != me.name and found is not None}
    here = seen[me]
    epoch = here.epoch if here is not None and serves(here.mode) else None
    # A site with two servers: whoever has joined the first of them serves with this one.
    elsewhere = [
        s.name
        for s, found in others.items()
        if s.myid not in mine and serves(found.mode) and (epoch is None or found.epoch != epoch)
    ]
    if elsewhere:
        raise UserError(
            f"{', '.join(elsewhere)} serves in an ensemble that {me.name} is no part of",
            todo=f"find out whose record is the right one before anything else: {RUNBOOK}",
            code=ExitCode.REFUSED,
        )
    there = tuple(s.name for s in others if elects(s))
    if len(there) + 1 < len(policy.zookeeper_servers) // 2 + 1:
        raise UserError(
            f"{len(there) + 1} of {len(policy.zookeeper_servers)} servers take part: no quorum",
            todo="`failover break-glass rejoin` on a returned server first; its ports 2888 and "
            "3888 have to be reached from here",
            code=ExitCode.REFUSED,
        )
    return there


def everybody_knows_everybody(policy: Policy) -> None:
    """Before the ensemble's word counts for every site: a server that knows a part of it only could
    be a quorum of its own with that part. One that does not say is not taken to."""
    from failover.rebuild.questions import knows

    wanted = {s.myid for s in policy.zookeeper_servers}
    partly = []
    for server in policy.zookeeper_servers:
        known = knows(server)
        if known is None:
            partly.append(f"{server.name} does not say whom it knows")
        elif known != wanted:
            partly.append(f"{server.name} knows a part of the ensemble only")
    if partly:
        raise UserError(
            "; ".join(partly),
            todo="`failover break-glass widen` on a survivor, `rejoin` again on a returned one. "
            "Who does not say: `conf` has to be in 4lw.commands.whitelist of its zoo.cfg",
            code=ExitCode.REFUSED,
        )


def members(policy: Policy) -> frozenset[int]:
    """Who the serving ensemble is, as it says itself. Refused where nobody serves: what is about to
    be put aside could be had from nobody."""
    from failover.coordination.connect import open_store
    from failover.coordination.session import OwnFilesUnusable
    from failover.coordination.store import StoreForbidden, StoreUnavailable
    from failover.rebuild import zoo_cfg

    try:
        with open_store(policy) as store:
            found = store.read("/zookeeper/config")
    except (StoreForbidden, OwnFilesUnusable):
        raise  # somebody may serve, and this key or this user is not let in
    except StoreUnavailable:
        found = None
    if found is None:
        raise UserError(
            "no ZooKeeper server serves from here: nobody has the record to join",
            todo="`failover break-glass quorum` at the surviving site first; then look at the link",
            code=ExitCode.REFUSED,
        )
    return zoo_cfg.members(found.data.decode(errors="replace"))
