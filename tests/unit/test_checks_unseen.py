"""No check says `ok` of what it has not seen: one part after the other is taken out of a world in
order.

A check needs a part where it would say something else if the part told something else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from checks_broken_hosts import lists
from checks_world import (
    CLUSTER,
    JAKARTA,
    MAKASSAR,
    POLICY,
    Break,
    all_configured,
    hosts_seen,
    of_view,
    on_host,
    on_server,
    read_as,
    reported,
    seen_as,
    world,
)
from cli_world import SILENT, STATE, observer

from failover.access import Access
from failover.checks.found import (
    ClockFound,
    CollationFound,
    Found,
    Grant,
    PostgresFound,
    SlotFound,
)
from failover.checks.host_report import EGRESS_OFF, HostReport
from failover.checks.result import Verdict
from failover.checks.table import run
from failover.health.inputs import ClaimSeen, ConfigSeen, StateSeen
from failover.model import Epoch, HostName, Lsn, ProtectionMode
from failover.state import WriterClaim

PRIMARY, STANDBY = "jkt-db1", "mks-db2"


@dataclass(frozen=True)
class Part:
    """``out``: nobody has an answer from it; ``otherwise``: it tells something else, in each way
    that anybody looks at."""

    name: str
    out: Break
    otherwise: tuple[Break, ...]


def _all(*changes: Break) -> Break:
    def made(found: Found) -> Found:
        for change in changes:
            found = change(found)
        return found

    return made


def _observed(name: str) -> Part:
    """A server, as observers see it."""

    def other(**told: Any) -> Break:
        return seen_as(name, lambda h: replace(h, postgres=replace(h.postgres, **told)))  # type: ignore[type-var]

    out_of_recovery = other(in_recovery=False, current_lsn=Lsn(5000), received_lsn=None)
    return Part(
        f"PostgreSQL of {name}, to observers",
        seen_as(name, lambda h: replace(h, postgres=SILENT)),
        (out_of_recovery, other(system_identifier="9"), other(receiver_streaming=False)),
    )


def _asked(name: str) -> Part:
    """A server, as this command asks it."""

    def other(postgres: PostgresFound) -> PostgresFound:
        nothing = replace(postgres.databases[0], extensions=(("postgis", "3.4"),))
        return replace(
            postgres,
            version="18.1",
            version_number=180001,
            settings=tuple((n, "-1", unit) for n, _, unit in postgres.settings),
            slots=(SlotFound("failover_jakarta", True, False, "lost", None),),
            roles=(),
            collations=(CollationFound("database x", "1", "2"),),
            databases=(nothing, replace(postgres.databases[1], functions=())),
        )

    out = on_host(name, lambda h: replace(h, postgres=SILENT))
    return Part(f"PostgreSQL of {name}, to this command", out, (read_as(name, other),))


def _report(name: str) -> Part:
    def other(report: HostReport) -> HostReport:
        return replace(
            report,
            version="0.0.1",
            session_ms=1,
            configuration_sha256="x",
            disks=(),
            barriers_missing=(("postgres", "gone"), ("pre_promote", "gone")),
            door_problem="refused",
            patroni=replace(report.patroni, settings=()),
            files=(),
            asked=(),
            backup=None,
            read_only=("/srv",),
            egress=EGRESS_OFF,
            certificate=None,
        )

    out = on_host(name, lambda h: replace(h, report=SILENT))
    return Part(f"the report of {name}", out, (reported(name, other),))


def _file(name: str) -> Part:
    def unread(report: HostReport) -> HostReport:
        return replace(report, patroni=replace(report.patroni, settings=(), problem="EACCES"))

    def other(report: HostReport) -> HostReport:
        return replace(report, patroni=replace(report.patroni, settings=()))

    return Part(f"patroni.yml of {name}", reported(name, unread), (reported(name, other),))


def _guard(name: str) -> Part:
    def other(**told: Any) -> Break:
        return seen_as(name, lambda h: replace(h, guard=replace(h.guard, **told)))  # type: ignore[type-var]

    return Part(
        f"the guard of {name}, to observers",
        seen_as(name, lambda h: replace(h, guard=SILENT)),
        (
            other(armed=False, barrier=False),
            other(writable=name != PRIMARY),
            other(deadline_in_s=9.0),
        ),
    )


def _clock(name: str) -> Part:
    def out(found: Found) -> Found:
        return replace(found, clocks=tuple(c for c in found.clocks if c.host != name))

    ahead = ClockFound(HostName(name), 9.0, 9.1)
    return Part(
        f"the clock of {name}",
        out,
        (lambda f: replace(out(f), clocks=(*out(f).clocks, ahead)),),
    )


def _controller(site: str) -> Part:
    """Its observer does not publish, its door does not answer."""

    def published(found: Found) -> Found:
        return of_view(
            lambda known: replace(
                known,
                observers=tuple(
                    replace(each, age_s=9.0) if each.site == site else each
                    for each in known.observers
                ),
            )
        )(found)

    def out(found: Found) -> Found:
        return replace(
            published(found),
            versions=tuple(each for each in found.versions if each[0] != site),
            controllers=tuple(
                replace(each, problem="no answer") if each.site == site else each
                for each in found.controllers
            ),
        )

    def older(found: Found) -> Found:
        versions = tuple((at, "0.0.1" if at == site else number) for at, number in found.versions)
        return replace(found, versions=versions)

    return Part(f"the controller in {site}", out, (older,))


def _primary_elsewhere(found: Found) -> Found:
    """Another host of the active site holds the claim, and its server is what the first's was."""

    def made(known: Any) -> Any:
        hosts = hosts_seen()
        here, there = hosts[PRIMARY], hosts["jkt-db2"]
        hosts[PRIMARY] = replace(here, postgres=there.postgres, patroni=there.patroni)
        hosts["jkt-db2"] = replace(there, postgres=here.postgres, patroni=here.patroni)
        claim = WriterClaim(HostName("jkt-db2"), JAKARTA, Epoch(3))
        return replace(
            known,
            claims=(ClaimSeen(CLUSTER, claim, unchanged_for_s=120.0, session_id=0x2000),),
            observers=tuple(observer(site.name, hosts) for site in POLICY.sites),
        )

    return of_view(made)(found)


def _scope(site: Any) -> Part:
    def unread(known: Any) -> Any:
        return replace(
            known,
            scopes=tuple(
                replace(s, config=ConfigSeen("{", 3)) if s.site == site else s for s in known.scopes
            ),
        )

    def empty(document: dict[str, Any]) -> None:
        standby = document.get("standby_cluster")
        document.clear()
        document["pause"] = True
        if standby:
            document["standby_cluster"] = {**standby, "host": "10.77.9.9"}
        document["postgresql"] = {"parameters": {"wal_sender_timeout": "1s"}}

    def standby_cluster(document: dict[str, Any]) -> None:
        document["standby_cluster"] = {"host": "10.77.9.9", "port": 5432}

    return Part(
        f"the configuration of {site}'s scope",
        of_view(unread),
        (all_configured((site,), empty), all_configured((site,), standby_cluster)),
    )


def _state() -> Part:
    def of(state: StateSeen) -> Break:
        return of_view(lambda known: replace(known, state=state))

    other = replace(STATE, protection=ProtectionMode.MAX_AVAILABILITY, paused_until_unix_s=9e9)
    return Part("the state", of(StateSeen(None, version=None)), (of(StateSeen(other, version=12)),))


def _server(name: str) -> Part:
    """One ZooKeeper server's own words, and what it grants."""

    def granting(granted_ms: Any) -> Callable[[Any], Any]:
        return lambda s: replace(
            s, grants=tuple(Grant(grant.asked_ms, granted_ms) for grant in s.grants)
        )

    return Part(
        f"the ZooKeeper server {name}",
        on_server(name, lambda s: granting(SILENT)(replace(s, settings=SILENT))),
        (on_server(name, lambda s: granting(1)(replace(s, settings={}))),),
    )


PARTS = (
    *(each(name) for each in (_observed, _asked, _report, _guard) for name in (PRIMARY, STANDBY)),
    _file(STANDBY),
    *(_clock(name) for name in (STANDBY, "sby-ctl1")),
    *(_controller(site.name) for site in POLICY.sites),
    Part("the primary", of_view(lambda known: replace(known, claims=())), (_primary_elsewhere,)),
    *(_scope(site) for site in (JAKARTA, MAKASSAR)),
    _state(),
    Part(
        "the approvals",
        of_view(lambda known: replace(known, approved=None)),
        (lists(Access.REQUIRE, accepted=True),),
    ),
    _server("sby-zk1"),
)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_what_was_not_seen_is_not_called_ok(part: Part) -> None:
    before = {each.check: each for each in run(world())}
    need = {
        each.check
        for change in part.otherwise
        for each in run(change(world()))
        if each != before[each.check]
    }
    without = {each.check: each for each in run(part.out(world()))}
    # Who says something else for its being away has looked at it, too.
    need |= {name for name, each in without.items() if each != before[name]}
    assert need
    assert {n: without[n].sentence for n in need if without[n].verdict is Verdict.OK} == {}
