"""Planned moves on real parts: there and back, by a command alone, and broken in the middle.

The command runs on the witness's controller host, as an operator would run it.
"""

from __future__ import annotations

import json
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from drill import Customers, Roles, customers, history, state_of, wait_until, whole

from failover.clock import boottime_s
from failover.coordination.connect import open_store
from failover.coordination.kazoo_store import KazooStore
from failover.lab.bench_switchover import last_document
from failover.lab.faults import Kind
from failover.lab.lab import Lab
from failover.lab.processes import Process
from failover.lab.workload.checker import acked_by_both
from failover.model import SiteName
from failover.state import PlanRecord, decode_state
from failover.znode import Delete, GroupPaths, ScopePaths, Set

pytestmark = pytest.mark.lab

OPERATOR = "sby-ctl1"
LIMIT_S = 8.0
COMMAND_LIMIT_S = 90.0
POLL_S = 0.005


def switchover(lab: Lab, to_site: SiteName, *options: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, the document and all that was said."""
    command = ["failover", "switchover", "--to", to_site, "--yes", "--reason", "drill"]
    ended = lab.exec(OPERATOR, [*command, "--limit", f"{LIMIT_S:g}", *options, "-o", "json"])
    print(f"exit {ended.code}: {ended.out}")
    document = last_document(ended.out) or {}
    return ended.code, document, ended.out


@dataclass
class Switching:
    """A switchover under way, in a thread of its own."""

    lab: Lab
    to_site: SiteName
    thread: threading.Thread | None = None
    ended: list[tuple[int, dict[str, Any], str]] = field(default_factory=list)

    def begin(self) -> None:
        def run() -> None:
            self.ended.append(switchover(self.lab, self.to_site))

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def outcome(self) -> str:
        """done, gone_back, refused …, once the command has ended."""
        assert self.thread is not None
        self.thread.join(COMMAND_LIMIT_S)
        assert self.ended, "the command did not end"
        return str(self.ended[0][1].get("outcome", self.ended[0][2]))


# --------------------------------------------------------------------------- moments


@dataclass(frozen=True)
class Seen:
    plan: PlanRecord | None
    stopped: bool
    epoch: int


Moment = Callable[[Seen], bool]


def the_plan_is_frozen(seen: Seen) -> bool:
    return seen.plan is not None


def the_primary_is_stopped(seen: Seen) -> bool:
    return seen.plan is not None and seen.stopped


class Watch:
    """Looks at ZooKeeper until a moment has come."""

    def __init__(self, lab: Lab, store: KazooStore) -> None:
        self._store = store
        self._paths = GroupPaths(lab.policy.group)
        self._cluster = lab.policy.clusters[0].name

    def wait_for(self, moment: Moment, limit_s: float = 30.0) -> None:
        give_up_s = boottime_s() + limit_s
        while not moment(self._look()):
            assert boottime_s() < give_up_s, f"not seen within {limit_s:g} s: {moment.__name__}"
            time.sleep(POLL_S)

    def _look(self) -> Seen:
        stopped, state = self._paths.stopped(self._cluster), self._paths.state
        found = self._store.read_many([state, stopped])
        record = found[state]
        assert record is not None
        decoded = decode_state(record.data)
        return Seen(decoded.plan, found[stopped] is not None, int(decoded.epoch))


@contextmanager
def watching(lab: Lab) -> Iterator[Watch]:
    with open_store(lab.policy) as store:
        yield Watch(lab, store)


# --------------------------------------------------------------------------- there and back


def test_there_and_back(lab: Lab) -> None:
    """Nothing is lost, and customers of both sites are served by the new one."""
    roles = Roles.now(lab)
    for to_site, from_site in ((roles.standby, roles.active), (roles.active, roles.standby)):
        whole(lab)
        with customers(lab, from_site) as shop:
            began_s = boottime_s()
            code, document, said = switchover(lab, to_site)
            assert (code, document["outcome"]) == (0, "done")
            assert "wrote out what was dirty" in said
            shop.wait_served()
            whole(lab)
            print(f"pause {shop.pause_s(began_s)} s, on record {document['took_s']} s")
            assert state_of(lab).active_site == to_site
            assert not acked_by_both(shop.attempts(), new_site=to_site, since_s=began_s)
            assert nothing_lost(shop, to_site)
    events = [entry.event for entry in history(lab) if entry.epoch > roles.state.epoch]
    assert [e for e in events if e in ("switchover", "promoted")] == ["switchover", "promoted"] * 2


def test_refused_with_every_reason(lab: Lab) -> None:
    roles = Roles.now(lab)
    code, _, said = switchover(lab, roles.active)
    assert code == 5
    assert "to_the_other_data_site" in said
    scope = lab.policy.clusters[0].scope(roles.standby)
    with paused(lab, scope, roles.standby):
        wait_until("it is refused", lambda: switchover(lab, roles.standby, "--dry-run")[0] == 5)
        code, _, said = switchover(lab, roles.standby)
    assert code == 5
    assert "new_scope_not_paused" in said
    assert state_of(lab).epoch == roles.state.epoch


@contextmanager
def paused(lab: Lab, scope: str, site: SiteName) -> Iterator[None]:
    host = lab.policy.clusters[0].at(site)[0].name
    lab.shell(host, f"patronictl pause --wait {scope}")
    try:
        yield
    finally:
        lab.shell(host, f"patronictl resume --wait {scope}")


def test_it_works_when_controllers_are_dead(lab: Lab) -> None:
    """The command stands in for the controller of its site."""
    roles = Roles.now(lab)
    with customers(lab, roles.active) as shop:
        for site in lab.policy.sites:
            lab.faults.kill(site.controller.name, Process.CONTROLLER, for_good=True)
        code, document, said = switchover(lab, roles.standby)
        assert (code, document.get("outcome")) == (0, "done"), said
        assert "stands in" in said
        shop.wait_served()
        lab.faults.heal()
        whole(lab)
        assert state_of(lab).active_site == roles.standby
        assert nothing_lost(shop, roles.standby)


@pytest.mark.full
def test_there_and_back_with_archiving_on(lab: Lab) -> None:
    """Patroni then keeps its key for good, and waits until the last segment is archived."""
    roles = Roles.now(lab)
    with archiving(lab):
        for to_site, from_site in ((roles.standby, roles.active), (roles.active, roles.standby)):
            whole(lab)
            with customers(lab, from_site) as shop:
                began_s = boottime_s()
                code, document, said = switchover(lab, to_site)
                assert (code, document.get("outcome")) == (0, "done"), said
                shop.wait_served()
                whole(lab)
                print(f"pause {shop.pause_s(began_s)} s")
                assert nothing_lost(shop, to_site)


@contextmanager
def archiving(lab: Lab) -> Iterator[None]:
    """On every host; an archive that takes its time."""
    set_parameters(lab, archive_mode="on", archive_command="sleep 1")
    try:
        yield
    finally:
        set_parameters(lab, archive_mode=None, archive_command=None)


def set_parameters(lab: Lab, **parameters: str | None) -> None:
    """In both scopes, with the restart that they need."""
    cluster = lab.policy.clusters[0]
    for site in lab.policy.data_sites:
        scope, host = cluster.scope(site.name), cluster.at(site.name)[0].name
        change = shlex.quote(json.dumps({"postgresql": {"parameters": parameters}}))
        apply = f"patronictl edit-config --force --apply - {scope}"
        lab.shell(host, f"echo {change} | {apply}")
        wait_until("a restart is pending", lambda s=scope, h=host: pending(lab, h, s))
        lab.shell(host, f"patronictl restart --force --pending {scope}")
    whole(lab)


def pending(lab: Lab, host: str, scope: str) -> bool:
    found = json.loads(lab.shell(host, f"patronictl list -f json {scope}"))
    return all("Pending restart" in member for member in found)


# --------------------------------------------------------------------------- broken

Break = Callable[[Lab, Roles], None]


def kill_leading_controller(lab: Lab, roles: Roles) -> None:
    with open_store(lab.policy) as store:
        found = store.read(f"{GroupPaths(lab.policy.group).leadership}/leader")
    assert found is not None
    host = lab.policy.site(SiteName(found.data.decode())).controller.name
    lab.faults.kill(host, Process.CONTROLLER)


def kill_old_primary_host(lab: Lab, roles: Roles) -> None:
    lab.faults.kill_host(roles.primary.name)


def kill_new_leader_host(lab: Lab, roles: Roles) -> None:
    lab.faults.kill_host(roles.standby_leader.name)


def cut_the_link(lab: Lab, roles: Roles) -> None:
    lab.faults.cut(roles.active, roles.standby)


def restart_the_old_primary(lab: Lab, roles: Roles) -> None:
    """``POST /restart``, by the operator's tool."""
    scope = lab.policy.clusters[0].scope(roles.active)
    lab.exec(
        roles.primary.name, ["patronictl", "restart", "--force", scope, str(roles.primary.name)]
    )


def change_patronis_configuration(lab: Lab, roles: Roles) -> None:
    """An operator sets something in the old scope at the same time: what nothing goes by, since it
    stays there for the tests that follow."""
    path = ScopePaths(lab.policy.patroni_namespace, lab.policy.clusters[0].scope(roles.active))
    with open_store(lab.policy) as store:
        found = store.read(path.config)
        assert found is not None
        document = json.loads(found.data) | {"note": "somebody was here"}
        store.commit((Set(path.config, json.dumps(document).encode(), found.version),))


def give_the_old_key_to_the_replica(lab: Lab, roles: Roles) -> None:
    """Patroni's key of the old scope vanishes, and the local replica takes it."""
    scope = ScopePaths(lab.policy.patroni_namespace, lab.policy.clusters[0].scope(roles.active))
    with open_store(lab.policy) as store:
        found = store.read(scope.leader)
        if found is not None:
            store.commit((Delete(scope.leader, found.version),))
        wait_until("somebody has the old key", lambda: store.read(scope.leader) is not None)
        taken = store.read(scope.leader)
    print("the old key is held by", taken.data.decode() if taken else "nobody")


def lose_the_quorum(lab: Lab, roles: Roles) -> None:
    """For ten seconds, longer than any session lives."""
    for server in ("sby-zk1", "mks-zk1"):
        lab.faults.unplug(server)
    time.sleep(10.0)
    for server in ("sby-zk1", "mks-zk1"):
        lab.faults.undo(Kind.UNPLUG, server)


# With one copy of the last writes at the old site, losing that host loses them: asynchronous.
LOSES_A_HOST = (kill_old_primary_host,)

BREAKS: list[Break] = [
    kill_leading_controller,
    kill_old_primary_host,
    kill_new_leader_host,
    cut_the_link,
    restart_the_old_primary,
    change_patronis_configuration,
    give_the_old_key_to_the_replica,
    lose_the_quorum,
]
# The others, and later moments, only in `make test-full`; the simulation breaks it at every moment.
ALWAYS = (
    kill_leading_controller,
    kill_old_primary_host,
    kill_new_leader_host,
    restart_the_old_primary,
    change_patronis_configuration,
)


@pytest.mark.parametrize(
    ("moment", "breaks"),
    [
        pytest.param(
            moment,
            breaks,
            id=f"{moment.__name__}-{breaks.__name__}",
            marks=() if moment is the_plan_is_frozen and breaks in ALWAYS else (pytest.mark.full,),
        )
        for moment in (the_plan_is_frozen, the_primary_is_stopped)
        for breaks in BREAKS
    ],
)
def test_broken_in_the_middle(lab: Lab, moment: Moment, breaks: Break) -> None:
    """It ends with one writable site, and a history that tells what happened."""
    roles, on_record = Roles.now(lab), len(history(lab))
    with customers(lab, roles.active) as shop, watching(lab) as watch:
        began_s = boottime_s()
        switching = Switching(lab, roles.standby)
        switching.begin()
        watch.wait_for(moment)
        breaks(lab, roles)
        outcome = switching.outcome()
        wait_until("the plan has ended", lambda: state_of(lab).plan is None)
        lab.faults.heal()
        state = whole(lab)
        shop.wait_served()
        print(f"{outcome}: {state.active_site} is active in epoch {state.epoch}")
        moved = state.active_site == roles.standby
        assert (outcome == "done") is moved or breaks in (lose_the_quorum, *LOSES_A_HOST)
        if moved:
            assert not acked_by_both(shop.attempts(), new_site=state.active_site, since_s=began_s)
        report = shop.report() if not moved else shop.report_at(state.active_site)
        print(f"lost {len(report.lost)}, problems {report.problems}")
        assert not report.problems
        if breaks not in LOSES_A_HOST:
            assert not report.lost
    events = [entry.event for entry in history(lab)[on_record:]]
    assert events.count("switchover") + events.count("switchover_abandoned") == 1


RESTART_AFTER_FREEZE_S = (-0.6, -0.3, -0.1, 0.0, 0.1, 0.2, 0.3, 0.5, 0.8)


@pytest.mark.full
def test_a_restart_of_the_old_primary_at_any_moment(lab: Lab) -> None:
    """``POST /restart`` on its way before, while and after the plan is frozen and carried out."""
    for offset_s in RESTART_AFTER_FREEZE_S:
        whole(lab)
        roles = Roles.now(lab)
        with customers(lab, roles.active) as shop, watching(lab) as watch:
            began_s = boottime_s()
            switching = Switching(lab, roles.standby)
            restart = threading.Thread(target=restart_the_old_primary, args=(lab, roles))
            if offset_s < 0:
                restart.start()
                time.sleep(-offset_s)
                switching.begin()
            else:
                switching.begin()
                watch.wait_for(the_plan_is_frozen)
                time.sleep(offset_s)
                restart.start()
            outcome = switching.outcome()
            restart.join(COMMAND_LIMIT_S)
            state = whole(lab)
            shop.wait_served()
            print(f"restart {offset_s:+.1f} s: {outcome}, {state.active_site} is active")
            if state.active_site == roles.standby:
                acked = shop.attempts()
                assert not acked_by_both(acked, new_site=state.active_site, since_s=began_s)
            assert nothing_lost(shop, state.active_site)


def nothing_lost(shop: Customers, site: SiteName) -> bool:
    report = shop.report_at(site)
    print(f"lost {len(report.lost)}, problems {report.problems}")
    return not report.lost and not report.problems
