"""The access lists of a whole group as they are, beside what they should be; and made so.

Invariant: a list is only changed on condition of the version that was read, and nothing is closed
by whoever could not open it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kazoo.security import ACL, OPEN_ACL_UNSAFE

from failover.access import Role, identifier
from failover.access_lists import AccessLists, made_first
from failover.coordination.kazoo_store import AclSeen, KazooStore
from failover.coordination.store import StoreForbidden, StoreUnavailable
from failover.policy import Policy
from failover.znode import Committed, Create, OutcomeUnknown

AT_ONCE = 200
MASKED = "x"  # what ZooKeeper says instead of a digest to whoever may not change the list

Lines = tuple[tuple[str, str], ...]  # who, and what he may, sorted


@dataclass(frozen=True, slots=True)
class Difference:
    """One znode whose list is not as it should be. ``there`` None: the znode is missing."""

    path: str
    there: Lines | None
    wanted: Lines

    @property
    def sentence(self) -> str:
        if self.there is None:
            return "is missing; nobody but the admin can make it"
        more = sorted(set(self.there) - set(self.wanted))
        less = sorted(set(self.wanted) - set(self.there))
        parts = [
            f"lets {_words(more)}" if more else "",
            f"does not let {_words(less)}" if less else "",
        ]
        return "; ".join(part for part in parts if part) or "names another key of the same role"


@dataclass(frozen=True, slots=True)
class _Wrong:
    difference: Difference
    seen: Sequence[ACL]
    acl: Sequence[ACL]  # as it should be
    version: int


def differences(policy: Policy, store: KazooStore) -> tuple[Difference, ...]:
    """Every znode of the group, and what it stands in, whose list is not as failover.yaml has it.

    StoreForbidden where it may not be read; StoreUnavailable.
    """
    store.sync()
    missing = (
        Difference(path, None, lines(_wanted(policy, store, path, ephemeral=False)))
        for path in _missing(policy, store)
    )
    return (*missing, *(wrong.difference for wrong in _wrong(policy, store)))


class LocksOut(Exception):
    """Nothing was changed: whoever shows a key that counts now would show one that counts nowhere.
    The message names whose keys."""


def apply(policy: Policy, store: KazooStore, *, anew: bool = False) -> int:
    """Make them so; how many were changed or made. Run again, it changes what is new or was left.

    A key is replaced by way of lists that name both: LocksOut where a role would lose every key
    that it has now, as by outdated ids. ``anew``: that is wanted. StoreForbidden where this process
    shows no admin's key; nothing is closed then.
    """
    _need_admin(policy, store)
    store.sync()
    if not anew and (gone := sorted(_locked_out(policy, store))):
        raise LocksOut(", ".join(gone))
    made = 0
    for path in _missing(policy, store):
        outcome = store.commit((Create(path, b""),))
        if isinstance(outcome, OutcomeUnknown):
            raise StoreUnavailable(f"creating {path}: {outcome.reason}")
        made += isinstance(outcome, Committed)
    for wrong in _wrong(policy, store):
        made += store.set_acl(wrong.difference.path, wrong.acl, wrong.version)
    return made


def _locked_out(policy: Policy, store: KazooStore) -> set[str]:
    found = set()
    for wrong in _wrong(policy, store):
        before, after = _ids(wrong.seen), _ids(wrong.acl)
        found |= {who for who in before.keys() & after if not before[who] & after[who]}
    return found


def _ids(acl: Sequence[ACL]) -> dict[str, set[str]]:
    """By the name of the key; masked digests and everybody are nobody's."""
    found: dict[str, set[str]] = {}
    for each in acl:
        who, _, digest = str(each.id.id).partition(":")
        if digest and digest != MASKED:
            found.setdefault(who, set()).add(digest)
    return found


def _need_admin(policy: Policy, store: KazooStore) -> None:
    if not policy.access.position.closed:
        return  # whoever may not open it is refused by ZooKeeper
    keys = store.keys
    ids = {identifier(each) for each in keys.credentials} if keys is not None else set()
    ours = {i for each in ids for i in [each] if each.partition(":")[0] == Role.ADMIN}
    allowed = {acl.id.id for acl in _wanted(policy, store, "/", ephemeral=False)}
    if not ours & allowed:
        raise StoreForbidden("no admin's key is shown, so what is closed could not be opened again")


def _missing(policy: Policy, store: KazooStore) -> tuple[str, ...]:
    if not policy.access.position.shown:
        return ()
    wanted = made_first(policy)
    found = store.acls_of(wanted)
    return tuple(path for path in wanted if found[path] is None)


def _wrong(policy: Policy, store: KazooStore) -> Iterator[_Wrong]:
    batch: list[str] = []
    for path in _all(policy, store):
        batch.append(path)
        if len(batch) == AT_ONCE:
            yield from _wrong_of(policy, store, batch)
            batch = []
    yield from _wrong_of(policy, store, batch)


def _wrong_of(policy: Policy, store: KazooStore, paths: list[str]) -> Iterator[_Wrong]:
    for path, seen in store.acls_of(paths).items():
        if seen is None:
            continue
        wanted = _wanted(policy, store, path, ephemeral=seen.ephemeral)
        if not _same(seen, wanted):
            difference = Difference(path, lines(seen.acl), lines(wanted))
            yield _Wrong(difference, seen.acl, wanted, seen.version)


_EVERYBODY: Sequence[ACL] = OPEN_ACL_UNSAFE


def _wanted(policy: Policy, store: KazooStore, path: str, *, ephemeral: bool) -> Sequence[ACL]:
    if not policy.access.position.closed:
        return _EVERYBODY
    if store.keys is None:
        raise StoreForbidden("no key is shown")
    try:
        acl = store.keys.acl(path, ephemeral=ephemeral)
    except KeyError as error:
        raise StoreForbidden(error.args[0]) from None
    return acl if acl is not None else _EVERYBODY


def _same(seen: AclSeen, wanted: Sequence[ACL]) -> bool:
    """The order says nothing. Masked digests are compared by name alone."""
    masked = any(acl.id.id.endswith(f":{MASKED}") for acl in seen.acl)
    if masked:
        return lines(seen.acl) == lines(wanted)
    return set(seen.acl) == set(wanted)


def _all(policy: Policy, store: KazooStore) -> Iterator[str]:
    lists = AccessLists(policy)
    yield from lists.above
    for root in lists.roots:
        yield from _below(lists, store, root)


def _below(lists: AccessLists, store: KazooStore, path: str) -> Iterator[str]:
    if lists.of(path, ephemeral=False) is None:
        return
    yield path
    if lists.may_have_children(path):
        for name in store.children(path):
            yield from _below(lists, store, f"{path}/{name}")


_LETTERS = {1: "r", 2: "w", 4: "c", 8: "d", 16: "a"}


def lines(acl: Sequence[ACL]) -> Lines:
    """Who and what, without digests: letters as in zkCli's getAcl."""
    return tuple(sorted({(_who(each), _may(each.perms)) for each in acl}))


def _who(acl: ACL) -> str:
    return "everybody" if acl.id.scheme == "world" else str(acl.id.id).partition(":")[0]


def _may(perms: int) -> str:
    return "".join(_LETTERS[bit] for bit in (4, 8, 1, 2, 16) if perms & bit)


def _words(found: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{who} ({may or 'nothing'})" for who, may in found)
