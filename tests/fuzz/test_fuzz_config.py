"""``failover.yaml``: every text is a list of mistakes, or a policy from which all files follow."""

from __future__ import annotations

import json
import math
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hostile import fuzzed, in_time, near, spoilt, texts, values
from hypothesis import example, given
from hypothesis import strategies as st

from failover.config import ConfigError, load, parse, units
from failover.policy import Policy
from failover.render.files import render

DEPLOYED = Path(__file__).parents[2] / "tests" / "open.yaml"
TEXT = DEPLOYED.read_text(encoding="utf-8")
WHOLE = json.loads(json.dumps(yaml.safe_load(TEXT), default=str))
BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)
)
TAGGED = (
    *('!!int ""', '!!float ""', "!!bool x", "!!timestamp x", "!!int _", "!!binary é", "!!set x"),
)
MARKS = (
    "a: &a *a",
    "? [1]\n: 2",
    "=",
    "<<: {a: b}",
    "a: 2021-13-45",
    "a: 1e400",
    "a: .nan",
    "\x00",
)


def read(text: str) -> tuple[Policy | None, list[str]]:
    try:
        return parse(text), []
    except ConfigError as error:
        return None, [str(problem) for problem in error.problems]


def understood(text: str) -> None:
    with in_time(10.0):
        policy, problems = read(text)
        for problem in problems:
            assert problem.isprintable(), repr(problem)
            assert len(problem) < 1000
        if policy is None:
            assert problems
            return
        _sane(policy)
        for path, rendered in render(policy).items():
            assert all(c.isprintable() or c in "\n\t" for c in rendered), path
            rendered.encode()


def _sane(value: Any) -> None:
    if is_dataclass(value):
        for each in fields(value):
            _sane(getattr(value, each.name))
    elif isinstance(value, tuple):
        for inner in value:
            _sane(inner)
    elif isinstance(value, float | int):
        assert math.isfinite(value)
        assert 0 <= value < 2**63
    elif isinstance(value, str):
        assert value.isprintable(), repr(value)
        value.encode()


@given(near(WHOLE))
@fuzzed(8)
def test_almost_right(text: str) -> None:
    understood(text)


@given(spoilt(TEXT) | texts() | st.sampled_from(MARKS))
@example(BOMB)
@example("a: " + "[" * 1_000)
@example("lease: 1" + "0" * 400)
@example("lease: 1" + "0" * 5000)
@fuzzed(3)
def test_any_text(text: str) -> None:
    understood(text)


@pytest.mark.parametrize("tagged", TAGGED)
def test_tags_that_yaml_constructs(tagged: str) -> None:
    understood(f"group: {tagged}\n")


@given(st.binary(max_size=60))
@fuzzed(2)
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("c") / "failover.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError):
        load(path)


PARSERS = (
    *(units.duration_s, units.size_bytes, units.address, units.address_or_name, units.url),
    *(units.absolute_path, units.day, units.words, units.network),
)
PIECES = ("6s", "500ms", "16MiB", "10.77.1.11", "fd00::1", "10.77.1.0/24", "https://a.id/x")


@pytest.mark.parametrize("parse_one", PARSERS, ids=lambda each: each.__name__)
@given(values() | st.sampled_from(PIECES).flatmap(spoilt))
@example(10**400)
@example(float("nan"))
@example("9" * 5000 + "s")
@example("٣s")
@example("https://a.id:0/")
@example("10.77.1.0/0.0.0.255")
@example("fe80::1%eth0")
@example("::ffff:10.77.1.11")
@example("a." * 20_000)
@fuzzed(4)
def test_a_word_of_it(parse_one: Any, value: Any) -> None:
    with in_time():
        try:
            found = parse_one(value)
        except units.Wrong as error:
            message = error.message
        else:
            message = ""
    assert message.isprintable()
    assert len(message) < 400
    if message:
        return
    if parse_one in (units.duration_s, units.size_bytes):
        assert value.isascii()
        assert 0 <= found < 10**18
    if parse_one in (units.address, units.network):
        assert parse_one(str(found)) == found
        assert str(value).isascii()
        assert "%" not in value
        if parse_one is units.network:
            assert str(found.prefixlen) == value.split("/")[1].lstrip("0")
    if parse_one is units.url:
        assert 0 < found.port < 65536
        assert ":0/" not in value


@pytest.mark.parametrize(
    "network", ["64:ff9b::/96", "2002::/16", "::ffff:0:0/100", "2001:0:1::/48"]
)
def test_ipv4_in_ipv6_is_declared_as_ipv4(network: str) -> None:
    """Else one declared network would be all of the IPv4 internet."""
    with pytest.raises(units.Wrong, match="mapped IPv4 addresses"):
        units.network(network)
    with pytest.raises(units.Wrong, match="not a plain address"):
        units.address(network.split("/")[0].removesuffix("0") + "7")
