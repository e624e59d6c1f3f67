"""Which door the kernel is to keep: shut, free for reads, or leased by one renewal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from failover.guard.acknowledgement import (
    FREE,
    JIFFIES_S,
    SHUT,
    Barrier,
    Door,
    Form,
    generation,
    wanted,
)
from failover.guard.logic import (
    Grant,
    Guard,
    InPlace,
    KillReason,
    Limits,
    Note,
    Renewals,
    ServerSeen,
    StartMode,
)
from failover.model import ClusterName, Epoch

LIMITS = Limits(tick_s=0.5, deadline_s=4.5)
BARRIER = Barrier(ClusterName("shop"), (5432, 6432))
STANDBY = ServerSeen(alive=True, in_production=False, note=Note(StartMode.STANDBY, 90.0))
PRIMARY = ServerSeen(alive=True, in_production=True, note=Note(StartMode.WRITABLE, 90.0))
DOWN = ServerSeen(alive=False, in_production=False, note=None)
ARMED = Guard(LIMITS, armed=True, in_place=InPlace.OVER, renewals=Renewals(7, 100.5, 100.0))
GRANTED = replace(ARMED, grant=Grant(7, Epoch(1), 100.6, promotion=False))


class TestWanted:
    def test_a_grant_leases_it_by_the_renewal_that_the_deadline_counts_from(self) -> None:
        assert wanted(GRANTED, PRIMARY, None) == Door(Form.LEASED, generation(100.0))

    @pytest.mark.parametrize("server", [STANDBY, DOWN, PRIMARY])
    def test_whatever_the_server_is_under_a_grant(self, server: ServerSeen) -> None:
        door = wanted(GRANTED, server, FREE)
        assert door is not None
        assert door.form is Form.LEASED

    def test_what_is_being_killed_answers_nobody(self) -> None:
        killing = replace(GRANTED, killing=KillReason.LEADER_KEY_LOST)
        assert wanted(killing, PRIMARY, None) == SHUT

    @pytest.mark.parametrize(
        "renewals", [None, Renewals(7, 100.5), Renewals(8, 100.5, 100.0)], ids=str
    )
    def test_without_a_lease_of_its_own_session_it_is_shut(self, renewals: Renewals | None) -> None:
        assert wanted(replace(GRANTED, renewals=renewals), PRIMARY, FREE) == SHUT

    def test_a_standby_answers_its_readers(self) -> None:
        assert wanted(ARMED, STANDBY, SHUT) == FREE

    @pytest.mark.parametrize(
        "server",
        [
            DOWN,
            PRIMARY,
            replace(STANDBY, in_production=True),
            replace(STANDBY, note=None),  # started around the barrier
            replace(STANDBY, note=Note(StartMode.WRITABLE, 90.0)),
            replace(STANDBY, note=Note(StartMode.SINGLE, 90.0)),
        ],
        ids=["down", "primary", "promoted", "no-note", "writable", "single"],
    )
    def test_what_may_write_without_a_grant_answers_nobody(self, server: ServerSeen) -> None:
        assert wanted(ARMED, server, FREE) == SHUT

    def test_before_there_is_a_state_the_guard_only_watches(self) -> None:
        assert wanted(Guard(LIMITS), PRIMARY, SHUT) == FREE

    @pytest.mark.parametrize("before", [None, FREE, SHUT])
    @pytest.mark.parametrize("in_place", [InPlace.NOT_YET, InPlace.ASKED])
    def test_a_primary_asked_about_in_place_keeps_what_it_has(
        self, in_place: InPlace, before: Door | None
    ) -> None:
        assert wanted(replace(ARMED, in_place=in_place), PRIMARY, before) == before


class TestWords:
    def test_a_renewal_is_announced_for_less_than_the_deadline_on_every_port(self) -> None:
        words = BARRIER.announced(100.0, 4.5)
        time_ms = int((4.5 - JIFFIES_S) * 1000)
        assert time_ms < 4500
        for port in BARRIER.ports:
            assert f"{port} . {generation(100.0)} timeout {time_ms}ms" in words

    def test_every_form_replaces_the_one_before(self) -> None:
        for door in (SHUT, FREE, Door(Form.LEASED, 17)):
            assert BARRIER.as_wanted(door).startswith("flush chain inet failover-shop door")
        assert "17 @lease accept" in BARRIER.as_wanted(Door(Form.LEASED, 17))
        assert "accept" not in BARRIER.as_wanted(SHUT)

    def test_only_tcp_comes_to_the_door(self) -> None:
        """ "tcp sport != …" says nothing of a packet that has no such port."""
        rules = BARRIER.sieve().splitlines()
        assert any("l4proto != tcp accept" in rule for rule in rules)
        assert BARRIER.sieve() in BARRIER.definition()

    def test_generations_fit_the_kernel_and_differ(self) -> None:
        assert generation(100.0) != generation(100.5)
        assert 0 <= generation(5e9) < 2**32
