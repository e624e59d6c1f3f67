"""Whether a controller leads; and a command that is one itself where none does.

Invariant: a command that is the only controller does not leave while a plan stands.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from failover.cli.moves import LIMIT_S_MAX
from failover.cli.options import Decorated, own_site
from failover.cli.signals import handled

if TYPE_CHECKING:
    from failover.coordination.store import Store
    from failover.policy import Policy
    from failover.state import OperatorRequest

READY_S = 20.0  # for a controller that stands in: to look around and to be elected
HAND_OVER_S = 1.5  # between two leaders there is none
LEADER_SEEN_S = 5.0  # a controller that died just now holds the leadership for its session


def stand_in_options(command: Decorated) -> Decorated:
    """``--site`` and ``--password-file``, as ``site`` and ``password_file``."""
    site = click.option(
        "--site", metavar="NAME", help="Where this command runs. Default: this host's."
    )
    password_file = click.option(
        "--password-file",
        type=click.Path(path_type=Path, dir_okay=False),
        default=Path("/etc/failover/secrets/observer.password"),
        show_default=True,
        help="Of the database role failover_observer: for when no controller lives, and for the "
        "checkpoint before a planned move.",
    )
    return site(password_file(command))


def somebody_leads(policy: Policy, store: Store) -> bool:
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
def standing_in_for(policy: Policy, said_site: str | None, password_file: Path) -> Iterator[None]:
    """A controller of this host's site in this process. It does all that one does."""
    import logging

    from failover.controller_service import standing_in
    from failover.logs import configure

    site = own_site(policy, said_site)
    click.echo(f"no controller leads: this process stands in for {site}'s", err=True)
    configure(logging.WARNING, to_stderr=True)
    with standing_in(with_the_controllers_key(policy), site, password_file):
        yield


def with_the_controllers_key(policy: Policy) -> Policy:
    """This host's own where the directory that was named has none: a person's key asks, and does
    not do what controllers do."""
    from failover.access import KEYS_DIRECTORY, Role, key_file

    if (Path(policy.access.directory) / key_file(Role.CONTROLLER)).exists():
        return policy
    return policy.with_keys_in(KEYS_DIRECTORY)


@contextlib.contextmanager
def to_the_end(policy: Policy, store: Store, request: OperatorRequest) -> Iterator[None]:
    """While this process is the only controller it does not leave with a plan standing: the old
    site gets no permit until the plan has ended, and nobody else would end it."""
    click.echo("Ctrl-C does nothing until the plan has ended: nobody else would end it", err=True)
    with handled(signal.SIG_IGN):
        try:
            yield
        finally:
            until_no_plan(policy, store, request)


def until_no_plan(policy: Policy, store: Store, request: OperatorRequest) -> None:
    """Withdraw the request where nobody has taken it up; else wait until its plan has ended."""
    from failover.coordination.requests import withdraw
    from failover.coordination.requests_seen import places
    from failover.coordination.store import StoreUnavailable
    from failover.state import decode_state
    from failover.znode import GroupPaths

    paths, give_up_s = GroupPaths(policy.group), time.monotonic() + LIMIT_S_MAX
    while time.monotonic() < give_up_s:
        with contextlib.suppress(StoreUnavailable):
            for path in places(policy):  # where it still waits
                withdraw(store, path, request.id, "the command has ended")
            found = store.read(paths.state)
            if found is None or decode_state(found.data, path=paths.state).plan is None:
                return
        time.sleep(0.2)
