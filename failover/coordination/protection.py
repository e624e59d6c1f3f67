"""A protection mode as an operator sets it: one conditional write of ``state``.

Invariant: a weaker mode lets more hosts be promoted, so it is set only while every writer claim is
held, in the very transaction that sets it, unless the loss is accepted on record.
"""

from __future__ import annotations

from dataclasses import replace

from failover.coordination.store import Store
from failover.health.protection import in_sync
from failover.model import ProtectionMode
from failover.policy import Policy
from failover.state import GroupState
from failover.znode import Check, GroupPaths, Op

_STRENGTH = tuple(ProtectionMode)  # the weakest first


class NobodyWrites(Exception):
    """The mode would be weakened while a claim is not held. The message names the cluster."""


class Protection:
    """``change`` and ``beside`` of one setting; each try judges the state that it was read with."""

    def __init__(self, policy: Policy, wanted: ProtectionMode, *, accept_data_loss: bool) -> None:
        self._policy, self._wanted = policy, wanted
        self._accepted = accept_data_loss
        self._weaker = False

    def change(self, state: GroupState) -> GroupState:
        """The state under the mode that is wanted. Asynchronously nobody is on record."""
        self._weaker = _STRENGTH.index(self._wanted) < _STRENGTH.index(state.protection)
        clusters = state.clusters
        if not self._wanted.synchronous:
            clusters = {n: replace(found, have=(), runs={}) for n, found in clusters.items()}
        after = replace(state, protection=self._wanted, clusters=clusters)
        return replace(after, in_sync=in_sync(self._policy, after))

    def beside(self, store: Store) -> tuple[Op, ...]:
        """Every claim is held, where that matters. NobodyWrites where one is not."""
        if not self._weaker or self._accepted:
            return ()
        return tuple(
            self._held(store, GroupPaths(self._policy.group).writer(c.name))
            for c in self._policy.clusters
        )

    def _held(self, store: Store, path: str) -> Check:
        claim = store.read(path)
        if claim is None:
            raise NobodyWrites(
                f"{path}: nobody holds this claim; in a weaker mode a host that lacks acknowledged "
                "commits could be promoted now"
            )
        return Check(path, claim.version)
