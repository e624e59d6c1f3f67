"""Three answers to every question, and nobody believed who is not alive."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from failover.health.inputs import ConfigSeen, LeaderKeySeen, ObserverSeen, ViewInputs
from failover.health.observation import HostObservation
from failover.health.scope import (
    following,
    is_fence,
    parse_config,
    promoted,
    quarantined,
    slot_name,
)
from failover.health.sightings import HostView, every, some
from failover.health.verdict import judge
from failover.health.view import View, build_view
from failover.model import ClusterName, Epoch, GroupName, SiteName
from failover.planning.plan import Hold
from failover.planning.planner import plan
from tests.scenarios.language import build
from tests.scenarios.world import REFUSED, World, policy_of


def host(view: View, name: str) -> HostView:
    sides = (side for cluster in view.clusters for side in cluster.sides)
    return next(h for side in sides for h in side.hosts if h.host.name == name)


@pytest.mark.parametrize(
    ("answers", "one", "all_of_them"),
    [
        ((), None, True),
        ((True, None, False), True, False),
        ((None, False), False, False),
        ((None, True), True, None),
        ((None,), None, None),
        ((True, True), True, True),
    ],
)
def test_some_and_every(
    answers: tuple[bool | None, ...], one: bool | None, all_of_them: bool | None
) -> None:
    assert some(answers) is one
    assert every(answers) is all_of_them


@pytest.mark.parametrize(
    ("line", "reached", "works", "could"),
    [
        ("jkt-db1 gone for 9 s", False, None, None),
        ("PostgreSQL on jkt-db1 refuses for 1 s", True, False, True),
        ("PostgreSQL on jkt-db1 is silent for 1 s", True, None, True),
        ("PostgreSQL on jkt-db1 rejects for 1 s", True, None, True),
        ("Patroni on jkt-db1 refuses", True, True, False),
        ("Patroni on jkt-db1 is silent", True, True, None),
        ("the guard on jkt-db1 refuses", True, True, False),
        ("the guard on jkt-db1 is silent", True, True, True),
    ],
)
def test_answers_about_one_host(
    line: str, reached: bool | None, works: bool | None, could: bool | None
) -> None:
    seen = host(build([line]).view(), "jkt-db1")
    assert (seen.reached, seen.working_primary, seen.could_take_lease) == (reached, works, could)


def test_a_silent_observer_is_not_believed() -> None:
    lines = [f"observer {site} silent for 3.1 s" for site in ("jakarta", "makassar", "surabaya")]
    view = build(lines).view()
    assert view.living_observers == ()
    assert host(view, "jkt-db1").working_primary is None
    assert host(view, "jkt-db1").reached is None
    assert view.zookeeper_leader is None


def test_one_observer_that_sees_is_enough() -> None:
    lines = ["observer makassar does not reach jakarta", "observer surabaya does not reach jakarta"]
    assert host(build(lines).view(), "jkt-db1").working_primary is True


def test_a_sighting_is_as_old_as_it_may_be() -> None:
    """Age since the reader saw it, the round it took, and the time to write and read it."""
    (first, *_) = host(World.healthy().view(), "jkt-db1").sightings
    assert first.age_s == pytest.approx(0.4 + 0.1 + 1.0)


def test_an_older_leader_that_still_answers_does_not_lead() -> None:
    world = World.healthy()
    world.zookeeper["jkt-zk1"] = replace(world.zookeeper["sby-zk1"], epoch=2)  # type: ignore[type-var, index]
    leader = world.view().zookeeper_leader
    assert leader is not None
    assert leader.name == "sby-zk1"


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("group", GroupName("other"), "group"),
        ("active_site", SiteName("surabaya"), "not a data site"),
        ("active_site", SiteName("singapore"), "not a data site"),
        ("clusters", {}, "clusters"),
    ],
)
def test_a_state_that_does_not_fit_the_policy_holds(field: str, value: object, word: str) -> None:
    world = build(["jakarta unplugged for 6.3 s", "no claim for 0.1 s"])
    assert world.state is not None
    world.state = replace(world.state, **{field: value})  # type: ignore[arg-type]
    view = world.view()
    assert word in view.state_problem
    verdict = judge(view)
    assert verdict.code == "state_unreadable"
    assert isinstance(plan(view, verdict), Hold)


def test_a_host_that_the_policy_does_not_know_is_no_holder() -> None:
    view = build(["jkt-db1 holds the claim of marketplace for 5 s in epoch 1"]).view()
    (cluster,) = view.clusters
    assert cluster.claim is not None
    assert cluster.claim.claim is not None
    stranger = replace(cluster.claim.claim, host="sin-db1", site="singapore")
    odd = replace(cluster, claim=replace(cluster.claim, claim=stranger))
    assert odd.holder is None
    assert judge(replace(view, clusters=(odd,))).code == "split_brain_suspected"


def test_no_inputs_at_all_hold() -> None:
    view = build_view(policy_of(), ViewInputs(now_unix_s=0.0, reader=SiteName("surabaya")))
    assert judge(view).code == "not_initialised"
    assert isinstance(plan(view, judge(view)), Hold)
    assert view.missing


# --------------------------------------------------------------------------- Patroni's config


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"standby_cluster": "yes"}', "null"])
def test_an_odd_configuration_is_none(text: str) -> None:
    assert parse_config(ConfigSeen(text, 1)) is None


def test_configurations_keep_what_they_do_not_change() -> None:
    text = '{"ttl": 20, "pause": false, "slots": {"mine": {"type": "physical"}}, "x": [1]}'
    config = parse_config(ConfigSeen(text, 1))
    assert config is not None
    primary = policy_of().clusters[0].hosts[0]
    for data in (
        quarantined(config),
        following(config, SiteName("makassar"), primary),
        promoted(config, SiteName("jakarta")),
    ):
        changed = parse_config(ConfigSeen(data.decode(), 2))
        assert changed is not None
        assert changed.document["ttl"] == 20
        assert changed.document["x"] == [1]
        assert "mine" in changed.document["slots"]


def test_quarantine_follows_nobody() -> None:
    config = parse_config(ConfigSeen('{"standby_cluster": {"host": "10.77.1.11"}}', 1))
    assert config is not None
    after = parse_config(ConfigSeen(quarantined(config).decode(), 2))
    assert after is not None
    assert after.is_quarantine
    assert after.document["standby_cluster"] == {"restore_command": "false"}


@pytest.mark.parametrize(
    ("standby", "is_standby", "is_quarantine"),
    [
        ({"host": "10.77.1.11", "port": 5432}, True, False),
        ({"host": "10.77.1.11", "restore_command": "false"}, True, False),
        ({"restore_command": "false"}, True, True),
        ({"restore_command": "false", "primary_slot_name": "failover_jakarta"}, True, True),
        ({"primary_slot_name": "failover_jakarta"}, False, False),
        ({"create_replica_methods": ["basebackup"]}, False, False),
        ({"host": "", "restore_command": ""}, False, False),
        ({}, False, False),
    ],
)
def test_a_standby_cluster_is_what_patroni_takes_for_one(
    standby: dict[str, object], is_standby: bool, is_quarantine: bool
) -> None:
    """An ordinary cluster taken for a quarantine would be taken for one that cannot write."""
    config = parse_config(ConfigSeen(json.dumps({"standby_cluster": standby}), 1))
    assert config is not None
    assert (config.is_standby_cluster, config.is_quarantine) == (is_standby, is_quarantine)


@pytest.mark.parametrize("more", [{}, {"restore_command": "false"}])
def test_a_port_without_a_host_is_not_understood(more: dict[str, str]) -> None:
    document = {"standby_cluster": {"port": 5432, **more}}
    assert parse_config(ConfigSeen(json.dumps(document), 1)) is None


@pytest.mark.parametrize(
    ("value", "owner", "children", "fence"),
    [
        ("fenced by failover, epoch 2", 0, 1, True),
        ("fenced by failover, epoch 2", 0, 0, False),  # Patroni can delete it
        ("fenced by failover, epoch 2", 7, 1, False),  # it ends with a session
        ("jkt-db1", 0, 1, False),
    ],
)
def test_what_is_a_fence(value: str, owner: int, children: int, fence: bool) -> None:
    assert is_fence(LeaderKeySeen(value, 0, owner, children)) is fence


def test_slot_names_are_legal() -> None:
    assert slot_name(SiteName("west-java")) == "failover_west_java"


def test_salvage_of_another_epoch_is_kept_apart() -> None:
    lines = ["makassar has taken over in epoch 2", "jkt-db1 has salvaged 1 bytes in epoch 1"]
    (cluster,) = build(lines).view().clusters
    assert [r.epoch for r in cluster.salvage] == [Epoch(1)]
    assert cluster.name == ClusterName("marketplace")


def test_without_the_record_of_the_last_writer_only_who_is_on_record_may_lead() -> None:
    """As the guards decide it; nobody has ever written only in epoch 1 with nobody on record."""
    world = build(["protection is max-availability, in sync"])
    world.writers.clear()
    (only,) = world.view().clusters
    assert only.recorded is not None
    assert only.permitted == frozenset(only.recorded.have) != frozenset()
    beginning = build(["protection is max-availability, not in sync"])
    beginning.writers.clear()
    assert beginning.view().clusters[0].permitted is None


def test_what_was_seen_before_a_server_was_refused_is_not_what_it_has_now() -> None:
    """An observer that looks later found nobody: the takeover waits until the server is back."""
    inputs = build(["jakarta unplugged for 6.3 s", "no claim for 0.1 s"]).inputs()
    assert not isinstance(decided(inputs), Hold)

    def refused(seen: HostObservation) -> HostObservation:
        return replace(seen, postgres=REFUSED) if seen.host == "mks-db1" else seen

    def looked(observer: ObserverSeen, age_s: float, *, finds_nobody: bool) -> ObserverSeen:
        look = observer.observation
        assert look is not None
        hosts = tuple(refused(seen) if finds_nobody else seen for seen in look.hosts)
        return replace(observer, age_s=age_s, observation=replace(look, hosts=hosts))

    ages = {"surabaya": 0.2, "makassar": 1.8}
    later = tuple(
        looked(o, ages[o.site], finds_nobody=o.site == "surabaya") if o.site in ages else o
        for o in inputs.observers
    )
    hold = decided(replace(inputs, observers=later))
    assert isinstance(hold, Hold)
    assert "standby_leader_ready" in [gate.name for gate in hold.gates if gate.passes is False]
    ages = {"surabaya": 2.5, "makassar": 0.2}
    earlier = tuple(replace(o, age_s=ages.get(o.site, o.age_s)) for o in later)
    assert not isinstance(decided(replace(inputs, observers=earlier)), Hold)


def decided(inputs: ViewInputs) -> object:
    view = build_view(policy_of(1), inputs)
    return plan(view, judge(view))
