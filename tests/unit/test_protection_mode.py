"""A protection mode as an operator sets it: weaker only while the claims are held."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from memory_store import MemoryStore, World

from failover.cli.exit_codes import ExitCode
from failover.cli.main import cli
from failover.config import load
from failover.coordination import connect
from failover.coordination.init import initialise
from failover.model import ClusterName, HostName, ProtectionMode
from failover.policy import Policy
from failover.state import GroupState, decode_state, encode_state
from failover.znode import Create, GroupPaths, Set

SHOP = ClusterName("marketplace")
HAVE = (HostName("jkt-db2"), HostName("mks-db1"))


@pytest.fixture
def policy() -> Policy:
    return load(Path("tests/open.yaml"))


@pytest.fixture
def store(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """In sync in max-protection, and nobody holds the claim."""
    store = World().session()
    initialise(store, policy, now_unix_s=1.0, by="test")
    state = read(store, policy)
    recorded = replace(state.clusters[SHOP], have=HAVE)
    state = replace(state.with_cluster(SHOP, recorded), in_sync=True)
    state = replace(state, protection=ProtectionMode.MAX_PROTECTION)
    store.commit((Set(GroupPaths(policy.group).state, encode_state(state), 0),))

    @contextmanager
    def opened(*_: object, **__: object) -> Iterator[MemoryStore]:
        yield store

    monkeypatch.setattr(connect, "open_store", opened)
    return store


def read(store: MemoryStore, policy: Policy) -> GroupState:
    found = store.read(GroupPaths(policy.group).state)
    assert found is not None
    return decode_state(found.data)


def claim(store: MemoryStore, policy: Policy) -> None:
    store.commit((Create(GroupPaths(policy.group).writer(SHOP), b"{}", ephemeral=True),))


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(
        cli, ["--config", "tests/open.yaml", "protection", *words, "--reason", "a test"]
    )
    return result.exit_code, result.output


@pytest.mark.parametrize("mode", ["max-performance", "max-availability"])
def test_nothing_is_weakened_while_nobody_holds_the_claim(
    store: MemoryStore, policy: Policy, mode: str
) -> None:
    before = read(store, policy)
    code, said = run(mode)
    assert (code, read(store, policy)) == (ExitCode.REFUSED, before)
    assert "nobody holds this claim" in said
    code, _ = run(mode, "--accept-data-loss")
    assert (code, read(store, policy).protection) == (ExitCode.OK, mode)


def test_the_claim_is_checked_in_the_transaction_that_weakens_the_mode(
    store: MemoryStore, policy: Policy
) -> None:
    claim(store, policy)
    assert run("max-availability")[0] == ExitCode.OK
    checked = {op.path for op in store.committed[-1]}
    assert GroupPaths(policy.group).writer(SHOP) in checked
    after = read(store, policy)
    assert (after.in_sync, after.clusters[SHOP].have) == (True, HAVE)


def test_asynchronously_nobody_is_on_record(store: MemoryStore, policy: Policy) -> None:
    claim(store, policy)
    assert run("max-performance")[0] == ExitCode.OK
    after = read(store, policy)
    assert (after.in_sync, after.clusters[SHOP].have) == (False, ())
    assert run("max-protection")[0] == ExitCode.OK
    after = read(store, policy)
    assert (after.protection, after.in_sync) == (ProtectionMode.MAX_PROTECTION, False)
    assert "nothing to do" in run("max-protection")[1]


def test_it_goes_on_record_with_its_reason(store: MemoryStore, policy: Policy) -> None:
    code, said = run("max-performance", "--accept-data-loss")
    assert (code, "from now on" in said) == (ExitCode.OK, True)
    path = GroupPaths(policy.group).history
    last = store.read(f"{path}/{store.children(path)[-1]}")
    assert last is not None
    assert b'"data_loss"' in last.data
    assert b'"a test"' in last.data
    assert b'"protection"' in last.data
