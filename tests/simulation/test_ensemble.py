"""The simulated ZooKeeper: the contract of every store, and what the real one does when cut."""

from __future__ import annotations

import pytest

from failover.coordination.store import StoreUnavailable
from failover.simulation.client import Client
from failover.simulation.ensemble import Ensemble, Server
from failover.simulation.kernel import Kernel
from failover.simulation.network import Network
from failover.znode import Committed, Create, OutcomeUnknown, Set
from tests.simulation.store_contract import End, Opener, StoreContract


class Cell:
    """Three servers and a host for a client at each site."""

    def __init__(self, seed: int = 1) -> None:
        self.kernel = Kernel(seed)
        self.network = Network(self.kernel)
        self.servers = [
            Server(self.network.add(f"{site[:3]}-zk", site), myid)
            for myid, site in enumerate(("jakarta", "makassar", "surabaya"), start=1)
        ]
        self.ensemble = Ensemble(self.kernel, self.network, self.servers)
        self.hosts = {site: self.network.add(f"{site}-host", site) for site in self.network.sites}

    def client(self, site: str, *server_sites: str, session_s: float = 6.0) -> Client:
        wanted = [s for s in self.servers if s.host.site in (server_sites or self.network.sites)]
        return Client(self.ensemble, self.hosts[site], wanted, session_s=session_s)

    def run(self, duration_s: float) -> None:
        self.kernel.run(self.kernel.now + duration_s)


@pytest.fixture
def cell() -> Cell:
    return Cell()


class TestSimulatedStore(StoreContract):
    @pytest.fixture
    def opener(self, cell: Cell) -> Opener:
        return lambda: cell.client("jakarta")

    @pytest.fixture
    def end(self) -> End:
        return lambda store: store.close()  # type: ignore[attr-defined]


def test_an_isolated_follower_answers_old_reads_for_a_while_and_commits_nothing(cell: Cell) -> None:
    inside, outside = cell.client("jakarta", "jakarta"), cell.client("surabaya", "surabaya")
    outside.commit((Create("/a", b"old"),))
    cell.run(0.1)
    cell.network.isolate("jakarta")
    outside.commit((Set("/a", b"new", 0),))
    cell.run(1.5)
    seen = inside.read("/a")
    assert seen is not None
    assert seen.data == b"old"
    with pytest.raises(StoreUnavailable):
        inside.sync()
    cell.run(0.5)
    assert isinstance(inside.commit((Set("/a", b"mine", 0),)), OutcomeUnknown)
    cell.run(1.0)
    with pytest.raises(StoreUnavailable):
        inside.read("/a")


def test_sync_does_not_help_at_an_isolated_leader(cell: Cell) -> None:
    inside, outside = cell.client("surabaya", "surabaya"), cell.client("jakarta", "jakarta")
    outside.commit((Create("/a", b"old"),))
    cell.network.isolate("surabaya")
    cell.run(1.0)
    inside.sync()
    assert inside.read("/a") is not None
    cell.run(6.0)
    assert cell.ensemble.leader is not None
    assert cell.ensemble.leader.host.site != "surabaya"
    with pytest.raises(StoreUnavailable):
        inside.sync()


def test_losing_the_leader_costs_about_three_seconds_and_restarts_the_sessions(cell: Cell) -> None:
    client = cell.client("jakarta", "jakarta")
    client.commit((Create("/a", b"", ephemeral=True),))
    cell.network.isolate("surabaya")
    cell.run(2.0)
    assert not cell.ensemble.has_quorum
    cell.run(1.5)
    assert cell.ensemble.has_quorum
    assert isinstance(client.commit((Set("/a", b"x", 0),)), Committed | OutcomeUnknown)


def test_the_ensemble_ends_an_isolated_session_after_its_time(cell: Cell) -> None:
    inside, outside = cell.client("jakarta", "jakarta"), cell.client("makassar", "makassar")
    inside.commit((Create("/claim", b"", ephemeral=True),))
    cell.run(1.0)
    cell.network.isolate("jakarta")
    cell.run(5.4)
    outside.sync()
    assert outside.read("/claim") is not None
    cell.run(1.5)
    outside.sync()
    assert outside.read("/claim") is None
    session = inside.session_id
    cell.network.heal()
    cell.run(3.0)
    assert inside.session_id not in (None, session)  # kazoo opened a new one by itself


def test_a_session_survives_a_change_of_server(cell: Cell) -> None:
    client = cell.client("jakarta", "jakarta", "makassar")
    client.commit((Create("/claim", b"", ephemeral=True),))
    session = client.session_id
    for name in ("jak-zk", "mak-zk"):
        cell.network.hosts[name].kill()
        cell.run(5.0)
        cell.network.hosts[name].boot()
        cell.run(5.0)
    assert client.session_id == session
    assert client.read("/claim") is not None


def test_a_lost_answer_leaves_the_outcome_open(cell: Cell) -> None:
    outcomes = set()
    reader = cell.client("makassar")
    for number in range(40):
        writer = Client(
            cell.ensemble,
            cell.hosts["jakarta"],
            cell.servers,
            session_s=6,
            lost_answers=lambda: True,
        )
        path = f"/n{number}"
        assert isinstance(writer.commit((Create(path, b""),)), OutcomeUnknown)
        cell.run(0.5)
        outcomes.add(reader.read(path) is not None)
    assert outcomes == {True, False}


def test_without_a_quorum_nothing_commits_and_it_recovers_by_itself(cell: Cell) -> None:
    client = cell.client("jakarta", "jakarta")
    for site in ("makassar", "surabaya"):
        cell.network.hosts[f"{site[:3]}-zk"].kill()
    cell.run(1.0)
    assert isinstance(client.commit((Create("/a", b""),)), OutcomeUnknown)
    cell.run(20.0)
    assert not cell.ensemble.has_quorum
    for site in ("makassar", "surabaya"):
        cell.network.hosts[f"{site[:3]}-zk"].boot()
    cell.run(4.0)
    assert client.commit((Create("/a", b""),)) == Committed(("/a",))


@pytest.mark.parametrize("fault", ["isolate", "freeze", "kill"])
@pytest.mark.parametrize("site", ["jakarta", "makassar", "surabaya"])
@pytest.mark.parametrize("seed", range(3))
def test_one_lost_server_never_costs_more_than_an_election(
    fault: str, site: str, seed: int
) -> None:
    cell = Cell(seed)
    client = cell.client("jakarta", "jakarta", "makassar")
    client.commit((Create("/beat", b""),))
    host = cell.network.hosts[f"{site[:3]}-zk"]
    {
        "isolate": lambda: cell.network.isolate_host(host.name),
        "freeze": host.freeze,
        "kill": host.kill,
    }[fault]()
    gap_s, last_s = 0.0, cell.kernel.now
    for _ in range(100):
        cell.run(0.1)
        znode = None
        try:
            znode = client.read("/beat")
        except StoreUnavailable:
            continue
        if znode and isinstance(client.commit((Set("/beat", b"", znode.version),)), Committed):
            gap_s, last_s = max(gap_s, cell.kernel.now - last_s), cell.kernel.now
    assert last_s > 9.5
    assert gap_s < 4.6
