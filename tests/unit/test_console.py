"""The console's door and its document, without a browser."""

from __future__ import annotations

import json
import re
import urllib.request
from dataclasses import asdict, replace
from http.client import HTTPMessage
from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from cli_world import POLICY, healthy, jakarta_returned
from console_world import Fed, served

from failover.cli.explanation import explain_snapshot
from failover.cli.snapshot import status_tree
from failover.config import load
from failover.console.document import READY, describe
from failover.console.door import content_security_policy
from failover.console.streams import StreamNode, streams
from failover.health.inputs import ViewInputs
from failover.health.observation import PostgresSeen
from failover.health.view import View, build_view
from failover.phases import PROMOTING, REINSTATING, STOPPING, WITHOUT_CLAIM
from failover.planning.explain import explain
from failover.policy import Policy

PAGE = files("failover.console").joinpath("page.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load(Path("tests/open.yaml"))


def fetch(url: str) -> tuple[str, HTTPMessage]:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode(), answer.headers


def document(base: str) -> dict:  # type: ignore[type-arg]
    found = json.loads(fetch(f"{base}/console.json")[0])
    assert isinstance(found, dict)
    return found


def test_it_says_what_status_explain_and_history_say(policy: Policy) -> None:
    fed = Fed.of(policy)
    fed.taken_over()
    result = fed.latest.result
    assert result is not None
    with served(fed) as base:
        shown = document(base)["groups"][0]
    turn = shown["turn"]
    explained = explain(result.view, result.verdict, result.decision)
    as_json = json.loads(json.dumps(asdict(status_tree(result.view, result.verdict))))
    assert turn["status"] == as_json
    said = json.loads(json.dumps(asdict(explain_snapshot(result.view, explained))))
    assert turn["explain"] == said
    assert [row["event"] for row in turn["history"]] == fed.group.history()
    (move,) = turn["moves"]
    assert (move["kind"], move["epoch"]) == ("takeover", 2)
    names = {phase["name"]: phase["seconds"] for phase in move["phases"]}
    assert list(names) == ["without_claim", "promoting"]
    assert names["promoting"] == 1.0
    assert turn["findings"] is None, "nothing looks for them: that is not the same as none"
    assert shown["age_s"] < 5.0


def test_a_turn_is_described_once_and_its_age_is_of_now(policy: Policy) -> None:
    fed = Fed.of(policy)
    with served(fed) as base:
        before = document(base)["groups"][0]
        assert before == {"group": "marketplace", "age_s": None, "turn": None}
        fed.stale(42.0)
        assert document(base)["groups"][0]["age_s"] >= 42.0
        fed.run(1)
        later = document(base)
        assert later["groups"][0]["age_s"] < 5.0
        assert later["stale_after_s"] == 5.0


def test_a_silent_ensemble_is_said_as_blindness(policy: Policy) -> None:
    fed = Fed.of(policy)
    fed.healthy()
    result = fed.latest.result
    assert result is not None
    assert describe(result, ())["blind"] == ""
    for store in fed.group.stores.values():
        store.silent = True
    fed.run(1)
    result = fed.latest.result
    assert result is not None
    assert "ZooKeeper does not answer" in describe(result, ())["blind"]


def test_metrics_are_served_as_before(policy: Policy) -> None:
    fed = Fed.of(policy)
    fed.healthy()
    with served(fed) as base:
        text, headers = fetch(f"{base}/metrics")
        assert 'failover_verdict{code="healthy"' in text
        assert headers["Content-Type"].startswith("text/plain; version=")
        asked = urllib.request.Request(
            f"{base}/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
        )
        with urllib.request.urlopen(asked, timeout=5) as answer:
            assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
            assert answer.read().endswith(b"# EOF\n")


def test_the_page_needs_nothing_from_elsewhere_and_cannot_change_anything(policy: Policy) -> None:
    assert re.findall(r"""(?:src|href)=["'](?!#|data:,)""", PAGE) == []
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", PAGE) == []
    assert "innerHTML" not in PAGE
    assert not re.search(r"\son\w+=", PAGE), "no handlers in attributes: the policy forbids them"
    said = content_security_policy(PAGE)
    assert "default-src 'none'" in said
    assert "unsafe" not in said
    assert said.count("sha256-") == 2
    with served(Fed.of(policy)) as base:
        text, headers = fetch(f"{base}/")
        assert text == PAGE
        assert headers["Content-Security-Policy"] == said
        for method in ("POST", "PUT", "DELETE"):
            asked = urllib.request.Request(f"{base}/console.json", method=method, data=b"")
            with pytest.raises(urllib.error.HTTPError, match="405"):
                urllib.request.urlopen(asked, timeout=5)


def test_the_page_and_its_documentation_have_every_field(policy: Policy) -> None:
    told = set(re.findall(r"\w+", Path("docs/console.md").read_text(encoding="utf-8")))
    fed = Fed.of(policy)
    fed.taken_over()
    assert fed.latest.result is not None
    turn = describe(fed.latest.result, fed.latest.history.entries)
    nested = [*turn["moves"], *turn["moves"][0]["phases"], *turn["streams"]]
    fields = {*turn, *(name for each in nested for name in each)}
    assert fields - told == set()
    assert {WITHOUT_CLAIM, STOPPING, PROMOTING, REINSTATING} - told == set()


def test_readiness_means_the_same_on_the_page_and_in_the_rules(policy: Policy) -> None:
    rules = yaml.safe_load(Path("deploy/prometheus/recording.rules.yml").read_text())
    (ready,) = (
        rule["expr"]
        for rule in rules["groups"][0]["rules"]
        if rule["record"] == "group_cluster:failover_standby_ready:min"
    )
    (named,) = re.findall(r'gate=~"([\w|]+)"', ready)
    assert set(named.split("|")) == READY
    fed = Fed.of(policy)
    fed.healthy()
    assert fed.latest.result is not None
    gates = describe(fed.latest.result, ())["readiness"]
    assert {gate["name"] for gate in gates} == READY
    assert {gate["passes"] for gate in gates} == {True}


def view_of(inputs: ViewInputs) -> View:
    return build_view(POLICY, inputs)


def test_streams_are_what_the_receivers_say() -> None:
    found = {stream.target: stream for stream in streams(view_of(healthy()))}
    assert found["mks-db1"] == StreamNode("jkt-db1", "mks-db1", known=True, flowing=True)
    assert "jkt-db1" not in found, "a primary receives nothing"
    stands = {s.target: s.flowing for s in streams(view_of(jakarta_returned()))}
    assert stands["jkt-db1"] is False


def test_a_source_that_nobody_declared_is_seen_as_such() -> None:
    inputs = healthy()
    observers = []
    for seen in inputs.observers:
        assert seen.observation is not None
        hosts = tuple(
            replace(host, postgres=replace(host.postgres, receiver_host="203.0.113.9"))
            if host.host == "mks-db2" and isinstance(host.postgres, PostgresSeen)
            else host
            for host in seen.observation.hosts
        )
        observers.append(replace(seen, observation=replace(seen.observation, hosts=hosts)))
    view = view_of(replace(inputs, observers=tuple(observers)))
    (strange,) = (s for s in streams(view) if s.target == "mks-db2")
    assert (strange.source, strange.known) == ("203.0.113.9", False)
