"""What a scan shows, against the rule: what is a finding, what is cut, and what is neither."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failover.guard.barrier import at_recovery_end
from failover.model import HostName
from failover.policy import Policy, Purpose, Residency
from failover.residency.allowlist import entry_of, permits
from failover.residency.facts import (
    CLIENT,
    WALSENDER,
    Catalogues,
    DatabaseFacts,
    HbaRule,
    HostFacts,
    Role,
    Session,
    SharedFacts,
    Slot,
)
from failover.residency.findings import FINDINGS_MAX
from failover.residency.judge import (
    declared_slots,
    fingerprint,
    judge_host,
    member_slot,
)
from failover.residency.judge_catalogues import judge_catalogues
from failover.residency.ways import ACCEPTABLE, BY_CODE, SETTINGS, TRIGGERS, WAYS
from tests.scenarios.world import NOW_UNIX_S, policy_of

POLICY = policy_of()
HOST = POLICY.clusters[0].hosts[0]
ABROAD = "203.0.113.9"


def session(kind: str, address: str | None, **changes: Any) -> Session:
    made = Session(
        kind=kind,
        role="replicator",
        superuser=False,
        database="",
        address=None if address is None else ip_address(address),
        state="streaming" if kind == WALSENDER else "",
        slot="",
    )
    return replace(made, **changes)


def ways(facts: HostFacts, policy: Policy = POLICY) -> list[tuple[str, str]]:
    judged = judge_host(policy, HOST, facts, NOW_UNIX_S)
    return [(finding.way, finding.subject) for finding in judged.findings]


def purposes(*wanted: Purpose) -> Policy:
    """Makassar's network is for these alone."""
    sites = (
        replace(site, declared=(replace(site.declared[0], purposes=wanted),))
        if site.name == "makassar"
        else site
        for site in POLICY.sites
    )
    return replace(POLICY, sites=tuple(sites))


# --------------------------------------------------------------------------- sessions


@pytest.mark.parametrize(
    ("found", "way", "cut"),
    [
        (session(WALSENDER, "10.77.2.11"), None, None),
        (session(WALSENDER, ABROAD), "walsender", (ABROAD, False)),
        (session(WALSENDER, ABROAD, state="startup"), "walsender", (ABROAD, False)),
        (session(WALSENDER, ABROAD, state="backup"), "base_backup", (ABROAD, False)),
        (session(WALSENDER, f"::ffff:{ABROAD}"), "walsender", (f"::ffff:{ABROAD}", False)),
        (session(WALSENDER, "::ffff:10.77.2.11"), None, None),
        (session(WALSENDER, "2001:db8::9"), "walsender", ("2001:db8::9", False)),
        (session(WALSENDER, "10.77.3.31"), "walsender", ("10.77.3.31", True)),  # the witness
        (session(WALSENDER, None, state="startup"), None, None),
        (session(WALSENDER, None), "local_walsender", (None, True)),
        (session(WALSENDER, None, state="backup"), "local_walsender", (None, True)),
        (session(WALSENDER, "127.0.0.1"), "local_walsender", ("127.0.0.1", True)),
        (session(WALSENDER, "::1"), "local_walsender", ("::1", True)),
        (session(CLIENT, "10.77.3.31"), None, None),
        (session(CLIENT, None), None, None),
        (session(CLIENT, "127.0.0.1"), None, None),
        (session(CLIENT, ABROAD), "client", (ABROAD, False)),
    ],
)
def test_sessions(found: Session, way: str | None, cut: tuple[str | None, bool] | None) -> None:
    judged = judge_host(POLICY, HOST, HostFacts(sessions=(found,)), NOW_UNIX_S)
    assert [finding.way for finding in judged.findings] == ([way] if way else [])
    address = found.address if cut and cut[0] is not None else None
    assert [(c.address, c.walsenders_only) for c in judged.cuts] == (
        [(address, cut[1])] if cut else []
    )


def test_a_client_of_a_network_for_clients_stays_when_its_walsender_goes() -> None:
    policy = purposes(Purpose.CLIENT)
    address = "10.77.2.50"
    facts = HostFacts(sessions=(session(WALSENDER, address), session(CLIENT, address)))
    (cut,) = judge_host(policy, HOST, facts, NOW_UNIX_S).cuts
    assert (cut.finding.way, cut.walsenders_only) == ("walsender", True)


@given(
    st.lists(
        st.builds(
            session,
            st.sampled_from([WALSENDER, CLIENT]),
            st.none() | st.ip_addresses().map(str) | st.sampled_from(["10.77.1.11", "10.77.3.31"]),
            state=st.sampled_from(["", "startup", "catchup", "streaming", "backup"]),
        ),
        max_size=6,
    )
)
def test_nothing_of_a_declared_address_is_ever_ended(sessions: list[Session]) -> None:
    """And everything that streams elsewhere is."""
    judged = judge_host(POLICY, HOST, HostFacts(sessions=tuple(sessions)), NOW_UNIX_S)
    for cut in judged.cuts:
        if cut.address is not None and not cut.walsenders_only:
            assert entry_of(POLICY, cut.address, NOW_UNIX_S) is None
        elif cut.address is not None:
            assert not permits(POLICY, cut.address, Purpose.REPLICATION, NOW_UNIX_S)
    ended = {cut.address for cut in judged.cuts}
    for one in sessions:
        sends = one.kind == WALSENDER and one.address is not None
        if sends and not permits(POLICY, one.address, Purpose.REPLICATION, NOW_UNIX_S):  # type: ignore[arg-type]
            assert one.address in ended


# --------------------------------------------------------------------------- slots, lines, settings


def test_slots_of_patroni_and_ours_are_declared_and_no_other() -> None:
    declared = declared_slots(POLICY, POLICY.clusters[0])
    assert set(declared) == {
        *("failover_jakarta", "failover_makassar"),
        *("jkt_db1", "jkt_db2", "mks_db1", "mks_db2"),
    }
    assert member_slot(HostName("JKT-db.1 ü")) == "jkt_db_1u0032u0252"
    slots = (
        *(Slot(name, logical=False, temporary=False) for name in declared),
        Slot("pg_basebackup_17", logical=False, temporary=True),
        Slot("theirs", logical=False, temporary=False),
        Slot("jkt_db1", logical=True, temporary=True, database="marketplace"),
    )
    assert ways(HostFacts(slots=slots)) == [
        ("physical_slot", "theirs"),
        ("logical_slot", "jkt_db1"),
    ]


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        (("local", "all", "", "", "peer"), []),
        (("host", "all", "10.77.1.0", "255.255.255.0", "scram-sha-256"), []),
        (("host", "all", "10.77.3.31", "255.255.255.255", "scram-sha-256"), []),
        (("host", "replication", "10.77.3.31", "255.255.255.255", "scram-sha-256"), ["hba_line"]),
        (("host", "replication", "10.77.2.11", "255.255.255.255", "scram-sha-256"), []),
        (("host", "all", "0.0.0.0", "0.0.0.0", "scram-sha-256"), ["hba_line"]),
        (("host", "all", "0.0.0.0", "0.0.0.0", "reject"), []),
        (("host", "all", "::", "::", "scram-sha-256"), ["hba_line"]),
        (("hostssl", "all", "10.77.0.0", "255.255.0.0", "scram-sha-256"), ["hba_line"]),
        (("host", "all", "all", "", "scram-sha-256"), ["hba_line"]),
        (("host", "all", "samenet", "", "scram-sha-256"), ["hba_line"]),
        (("host", "all", "samehost", "", "scram-sha-256"), []),
        (("host", "all", "127.0.0.1", "255.255.255.255", "scram-sha-256"), []),
        (("host", "all", "::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "scram-sha-256"), []),
        (("host", "all", "fd00::", "ffff:ffff::", "scram-sha-256"), ["hba_line"]),
        (("host", "all", "::ffff:10.77.1.0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff00", "md5"), []),
        (("host", "all", ".example.com", "", "scram-sha-256"), ["hba_line"]),
        (("host", "all", "10.77.1.0", "255.0.255.0", "scram-sha-256"), ["hba_line"]),
        (("host", "all", "10.77.1.0", "255.255.255.0", "trust"), ["hba_trust"]),
        (("host", "all", "0.0.0.0", "0.0.0.0", "trust"), ["hba_line", "hba_trust"]),
        (("host", "all,replication", "10.77.3.0", "255.255.255.0", "md5"), ["hba_line"]),
    ],
)
def test_lines_of_pg_hba(rule: tuple[str, str, str, str, str], found: list[str]) -> None:
    kind, databases, address, netmask, method = rule
    made = HbaRule(7, kind, tuple(databases.split(",")), ("all",), address, netmask, method)
    assert [way for way, _ in ways(HostFacts(hba=(made,)))] == found


def test_a_broken_line_is_a_finding() -> None:
    broken = HbaRule(9, "", (), (), "", "", "", broken=True)
    assert ways(HostFacts(hba=(broken, broken))) == [("hba_unreadable", "pg_hba.conf")]


def test_settings_are_as_declared_or_as_usual() -> None:
    usual = tuple(
        (name, fingerprint(value)) for name, values in SETTINGS.items() for value in values
    )
    assert ways(HostFacts(settings=usual)) == []
    archive = ("archive_command", fingerprint("pgbackrest push %p"))
    assert ways(HostFacts(settings=(archive,))) == [("setting", "archive_command")]
    said = Residency(settings=(("archive_command", "pgbackrest push %p"),))
    assert ways(HostFacts(settings=(archive,)), replace(POLICY, residency=said)) == []
    assert ways(HostFacts(settings=(("new_hook", "0"),))) == [("setting", "new_hook")]


def test_what_the_start_barrier_sets_is_no_finding() -> None:
    name, _, value = at_recovery_end(HOST.cluster).removeprefix("--").partition("=")
    for set_to, found in ((value, []), (f"{value} x", [("setting", name)])):
        assert ways(HostFacts(settings=((name, fingerprint(set_to)),))) == found


def test_upstreams() -> None:
    facts = HostFacts(upstreams=("10.77.1.11", "/run/postgresql", ABROAD, "db.example.id", "?"))
    assert ways(facts) == [("upstream", ABROAD), ("upstream", "db.example.id"), ("upstream", "?")]


def test_workers_of_a_subscription() -> None:
    worker = session("logical replication apply worker", None, database="marketplace")
    assert ways(HostFacts(sessions=(worker,))) == [("subscription", "marketplace: worker")]


def test_too_many_findings_are_counted() -> None:
    slots = tuple(Slot(f"s{n}", logical=False, temporary=False) for n in range(FINDINGS_MAX + 5))
    found = judge_host(POLICY, HOST, HostFacts(slots=slots), NOW_UNIX_S).findings
    assert len(found) == FINDINGS_MAX
    assert found[-1].detail == "6 more"


# --------------------------------------------------------------------------- catalogues


def test_a_rendered_database_has_no_finding() -> None:
    roles = (
        Role("postgres", superuser=True, replication=True),
        Role("replicator", superuser=False, replication=True),
        Role("failover_cutter", superuser=False, replication=True),
    )
    members = (
        ("pg_read_all_stats", "failover_functions"),
        ("pg_signal_backend", "failover_cutter"),
    )
    shared = SharedFacts(roles=roles, members=members, databases=("marketplace",))
    clean = DatabaseFacts("marketplace", extensions=("plpgsql",), triggers=TRIGGERS)
    assert judge_catalogues(HOST.name, Catalogues(shared, (clean,))) == ()


def test_everything_in_a_catalogue_is_named() -> None:
    shared = SharedFacts(
        roles=(Role("root", superuser=True, replication=True), Role("r", False, True)),
        members=(("pg_write_server_files", "app"), ("postgres", "sly"), ("root", "heir")),
        subscriptions=(("shop", "pull"),),
        settings=(("shop", "", "session_preload_libraries"), ("shop", "", "work_mem")),
    )
    database = DatabaseFacts(
        "shop",
        publications=("p",),
        servers=(("abroad", "postgres_fdw", f"host={ABROAD}"),),
        mappings=("abroad/app",),
        extensions=("plpgsql", "dblink"),
        languages=("plpython3u",),
        c_functions=("public.raw",),
    )
    found = judge_catalogues(HOST.name, Catalogues(shared, (database,), (("shut", "no entry"),)))
    assert [(f.way, f.subject) for f in found] == [
        ("superuser_role", "root"),
        ("replication_role", "r"),
        ("program_role", "app in pg_write_server_files"),
        ("superuser_role", "sly in postgres"),
        ("superuser_role", "heir in root"),
        ("subscription", "shop/pull"),
        ("setting", "session_preload_libraries of database shop, role any"),
        ("publication", "shop/p"),
        ("foreign_server", "shop/abroad"),
        ("foreign_server", "shop/abroad/app"),
        ("extension", "shop/dblink"),
        ("untrusted_language", "shop/plpython3u"),
        ("c_function", "shop/public.raw"),
        *(("trigger_missing", f"shop/{name}") for name in TRIGGERS),
        ("unseen", "database shut"),
    ]


# --------------------------------------------------------------------------- the table


def test_every_way_says_how_it_is_seen_or_what_closes_it() -> None:
    assert len(BY_CODE) == len(WAYS)
    for way in WAYS:
        assert way.how, way.code
        assert way.privilege, way.code
        assert way.what != way.indonesian, way.code
        assert way.code in ACCEPTABLE or way.closed_by, way.code
