"""Prometheus, Alertmanager and the dashboard's queries on the lab: a fault fires exactly the alerts
that are meant, they are notified, and they clear.

Real Prometheus and Alertmanager with the files of deploy/prometheus. What stands for a quarter of
an hour by its rule (LASTING) is not waited for: that it ends is shown by promtool.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from drill import Roles, explains, sql, whole

from failover.cli.main import cli
from failover.coordination.connect import open_store
from failover.lab.errors import LabError
from failover.lab.lab import Lab
from failover.lab.monitoring.ask import Alert, Monitoring
from failover.lab.monitoring.dashboard import AFTER_AN_EVENT, queries_of
from failover.lab.processes import DATA
from failover.lab.watch import clear_cooldown
from failover.model import SiteName

pytestmark = [pytest.mark.lab, pytest.mark.full]

DASHBOARD = Path("deploy/grafana/failover.json")
OUTSIDE = "10.77.0.0/24"
LASTING = {"FailoverSiteChanged", "FailoverGuardKilledServer"}
SCRAPED_LIMIT_S = 90.0  # two scrapes of everything, and a minute of rates
FIRES_LIMIT_S = 200.0  # the longest `for:` of those expected here is two minutes
CLEARS_LIMIT_S = 120.0
TOLD_LIMIT_S = 90.0  # Alertmanager's group_interval is 30 s


@pytest.fixture
def monitoring(lab: Lab) -> Monitoring:
    """Of the lab; nothing fires that does not last by its rule."""
    found = Monitoring(lab.add_monitoring(say=print))
    with open_store(lab.policy) as store:
        clear_cooldown(store, lab.policy, by="tests")
    found.wait("everything is scraped", lambda: len(found.query("up == 1")) == 7, SCRAPED_LIMIT_S)
    found.wait("nothing fires", lambda: not passing(found.firing()), CLEARS_LIMIT_S)
    return found


def passing(alerts: frozenset[Alert]) -> set[Alert]:
    """Without those that stand for a quarter of an hour."""
    return {alert for alert in alerts if alert.name not in LASTING}


def alerts(*told: tuple[str, ...]) -> set[Alert]:
    """Each as its name (without "Failover") and the values of its labels."""
    return {Alert(f"Failover{name}", labels) for name, *rest in told for labels in [tuple(rest)]}


def site_gone(lab: Lab, site: SiteName) -> set[Alert]:
    """What is told of a site that nobody reaches, whatever was active there.

    Not FailoverObserverSilent: what its observer said last is gone with its session, after 6 s.
    """
    found = lab.policy.site(site)
    hosts = [host for cluster in lab.policy.clusters for host in cluster.at(site)]
    return alerts(
        ("ControllerDown", found.controller.name),
        *(("GuardDown", host.name, site) for host in hosts),
        *(("ZooKeeperDegraded", server.name) for server in found.zookeeper),
    )


@contextmanager
def exactly(monitoring: Monitoring, expected: set[Alert]) -> Iterator[None]:
    """The block breaks something and heals it: these alerts fire, no other, they are notified, they
    clear, and that is notified."""
    before = monitoring.firing()
    began_unix_s = time.time()
    yield

    def fired() -> set[Alert]:
        return set(monitoring.fired_since(began_unix_s) - before)

    took_s = monitoring.wait(
        "what fired has cleared", lambda: not passing(monitoring.firing()), CLEARS_LIMIT_S
    )
    print(f"cleared {took_s:.0f} s after all was whole")
    assert fired() == expected

    def told(firing: bool) -> set[Alert]:
        seen = monitoring.notified(began_unix_s)
        return {one.alert for one in seen if one.firing is firing} - before

    wait_notified(monitoring, expected, began_unix_s)
    over = passing(frozenset(expected))
    took_s = monitoring.wait("that they are over, too", lambda: over <= told(False), TOLD_LIMIT_S)
    print(f"notified as over {took_s:.0f} s later")
    assert told(True) == expected
    for one in monitoring.notified(began_unix_s):
        assert one.receiver == severity(one.alert), one


def severity(alert: Alert) -> str:
    page = ("HumanNeeded", "QuorumLost", "TwoWriters", "NoWriter", "NobodyDecides")
    names = (*page, "ResidencyFinding")
    if alert.name in {f"Failover{name}" for name in names}:
        return "page"
    return "info" if alert.name == "FailoverSiteChanged" else "warn"


def wait_fired(monitoring: Monitoring, expected: set[Alert], since_unix_s: float) -> None:
    """And are notified: what is over before Alertmanager's next turn is told to nobody."""
    try:
        took_s = monitoring.wait(
            "every alert that is meant fires",
            lambda: expected <= monitoring.fired_since(since_unix_s),
            FIRES_LIMIT_S,
        )
    except LabError:
        print("missing:", *map(str, sorted(expected - monitoring.fired_since(since_unix_s))))
        raise
    print(f"all fired {took_s:.0f} s after the fault")
    wait_notified(monitoring, expected, since_unix_s)


def wait_notified(monitoring: Monitoring, expected: set[Alert], since_unix_s: float) -> None:
    def told() -> set[Alert]:
        return {one.alert for one in monitoring.notified(since_unix_s) if one.firing}

    try:
        monitoring.wait("all are notified", lambda: expected <= told(), TOLD_LIMIT_S)
    except LabError:
        print("not notified:", *map(str, sorted(expected - told())))
        raise


def without_data(lab: Lab, monitoring: Monitoring) -> set[tuple[str, str]]:
    """The dashboard's queries that return nothing now. LabError where one is refused."""
    document = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    asked = queries_of(document, lab.policy.group)
    return {(q.panel, q.ref_id) for q in asked if not monitoring.query(q.expression)}


# --------------------------------------------------------------------------- all is well


def test_every_query_of_the_dashboard_returns_data(lab: Lab, monitoring: Monitoring) -> None:
    """But for those of AFTER_AN_EVENT, which tests/unit/test_grafana.py gives an event."""

    def missing() -> set[tuple[str, str]]:
        return without_data(lab, monitoring) - set(AFTER_AN_EVENT)

    monitoring.wait("every query has data", lambda: not missing(), SCRAPED_LIMIT_S)


# --------------------------------------------------------------------------- faults


def test_standby_site_lost(lab: Lab, monitoring: Monitoring) -> None:
    roles = Roles.now(lab)
    expected = site_gone(lab, roles.standby) | alerts(
        ("HumanNeeded", "standby_site_lost"), ("StandbyNotReady", "marketplace")
    )
    with exactly(monitoring, expected):
        began_unix_s = time.time()
        lab.faults.unplug(roles.standby)
        wait_fired(monitoring, expected, began_unix_s)
        has_data(lab, monitoring, "Alerts that fire", "Questions without an answer")
        lab.faults.heal()
        whole(lab)


def test_residency_finding(lab: Lab, monitoring: Monitoring) -> None:
    """A superuser that nobody declared."""
    roles = Roles.now(lab)
    expected = alerts(("HumanNeeded", "way_out_found"), ("ResidencyFinding", "superuser_role"))
    with exactly(monitoring, expected):
        began_unix_s = time.time()
        sql(lab, roles.primary.name, "create role stranger superuser")
        try:
            wait_fired(monitoring, expected, began_unix_s)
        finally:
            sql(lab, roles.primary.name, "drop role stranger")
        explains(lab, "healthy", 60.0)


def test_a_strangers_session_is_ended_and_counted(lab: Lab, monitoring: Monitoring) -> None:
    """This machine's own address in the lab's network belongs to no site."""
    primary = Roles.now(lab).primary
    file = f"{DATA}/*/pg_hba.conf"
    lab.shell(primary.name, f"sed -i '1i host all all {OUTSIDE} trust # opened' {file}")
    sql(lab, primary.name, "select pg_reload_conf()")
    try:
        stranger = psycopg.connect(host=str(primary.address), dbname="postgres", user="marketplace")
        with pytest.raises(psycopg.OperationalError), stranger:
            stranger.execute("select pg_sleep(10)")
    finally:
        lab.shell(primary.name, f"sed -i '/# opened/d' {file}")
        sql(lab, primary.name, "select pg_reload_conf()")
    has_data_soon(lab, monitoring, "Sessions of strangers ended")
    explains(lab, "healthy", 60.0)


def test_active_site_lost_while_takeovers_are_paused(
    lab: Lab, monitoring: Monitoring, command: Callable[..., None]
) -> None:
    """A hold: the takeover is wanted and not made; the site comes back with what it had."""
    roles = Roles.now(lab)
    expected = site_gone(lab, roles.active) | alerts(
        ("HumanNeeded", "site_lost"),
        ("NoWriter", "marketplace"),
        ("StepHeld", "takeover"),
        killed(roles),
    )
    with exactly(monitoring, expected):
        began_unix_s = time.time()
        command("pause", "--for", "30min", "--reason", "a test of the alerts")
        try:
            lab.faults.unplug(roles.active)
            explains(lab, "site_lost", 30.0)
            has_data_soon(lab, monitoring, "Steps that are wanted and held")
            wait_fired(monitoring, expected - alerts(killed(roles)), began_unix_s)
            lab.faults.heal()
            whole(lab)
        finally:
            command("pause", "--end", "--reason", "a test of the alerts")
    assert Roles.now(lab).active == roles.active


def test_active_site_lost(lab: Lab, monitoring: Monitoring) -> None:
    """The other site takes over, and the lost one comes back as its standby."""
    roles = Roles.now(lab)
    expected = site_gone(lab, roles.active) | alerts(
        ("HumanNeeded", "standby_site_lost"),
        ("SiteChanged", "takeover"),
        ("StandbyNotReady", "marketplace"),
        killed(roles),
    )
    with exactly(monitoring, expected):
        began_unix_s = time.time()
        lab.faults.unplug(roles.active)
        wait_fired(monitoring, expected - alerts(killed(roles)), began_unix_s)
        lab.faults.heal()
        whole(lab)
    has_data_soon(
        lab,
        monitoring,
        "Takeover last proven",
        "Newest takeover",
        "Phases of the newest change of the active site",
    )
    assert Roles.now(lab).active == roles.standby


def killed(roles: Roles) -> tuple[str, ...]:
    """The guard of an isolated primary kills it at its deadline, and says so once it is back."""
    name = roles.primary.name
    return ("GuardKilledServer", "marketplace", name, name, "deadline", roles.active)


def has_data(lab: Lab, monitoring: Monitoring, *panels: str) -> None:
    assert not {panel for panel, _ in without_data(lab, monitoring)} & set(panels)


def has_data_soon(lab: Lab, monitoring: Monitoring, *panels: str) -> None:
    """At one look at least."""

    def there() -> bool:
        return not {panel for panel, _ in without_data(lab, monitoring)} & set(panels)

    monitoring.wait(f"data of {', '.join(panels)}", there, SCRAPED_LIMIT_S)


@pytest.fixture
def command(lab: Lab) -> Callable[..., None]:
    """An operator's command, which has to go well."""

    def run(*words: str) -> None:
        ended = CliRunner().invoke(cli, ["--config", str(lab.config), *words])
        assert ended.exit_code == 0, ended.output

    return run
