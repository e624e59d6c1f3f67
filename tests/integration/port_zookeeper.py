"""What a client can do in ZooKeeper: every permission on every znode of a live tree.

Nothing is changed: ZooKeeper asks a list before it compares a version, so what names an impossible
one fails with that where the list says yes, and with NoAuth where it says no.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from kazoo.exceptions import KazooException, NoAuthError
from kazoo.security import OPEN_ACL_UNSAFE

from failover.access import OPEN, May, Role, patroni_of
from failover.access_lists import AccessLists
from failover.coordination.connect import Connection
from failover.model import SiteName
from failover.policy import Policy
from failover.reference.ports import WRITES, Can, Client, of_key
from failover.znode import GroupPaths, ScopePaths

NO_VERSION = 2**30
CONFIG = "/zookeeper/config"  # the server's own list for it lets everybody read
FOUR_LETTERS = (
    *("conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "hash", "isro"),
    *("mntr", "ruok", "srst", "srvr", "stat", "stmk", "wchc", "wchp", "wchs"),
)
LISTED = {"srvr", "mntr", "ruok", "conf"}
LIMIT_S = 10.0  # to a connection
ANSWER_S = 3.0

KEYS = {
    Client.VIEWER_KEY: Role.VIEWER,
    Client.OPERATOR_KEY: Role.OPERATOR,
    Client.APPROVER_KEY: Role.APPROVER,
    Client.GUARD_KEY: Role.GUARD,
    Client.CONTROLLER_KEY: Role.CONTROLLER,
    Client.ADMIN_KEY: Role.ADMIN,
}


Tree = Mapping[str, bool]  # every path, and whether it is ephemeral
Rights = Mapping[str, May]  # of every path that is still there


@contextlib.contextmanager
def client(policy: Policy, credential: str = "") -> Iterator[Any]:
    """A session that shows this key, ``name:secret``, and no other; kazoo's own client."""
    connection = Connection(replace(policy, access=OPEN))
    try:
        found = connection.wait(LIMIT_S)._client
        if credential:
            found.add_auth("digest", credential)
        yield found
    finally:
        connection.close()


def tree(client: Any) -> Tree:
    """Everything that there is, as whoever may read it all sees it. What goes meanwhile is not."""
    found: dict[str, bool] = {}
    waiting = ["/"]
    while waiting:
        path = waiting.pop()
        with contextlib.suppress(KazooException):
            children, stat = client.get_children(path, include_data=True)
            found[path] = stat.ephemeralOwner != 0
            below = sorted(children)[-3:] if path.endswith("/history") else children
            waiting += [f"{path.rstrip('/')}/{name}" for name in below]
    return found


def rights(client: Any, paths: Iterable[str]) -> Rights:
    """On each of these; all are asked at once, and then waited for. What is gone is left out."""
    asked = {path: (client.exists_async(path), _ask(client, path)) for path in paths}
    return {
        path: sum((each for each, answer in may.items() if not _refused(answer)), May(0))
        for path, (exists, may) in asked.items()
        if not _gone(exists)
    }


def _gone(exists: Any) -> bool:
    with contextlib.suppress(NoAuthError):
        return exists.get(timeout=ANSWER_S) is None
    return False


def _ask(client: Any, path: str) -> dict[May, Any]:
    child = f"{path.rstrip('/')}/ports-audit"
    create = client.transaction()
    create.create(child, b"")
    create.check(path, NO_VERSION)  # so that it fails in any case
    return {
        May.READ: client.get_async(path),
        May.WRITE: client.set_async(path, b"", NO_VERSION),
        May.CREATE: create.commit_async(),
        May.DELETE: client.delete_async(child, NO_VERSION),
        May.ADMIN: client.set_acls_async(path, OPEN_ACL_UNSAFE, NO_VERSION),
    }


def _refused(answer: Any) -> bool:
    """By the list. Whatever else went wrong, that was asked first."""
    try:
        found = answer.get(timeout=ANSWER_S)
    except NoAuthError:
        return True
    except KazooException:
        return False
    return isinstance(found, list) and any(isinstance(each, NoAuthError) for each in found)


# --------------------------------------------------------------------------- in the table's words


def as_everybody(seen: Rights, words: set[str]) -> str:
    """Of a client without a key, where lists are open; the words that are answered."""
    everything = May.READ | May.WRITE | May.CREATE | May.DELETE | May.ADMIN
    less = {path: may for path, may in seen.items() if may != everything and path != CONFIG}
    return Can.EVERY_ZNODE if not less and words == LISTED else f"less on {less}; {words}"


def as_nobody(seen: Rights, words: set[str]) -> str:
    """Of a client without a key that counts, where lists are closed."""
    more = {path: may for path, may in seen.items() if may and path != CONFIG}
    if more or seen[CONFIG] != May.READ or words != LISTED:
        return f"{more}, {seen[CONFIG]!r} on {CONFIG}; {words}"
    return Can.NO_ZNODE


def as_role(policy: Policy, kind: Client, found: Tree, seen: Rights) -> str:
    """Of a key of one of the roles: the list of each znode, and the table's own short words."""
    if wrong := _unlike_the_lists(policy, KEYS[kind].value, found, seen):
        return wrong
    if kind is Client.ADMIN_KEY:
        return of_key(kind)
    written = {_place(policy, path) for path, may in seen.items() if may & ~May.READ}
    there = {_place(policy, path) for path in seen}
    wanted = set(WRITES[kind]) & there
    return of_key(kind) if written == wanted else f"writes {sorted(written)}"


def as_patroni(policy: Policy, site: SiteName, found: Tree, seen: Rights) -> str:
    """Of the key of one scope."""
    scope = policy.clusters[0].scope(site)
    if wrong := _unlike_the_lists(policy, patroni_of(scope), found, seen):
        return wrong
    root = ScopePaths(policy.patroni_namespace, scope).root
    own = {path for path, may in seen.items() if may and path != CONFIG}
    inside = {path for path in seen if path == root or path.startswith(f"{root}/")}
    return of_key(Client.PATRONI_KEY) if own == inside else f"has rights on {sorted(own ^ inside)}"


def _unlike_the_lists(policy: Policy, name: str, found: Tree, seen: Rights) -> str:
    """Where a key may more, or less, than the list that the znode should have; empty: nowhere."""
    lists, wrong = AccessLists(policy), []
    for path, may in seen.items():
        if path == CONFIG:
            continue
        wanted = lists.of(path, ephemeral=found[path])
        if wanted is None:
            wrong.append(f"{path} has no list")
            continue
        said = next((entry.may for entry in wanted if entry.who == name), May(0))
        if may != said:
            wrong.append(f"{path}: {may!r} and not {said!r}")
    return "; ".join(wrong)


def _place(policy: Policy, path: str) -> str:
    """As the table names it."""
    root = GroupPaths(policy.group).root
    if path == root:
        return "the group's own znode"
    if path.startswith(f"{root}/requests/"):
        return path.removeprefix(f"{root}/")
    if path.startswith(f"{root}/"):
        return path.removeprefix(f"{root}/").partition("/")[0]
    if path.startswith(f"{policy.patroni_namespace}/"):
        return "all scopes"
    return path
