"""`failover check` on the lab: 0 where all is well, and with each assumption broken exactly that
check fails (issue 9)."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from check_asked import asked_on, check, fails_exactly
from check_breaks import APART, TOGETHER, on_host
from check_breaks_alone import ALONE
from drill import whole

from failover.lab.lab import Lab
from failover.lab.zookeeper_leader import drift_not_corrected, move_zookeeper_leader
from failover.model import SiteKind

pytestmark = pytest.mark.lab


def test_a_healthy_lab_passes(lab: Lab) -> None:
    whole(lab)
    fails_exactly(lab, set())
    seen = check(lab)
    assert seen.of_verdict("unknown") == {"hypervisor-clock", "client-parameters"}
    warned = seen.of_verdict("warning")
    not_promised = {"backups", "wires", "access-lists", "egress-rules"}
    assert not_promised <= warned, "the lab has none of these, and that is said"
    assert warned <= not_promised | {"rehearsal", "wal-disk", "salvage-disk", "automation"}


def test_assumptions_broken_together_fail_their_checks_and_no_other(lab: Lab) -> None:
    whole(lab)
    with ExitStack() as broken:
        for name in TOGETHER:
            broken.enter_context(TOGETHER[name](lab))
        fails_exactly(lab, set(TOGETHER))
    fails_exactly(lab, set())


def test_a_guard_nobody_hears_and_a_frozen_server(lab: Lab) -> None:
    whole(lab)
    with ExitStack() as broken:
        for name in APART:
            broken.enter_context(APART[name](lab))
        fails_exactly(lab, set(APART))
    fails_exactly(lab, set())


def test_one_check_alone_and_a_name_that_is_none(lab: Lab) -> None:
    assert set(check(lab, "--only", "guard-alive", "--only", "clocks").checks) == {
        "guard-alive",
        "clocks",
    }
    ended = lab.exec(asked_on(lab), ["failover", "check", "--only", "no-such"])
    assert ended.code == 2
    assert "guard-alive" in ended.out


@pytest.mark.full
@pytest.mark.parametrize("name", [*TOGETHER, *APART])
def test_each_assumption_by_itself(lab: Lab, name: str) -> None:
    whole(lab)
    with (TOGETHER | APART)[name](lab):
        fails_exactly(lab, {name})
    fails_exactly(lab, set())


@pytest.mark.full
@pytest.mark.parametrize("name", ALONE)
def test_what_cannot_be_broken_beside_others(lab: Lab, name: str) -> None:
    broken, wanted = ALONE[name]
    assert name in wanted
    whole(lab)
    with broken(lab):
        fails_exactly(lab, wanted)
    fails_exactly(lab, set())


@pytest.mark.full
def test_the_leader_in_the_active_site(lab: Lab) -> None:
    whole(lab)
    with drift_not_corrected(lab, lab.policy):
        move_zookeeper_leader(lab, lab.policy, lab.policy.initial_site)
        try:
            fails_exactly(lab, {"zookeeper-leader"})
        finally:
            move_zookeeper_leader(
                lab,
                lab.policy,
                next(s.name for s in lab.policy.sites if s.kind is SiteKind.WITNESS),
            )
    fails_exactly(lab, set())


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "was", "becomes"),
    [
        ("patroni-session", "maxSessionTimeout=8000", "maxSessionTimeout=7000"),
        ("zookeeper-timing", "syncLimit=3", "syncLimit=10"),
    ],
)
def test_a_server_with_other_settings(lab: Lab, name: str, was: str, becomes: str) -> None:
    whole(lab)
    file = "/etc/zookeeper/zoo.cfg"
    server = "jkt-zk1"
    swap = f"sed -i 's/^{{}}$/{{}}/' {file} && systemctl restart zookeeper"
    with on_host(swap.format(was, becomes), swap.format(becomes, was), host=server)(lab):
        fails_exactly(lab, {name})
    fails_exactly(lab, set())
