"""Every check of `failover check`: in order in a world in order, and with each assumption broken in
turn exactly that check says so."""

from __future__ import annotations

from dataclasses import replace

import pytest
from checks_broken_hosts import HOSTS
from checks_broken_patroni import PATRONI
from checks_broken_postgresql import POSTGRESQL, sorted_by
from checks_world import (
    JAKARTA,
    MAKASSAR,
    POLICY,
    Break,
    all_configured,
    configured,
    of_view,
    on_host,
    on_server,
    read_as,
    reported,
    setting,
    world,
)
from cli_world import SILENT
from docs_pages import ROOT
from golden import check_golden

from failover.checks.found import Found
from failover.checks.host_report import HostReport
from failover.checks.result import Verdict
from failover.checks.table import CHECKS, NAMES, run
from failover.checks.text import as_text
from failover.health.observation import NoAnswer

ALWAYS_UNKNOWN = {"hypervisor-clock", "client-parameters"}
F, U = Verdict.FAILED, Verdict.UNKNOWN
BROKEN = (*PATRONI, *POSTGRESQL, *HOSTS)
# What nobody can tell either of a server that is down. Unknown: it fails nothing.
BESIDE = {
    ("postgresql-answers", "refused"): (
        "replication-streaming",
        "postgresql-identity",
        "writer-claim",
    )
}


def not_ok(found: Found) -> dict[str, Verdict]:
    every = {each.check: each.verdict for each in run(found)}
    return {
        name: verdict
        for name, verdict in every.items()
        if verdict is not Verdict.OK and name not in ALWAYS_UNKNOWN
    }


def test_in_a_world_in_order_only_what_nobody_can_see_is_not_known() -> None:
    results = run(world())
    assert {r.check: r.sentence for r in results if r.verdict is not Verdict.OK}.keys() == (
        ALWAYS_UNKNOWN
    )
    assert not any(each.fails for each in results)


@pytest.mark.parametrize(
    ("name", "what", "verdict", "broken"),
    BROKEN,
    ids=[f"{name}: {what}" for name, what, _, _ in BROKEN],
)
def test_exactly_that_check_says_so(name: str, what: str, verdict: Verdict, broken: Break) -> None:
    found = broken(world())
    assert not_ok(found) == {name: verdict} | dict.fromkeys(BESIDE.get((name, what), ()), U), [
        f"{r.check}: {r.sentence}" for r in run(found) if r.verdict is not Verdict.OK
    ]
    assert {each.check for each in run(found) if each.fails} <= {name}
    (said,) = run(found, (name,))
    assert said.sentence
    assert said.fix
    assert said.fails == (verdict is Verdict.FAILED) or said.sentence.endswith("as a failure")


def test_every_check_is_broken_here_in_some_way() -> None:
    assert set(NAMES) - {name for name, *_ in BROKEN} == ALWAYS_UNKNOWN
    assert len(set(NAMES)) == len(NAMES)


def test_names_are_kebab_case_and_texts_are_sentences() -> None:
    for check in CHECKS:
        assert check.name == check.name.lower().replace("_", "-").replace(" ", "-")
        assert check.assumes.endswith(".")
        assert check.fix.endswith(".")


def test_a_source_can_be_looked_up() -> None:
    elsewhere = ("invariant I", "PostgreSQL's manual: ")
    for check in CHECKS:
        path = check.source.partition(":")[0]
        assert check.source.startswith(elsewhere) or (ROOT / path).is_file(), check.source


@pytest.mark.parametrize(
    ("part", "fails"),
    [
        pytest.param("postgres", set(), id="postgres"),
        pytest.param(
            "report", {"guard-lease", "permit-hook", "start-barrier", "barrier-door"}, id="report"
        ),
    ],
)
def test_what_only_a_silent_part_could_tell_is_unknown_and_fails_what_i1_rests_on(
    part: str, fails: set[str]
) -> None:
    found = world()
    for host in found.hosts:
        found = on_host(host.host.name, lambda h: replace(h, **{part: SILENT}))(found)  # type: ignore[arg-type]
    results = {each.check: each for each in run(found)}
    unknown = {n for n, r in results.items() if r.verdict is Verdict.UNKNOWN} - ALWAYS_UNKNOWN
    assert len(unknown) > 4
    assert {n for n, r in results.items() if r.verdict is Verdict.FAILED} == set()
    assert {name for name, each in results.items() if each.fails} == fails
    assert all(results[name].fix for name in unknown)


def test_what_an_operator_sizes_alike_at_both_sites_is_in_order() -> None:
    found = all_configured(
        (JAKARTA, MAKASSAR),
        lambda d: d["postgresql"]["parameters"].update(
            shared_buffers="8GB", shared_preload_libraries="pg_stat_statements"
        ),
    )(world())
    for host in found.hosts:
        found = setting("shared_buffers", "8192", "MB", host=host.host.name)(found)
    # The narrow role is not shown what only superusers may see: unknown, and no failure.
    assert not_ok(found) == {"postgresql-settings": U}
    (said,) = run(found, ("postgresql-settings",))
    assert "shared_preload_libraries" in said.sentence
    assert not said.fails


@pytest.mark.parametrize("version", [None, "2.36"])
def test_a_collation_with_no_version_on_record_that_is_one_everywhere_is_in_order(
    version: str | None,
) -> None:
    """C has none; an old database may have none of libc's."""
    hosts = dict.fromkeys(("jkt_db1", "jkt_db2", "mks_db1", "mks_db2"), version)
    assert not_ok(sorted_by(**hosts)(world())) == {}


def test_functions_of_a_database_that_cannot_be_looked_into_are_not_missing() -> None:
    closed = read_as(
        "jkt-db1",
        lambda p: replace(p, databases=p.databases[:1], unread=(("postgres", "no answer"),)),
    )(world())
    (said,) = run(closed, ("narrow-functions",))
    assert said.verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("address", "in_order"),
    [
        ("10.77.2.99", True),  # the host behind a virtual address
        ("10.77.1.99", False),  # of another site
        ("10.77.2.31", False),  # the controller's
    ],
)
def test_a_proxy_behind_a_virtual_address_asks_from_its_own(address: str, in_order: bool) -> None:
    found = world()
    for host in found.hosts:
        found = reported(
            host.host.name,
            lambda r: replace(
                r,
                asked=tuple(
                    replace(a, address=address) if a.address == "10.77.2.41" else a for a in r.asked
                ),
            ),
        )(found)
    assert not_ok(found) == ({} if in_order else {"haproxy": F})


def test_what_is_written_out_as_patroni_has_it_anyway_is_in_order() -> None:
    tags = {
        "tags.nofailover": "off",
        "tags.noloadbalance": "off",
        "tags.clonefrom": "off",
        "tags.nosync": "off",
    }

    def written(report: HostReport) -> HostReport:
        settings = {k: v for k, v in report.patroni.settings if k != "tags"} | tags
        return replace(report, patroni=replace(report.patroni, settings=tuple(settings.items())))

    found = configured(MAKASSAR, lambda d: d.update(maximum_lag_on_syncnode=-1))(world())
    assert not_ok(reported("mks-db2", written)(found)) == {}


def test_not_knowing_what_is_safety_critical_counts_as_a_failure_and_says_so() -> None:
    blind = of_view(lambda known: replace(known, observers=()))(world())
    (said,) = run(blind, ("guard-alive",))
    assert (said.verdict, said.fails) == (Verdict.UNKNOWN, True)
    assert said.sentence.endswith("counts as a failure")


def test_conf_that_a_server_does_not_allow_is_unknown_with_the_way_to_allow_it() -> None:
    silent = NoAnswer("rejected", "conf is not executed because it is not in the whitelist.")  # type: ignore[arg-type]
    found = on_server("sby-zk1", lambda s: replace(s, settings=silent))(world())
    assert not_ok(found) == {"zookeeper-myid": U, "zookeeper-timing": U}
    assert "4lw.commands.whitelist" in run(found, ("zookeeper-timing",))[0].fix


def test_the_table_shows_first_what_is_wrong() -> None:
    found = world()
    for name, what, _, broken in BROKEN:
        if (name, what) in (("start-barrier", "script"), ("dead-peers", "off")):
            found = broken(found)
    check_golden("check", as_text(POLICY.group, run(found), details=False) + "\n")
    check_golden("check_details", as_text(POLICY.group, run(found), details=True) + "\n")
