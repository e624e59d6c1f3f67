"""What every ``Store`` must do, the simulated and the real one.

A suite for inheritance: a test class gives the fixture ``opener``, a callable that opens a new
session on one and the same ensemble and returns its store, and ``end``, which ends a session.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from failover.coordination.store import Store
from failover.znode import Check, Committed, Conflict, Create, Delete, Set

Opener = Callable[[], Store]
End = Callable[[Store], None]


class StoreContract:
    @pytest.fixture
    def opener(self) -> Opener:
        raise NotImplementedError

    @pytest.fixture
    def end(self) -> End:
        raise NotImplementedError

    @pytest.fixture
    def store(self, opener: Opener) -> Store:
        store = opener()
        assert isinstance(store.commit((Create("/t", b""),)), Committed)
        return store

    def test_a_created_znode_is_read_back_with_version_0(self, store: Store) -> None:
        assert store.commit((Create("/t/a", b"one"),)) == Committed(("/t/a",))
        znode = store.read("/t/a")
        assert znode is not None
        assert (znode.data, znode.version, znode.ephemeral_owner) == (b"one", 0, 0)

    def test_what_does_not_exist_is_none_and_has_no_children(self, store: Store) -> None:
        assert store.read("/t/none") is None
        assert store.children("/t/none") == ()

    def test_children_are_sorted_names_and_counted(self, store: Store) -> None:
        store.commit((Create("/t/b", b""), Create("/t/a", b""), Create("/t/a/x", b"")))
        assert store.children("/t") == ("a", "b")
        parent = store.read("/t")
        assert parent is not None
        assert parent.children_count == 2

    def test_set_counts_versions_and_refuses_another(self, store: Store) -> None:
        store.commit((Create("/t/a", b"0"),))
        assert store.commit((Set("/t/a", b"1", 0),)) == Committed()
        again = Set("/t/a", b"2", 0)
        assert store.commit((again,)) == Conflict(0, again, "has another version")
        znode = store.read("/t/a")
        assert znode is not None
        assert (znode.data, znode.version) == (b"1", 1)

    def test_all_or_nothing(self, store: Store) -> None:
        check = Check("/t", 7)
        outcome = store.commit((Create("/t/a", b""), check, Create("/t/b", b"")))
        assert outcome == Conflict(1, check, "has another version")
        assert store.children("/t") == ()

    @pytest.mark.parametrize("op", [Check("/t/no", 0), Delete("/t/no"), Set("/t/no", b"", 0)])
    def test_nothing_happens_to_what_does_not_exist(
        self, store: Store, op: Check | Delete | Set
    ) -> None:
        assert store.commit((op,)) == Conflict(0, op, "does not exist")

    def test_a_parent_must_exist(self, store: Store) -> None:
        op = Create("/t/no/child", b"")
        assert store.commit((op,)) == Conflict(0, op, "does not exist")

    def test_create_and_delete_in_one_transaction_proves_absence(self, store: Store) -> None:
        proof = (Create("/t/w", b""), Delete("/t/w"))
        assert store.commit(proof) == Committed(("/t/w",))
        assert store.children("/t") == ()
        store.commit((Create("/t/w", b""),))
        assert store.commit(proof) == Conflict(0, proof[0], "exists already")

    def test_a_znode_with_a_child_cannot_be_deleted(self, store: Store) -> None:
        store.commit((Create("/t/leader", b""), Create("/t/leader/fence", b"")))
        op = Delete("/t/leader")
        assert store.commit((op,)) == Conflict(0, op, "has children")
        assert store.commit((Delete("/t/leader/fence"), op)) == Committed()

    def test_replaced_within_one_transaction(self, store: Store, opener: Opener) -> None:
        """The takeover replaces an ephemeral leader key by a persistent one with a child."""
        other = opener()
        other.commit((Create("/t/leader", b"jkt-db1", ephemeral=True),))
        store.sync()
        outcome = store.commit(
            (Delete("/t/leader"), Create("/t/leader", b"fence"), Create("/t/leader/fence", b""))
        )
        assert outcome == Committed(("/t/leader", "/t/leader/fence"))
        znode = store.read("/t/leader")
        assert znode is not None
        assert (znode.data, znode.ephemeral_owner, znode.children_count) == (b"fence", 0, 1)

    def test_sequence_znodes_ascend(self, store: Store) -> None:
        first = store.commit((Create("/t/e-", b"1", sequence=True),))
        second = store.commit((Create("/t/e-", b"2", sequence=True),))
        assert isinstance(first, Committed)
        assert isinstance(second, Committed)
        assert first.created[0].startswith("/t/e-0")
        assert first.created[0] < second.created[0]

    def test_an_ephemeral_names_its_session_and_goes_with_it(
        self, store: Store, opener: Opener, end: End
    ) -> None:
        other = opener()
        other.commit((Create("/t/claim", b"x", ephemeral=True),))
        store.sync()
        znode = store.read("/t/claim")
        assert znode is not None
        assert znode.ephemeral_owner == other.session_id != store.session_id
        end(other)
        store.sync()
        assert store.read("/t/claim") is None

    def test_an_ephemeral_has_no_children(self, store: Store) -> None:
        store.commit((Create("/t/claim", b"", ephemeral=True),))
        outcome = store.commit((Create("/t/claim/child", b""),))
        assert isinstance(outcome, Conflict)

    def test_a_session_reads_its_own_writes(self, store: Store) -> None:
        for version in range(5):
            data = str(version).encode()
            if version == 0:
                store.commit((Create("/t/a", data),))
            else:
                store.commit((Set("/t/a", data, version - 1),))
            znode = store.read("/t/a")
            assert znode is not None
            assert znode.data == data

    def test_an_empty_transaction_changes_nothing(self, store: Store) -> None:
        assert store.commit(()) == Committed()
