"""ZooKeeper's tree as an immutable value: one transaction takes it to the next one, or is refused.

The rules are ZooKeeper's (Programmer's Guide, "Data Access"): a parent must exist, ephemerals have
no children, a node with children cannot be deleted, versions count the changes of the data.
"""

from __future__ import annotations

from typing import NamedTuple

from failover.znode import Check, Conflict, Create, Delete, Op, Set, Transaction, Znode

MISSING = "does not exist"
OTHER_VERSION = "has another version"
EXISTS = "exists already"
HAS_CHILDREN = "has children"
EPHEMERAL_PARENT = "refused by ZooKeeper: NoChildrenForEphemeralsError"


class Node(NamedTuple):
    znode: Znode
    children: frozenset[str]
    changes: int  # of the children; numbers the sequence nodes


Tree = dict[str, Node]  # never changed once it is in a ``Tree`` of the ensemble

EMPTY: Tree = {"/": Node(Znode("/", b"", 0), frozenset(), 0)}


class Refused(Exception):
    """The operation cannot happen; the message is the reason."""


def parent_of(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def apply(
    tree: Tree, transaction: Transaction, session_id: int
) -> tuple[Tree, list[str]] | Conflict:
    """The next tree and the final path of each Create, or which operation was refused and why."""
    draft = dict(tree)
    created: list[str] = []
    for index, op in enumerate(transaction):
        try:
            _apply_one(draft, op, session_id, created)
        except Refused as refusal:
            return Conflict(index, op, str(refusal))
    return draft, created


def without_session(tree: Tree, session_id: int) -> tuple[Tree, list[str]]:
    """The tree after that session's end, and which ephemerals went with it."""
    gone = [path for path, node in tree.items() if node.znode.ephemeral_owner == session_id]
    draft = dict(tree)
    for path in gone:
        _remove(draft, path)
    return draft, gone


def _apply_one(draft: Tree, op: Op, session_id: int, created: list[str]) -> None:
    if isinstance(op, Create):
        created.append(_create(draft, op, session_id))
        return
    node = draft.get(op.path)
    if node is None:
        raise Refused(MISSING)
    if op.version not in (-1, node.znode.version):
        raise Refused(OTHER_VERSION)
    if isinstance(op, Set):
        old = node.znode
        znode = Znode(op.path, op.data, old.version + 1, old.ephemeral_owner, old.children_count)
        draft[op.path] = Node(znode, node.children, node.changes)
    elif isinstance(op, Delete):
        if node.children:
            raise Refused(HAS_CHILDREN)
        _remove(draft, op.path)
    else:
        assert isinstance(op, Check)


def _create(draft: Tree, op: Create, session_id: int) -> str:
    parent_path = parent_of(op.path)
    parent = draft.get(parent_path)
    if parent is None:
        raise Refused(MISSING)
    if parent.znode.ephemeral_owner:
        raise Refused(EPHEMERAL_PARENT)
    path = f"{op.path}{parent.changes:010d}" if op.sequence else op.path
    if path in draft:
        raise Refused(EXISTS)
    _set_children(draft, parent, parent.children | {path.rpartition("/")[2]})
    draft[path] = Node(Znode(path, op.data, 0, session_id if op.ephemeral else 0), frozenset(), 0)
    return path


def _remove(draft: Tree, path: str) -> None:
    parent = draft[parent_of(path)]
    _set_children(draft, parent, parent.children - {path.rpartition("/")[2]})
    del draft[path]


def _set_children(draft: Tree, parent: Node, children: frozenset[str]) -> None:
    old = parent.znode
    znode = Znode(old.path, old.data, old.version, old.ephemeral_owner, len(children))
    draft[old.path] = Node(znode, children, parent.changes + 1)
