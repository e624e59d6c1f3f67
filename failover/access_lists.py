"""The access list that every znode of a group should have, by its path. Pure.

Invariant: whoever shows no key can neither read nor write; nobody but the admin changes a list.
ZooKeeper asks the parent when a znode is made or deleted, so a parent's list says who may do that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from failover.access import May, Role, patroni_of
from failover.model import ScopeName
from failover.policy import Policy
from failover.znode import GroupPaths, ScopePaths

Rights = Mapping[Role, May]

_EVERYTHING = May.READ | May.WRITE | May.CREATE | May.DELETE
_CHILDREN = May.CREATE | May.DELETE
_NOTHING: Rights = MappingProxyType({})

# Below the group's own znode; "*" is any one name. Everybody reads, which is not said again.
_GROUP: Mapping[str, Rights] = MappingProxyType(
    {
        "": {Role.CONTROLLER: May.CREATE},  # the ledger, notifications: with the first of them
        "state": {Role.CONTROLLER: May.WRITE},
        # A takeover creates and deletes the claim: the proof that there is none.
        "writers": {Role.GUARD: _CHILDREN, Role.CONTROLLER: _CHILDREN},
        "writers/*": {Role.GUARD: May.WRITE},
        "sessions": {Role.GUARD: _CHILDREN},
        "sessions/*": {Role.GUARD: May.WRITE},
        "stopped": {Role.GUARD: _CHILDREN, Role.CONTROLLER: _CHILDREN},
        "stopped/*": {Role.GUARD: May.WRITE},
        "history": {Role.CONTROLLER: May.CREATE},
        "history/*": _NOTHING,  # never changed
        "history_head": {Role.CONTROLLER: May.WRITE},
        "residency": {Role.CONTROLLER: May.WRITE},
        "approved": {Role.CONTROLLER: May.WRITE},
        "notifications": {Role.CONTROLLER: May.CREATE},
        "notifications/*": {Role.CONTROLLER: May.WRITE},
        "observers": {Role.CONTROLLER: _CHILDREN},
        "observers/*": {Role.CONTROLLER: May.WRITE},
        "leadership": {Role.CONTROLLER: _CHILDREN},
        "leadership/*": {Role.CONTROLLER: May.WRITE},
        "requests": _NOTHING,
        "requests/operator": {
            Role.OPERATOR: May.WRITE,
            Role.APPROVER: May.WRITE,
            Role.CONTROLLER: May.WRITE,
        },
        "requests/operator.setting": {
            Role.OPERATOR: May.WRITE,
            Role.APPROVER: May.WRITE,
            Role.CONTROLLER: May.WRITE,
        },
        "requests/approver": {Role.APPROVER: May.WRITE, Role.CONTROLLER: May.WRITE},
        "requests/approver.setting": {Role.APPROVER: May.WRITE, Role.CONTROLLER: May.WRITE},
        "salvage": {Role.GUARD: May.CREATE},
        "salvage/*": {Role.GUARD: May.WRITE},
    }
)
OF_THE_SERVER = ("/", "/zookeeper", "/zookeeper/quota")  # open to everybody as it makes them
READERS = (Role.CONTROLLER, Role.GUARD, Role.VIEWER, Role.OPERATOR, Role.APPROVER)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of an access list. ``who``: the name of a key."""

    who: str
    may: May


AccessList = tuple[Entry, ...]


def names(policy: Policy) -> tuple[str, ...]:
    """Of every key of the group."""
    scopes = (patroni_of(scope) for scope in _scopes(policy))
    return (*(role.value for role in Role if role is not Role.PATRONI), *scopes)


class AccessLists:
    """Of one group. ``of`` is called for every znode that is made, so it only looks up."""

    def __init__(self, policy: Policy) -> None:
        self._root = GroupPaths(policy.group).root
        self._group = {path: _closed(rights) for path, rights in _GROUP.items()}
        namespace = policy.patroni_namespace
        self._scopes = {
            ScopePaths(namespace, scope).root: (_scope_list(scope), _fence_list(scope))
            for scope in _scopes(policy)
        }
        above = {each for root in (self._root, *self._scopes) for each in parents(root)}
        self._above = frozenset(above | set(OF_THE_SERVER))

    def of(self, path: str, *, ephemeral: bool) -> AccessList | None:
        """As it should be; None: the znode is none of this group's."""
        if path == self._root:
            return self._group[""]
        if path.startswith(f"{self._root}/"):
            return self._of_group(path.removeprefix(f"{self._root}/"))
        for root, (ordinary, fence) in self._scopes.items():
            if path == root or path.startswith(f"{root}/"):
                inside = path.removeprefix(f"{root}/")
                fenced = inside.startswith("leader") and not ephemeral
                return fence if fenced else ordinary
        return _closed(_NOTHING) if path in self._above else None

    def _of_group(self, inside: str) -> AccessList | None:
        if found := self._group.get(inside):
            return found
        parent, _, _ = inside.rpartition("/")
        return self._group.get(f"{parent}/*")

    def may_have_children(self, path: str) -> bool:
        """So that thousands of entries are not asked for theirs."""
        inside = path.removeprefix(f"{self._root}/")
        return not (path.startswith(f"{self._root}/") and "/" in inside)

    @property
    def roots(self) -> tuple[str, ...]:
        """Everything below these is the group's."""
        return (self._root, *self._scopes)

    @property
    def above(self) -> tuple[str, ...]:
        """What the roots stand in, the outermost first, and what every server has."""
        return tuple(sorted(self._above, key=lambda path: (len(path), path)))


def parents(path: str) -> tuple[str, ...]:
    """What this path stands in, the outermost first, without ``/``."""
    parts = path.strip("/").split("/")
    return tuple("/" + "/".join(parts[:end]) for end in range(1, len(parts)))


def made_first(policy: Policy) -> tuple[str, ...]:
    """What has to be there before anybody but the admin can make anything, in order: the places of
    requests and Patroni's scopes, besides the parents of the group."""
    paths, lists = GroupPaths(policy.group), AccessLists(policy)
    scopes = [ScopePaths(policy.patroni_namespace, scope) for scope in _scopes(policy)]
    return (
        *(path for path in lists.above if path not in OF_THE_SERVER),
        *(path for path in paths.all_parents if path not in lists.above),
        paths.approved,
        *(paths.request_of(approver=each) for each in (False, True)),
        *(paths.setting(approver=each) for each in (False, True)),
        *(path for scope in scopes for path in (scope.root, scope.members)),
    )


def _closed(rights: Rights) -> AccessList:
    return (
        Entry(Role.ADMIN, _EVERYTHING | May.ADMIN),
        *(Entry(role, May.READ | rights.get(role, May(0))) for role in READERS),
    )


def _scope_list(scope: ScopeName) -> AccessList:
    """Patroni's own scope is its own; the controller moves and fences it."""
    rights = {Role.CONTROLLER: _EVERYTHING}
    return (*_closed(rights), Entry(patroni_of(scope), _EVERYTHING))


def _fence_list(scope: ScopeName) -> AccessList:
    """A leader key that lasts is the controller's fence: Patroni sees it, and no more."""
    rights = {Role.CONTROLLER: _EVERYTHING}
    return (*_closed(rights), Entry(patroni_of(scope), May.READ))


def _scopes(policy: Policy) -> Iterable[ScopeName]:
    return (c.scope(site.name) for c in policy.clusters for site in policy.data_sites)
