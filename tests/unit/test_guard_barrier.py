"""The barriers, as the processes they are (failover/guard/barrier.py)."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from guard_world import Host, control_bytes, guard_that_says, wait_for

from failover.clock import boottime_s
from failover.guard.barrier import RESERVED
from failover.guard.control_file import DbState, newest_timeline
from failover.guard.logic import Guard, InPlace, Kill, KillReason, Limits, StartMode, decide
from failover.guard.records import boot_id
from failover.guard.server import (
    kill_once,
    lock_if_free,
    lock_is_free,
    look_at_files,
    processes_in_directory,
    read_note,
    server_seen,
)

ENDS_S = 30.0  # by itself: a second where nothing else runs, more on a busy machine


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    made.end()


def data(host: Host) -> str:
    return str(host.places.data_dir)


class TestStart:
    def test_a_writable_start_without_a_guard_is_refused_in_time(self, host: Host) -> None:
        code, said, took_s = host.call("postgres", "-D", data(host))
        assert code == 1
        assert "does not answer" in said
        assert took_s < ENDS_S

    def test_a_silent_guard_is_a_no_in_time(self, host: Host) -> None:
        import socket

        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(host.places.socket))
            listener.listen()
            code, said, took_s = host.call("postgres", "-D", data(host))
        assert code == 1
        assert "does not answer" in said
        assert took_s < ENDS_S
        assert lock_is_free(host.places)

    def test_no_means_no(self, host: Host) -> None:
        with guard_that_says(host.places, yes=False) as asked:
            code, said, _ = host.call("postgres", "-D", data(host))
        assert code == 1
        assert "said so" in said
        assert [question.split()[:2] for question in asked] == [["permit", "start"]]
        assert lock_is_free(host.places)

    def test_yes_starts_it_with_the_lock_in_every_process(self, host: Host) -> None:
        with guard_that_says(host.places, yes=True):
            process = host.start_server()
        assert not lock_is_free(host.places)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        os.kill(host.child_pid, signal.SIGSTOP)
        assert not lock_is_free(host.places), "a stopped child of a dead postmaster holds it"
        os.kill(host.child_pid, signal.SIGKILL)
        wait_for(lambda: lock_is_free(host.places))

    def test_a_standby_start_asks_nobody_and_leaves_a_note(self, host: Host) -> None:
        (host.places.data_dir / "standby.signal").touch()
        with guard_that_says(host.places, yes=False) as asked:
            host.start_server()
        assert asked == []
        note = read_note(host.places, boot_id())
        assert note is not None
        assert note.mode == "standby"
        assert note.control_bytes == control_bytes(DbState.SHUT_DOWN)[:512]

    def test_waits_for_the_earlier_server_and_then_gives_up(self, host: Host) -> None:
        with (
            guard_that_says(host.places, yes=True) as asked,
            lock_if_free(host.places) as free,
        ):
            assert free
            code, said, took_s = host.call("postgres", "-D", data(host))
        assert code == 1
        assert "still lives" in said
        assert asked == []
        assert took_s < ENDS_S

    @pytest.mark.parametrize("argument", ["--version", "--describe-config", "--help", "-V"])
    def test_harmless_calls_pass_without_a_guard(self, host: Host, argument: str) -> None:
        (host.places.bin_dir / "postgres").write_text('#!/bin/sh\necho "real $*"\n')
        code, said, _ = host.call("postgres", "-D", data(host), argument)
        assert (code, said.strip()) == (0, f"real -D {data(host)} {argument}")

    def test_asking_for_a_setting_passes_anywhere_in_the_line(self, host: Host) -> None:
        code, said, _ = host.call("postgres", "-D", data(host), "-C", "port", PORT="5432")
        assert (code, said.strip()) == (0, "5432")

    def test_single_user_mode_asks(self, host: Host) -> None:
        with guard_that_says(host.places, yes=False) as asked:
            code, _, _ = host.call("postgres", "--single", "-D", data(host))
        assert code == 1
        assert asked == ["single"]

    def test_recovery_signal_alone_is_writable(self, host: Host) -> None:
        (host.places.data_dir / "recovery.signal").touch()
        with guard_that_says(host.places, yes=False) as asked:
            code, _, _ = host.call("postgres", "-D", data(host))
        assert code == 1
        assert [question.split()[:2] for question in asked] == [["permit", "start"]]

    def test_with_a_recovery_target_it_is_refused_unasked(self, host: Host) -> None:
        (host.places.data_dir / "recovery.signal").touch()
        with guard_that_says(host.places, yes=True) as asked:
            code, said, _ = host.call("postgres", "-D", data(host), RECOVERY_TARGET_LSN="0/1")
        assert code == 1
        assert "recovery_target_lsn" in said
        assert asked == []


class TestOthers:
    def test_only_a_promotion_asks(self, host: Host) -> None:
        with guard_that_says(host.places, yes=False) as asked:
            code, said, _ = host.call("pg_ctl", "-D", data(host), "status")
            assert code == 0
            assert "status" in said
            assert asked == []
            code, said, _ = host.call("pg_ctl", "promote", "-W", "-D", data(host))
        assert code == 1
        assert [question.split()[:2] for question in asked] == [["permit", "promote"]]

    def test_the_hook_asks_with_patience(self, host: Host) -> None:
        with guard_that_says(host.places, yes=True) as asked:
            assert host.call("pre_promote")[0] == 0
        (question,) = asked
        _permit, purpose, patience_s = question.split()
        assert purpose == "pre_promote"
        assert float(patience_s) > 7.0  # a session of 6 s and two ticks
        with guard_that_says(host.places, yes=True) as asked:
            assert host.call("pre_promote", "-D", data(host), "--limit-s=23.0")[0] == 0
        assert 20.0 < float(asked[0].split()[2]) < 23.0  # that of a lease of 20 s
        with guard_that_says(host.places, yes=False):
            assert host.call("pre_promote")[0] == 1

    def test_a_hook_that_knows_the_data_directory_leaves_a_pass(self, host: Host) -> None:
        """Read by the promotion that follows at once; an old one, or half of one, is as none."""
        leave = host.places.run_dir / f"guard-{host.places.cluster}.pass"
        promote = ("pg_ctl", "promote", "-W", "-D", data(host))
        with guard_that_says(host.places, yes=True, reason="timeline=2 granted: epoch 4") as asked:
            assert host.call("pre_promote", "-D", data(host))[0] == 0
            assert 0 < int(leave.read_text()) - 100 * boottime_s() <= 40
            leave.write_text(f"{int(100 * boottime_s()) + 5900}\n")
            code, said, _ = host.call(*promote)
            assert (code, "real" in said) == (0, True)
            assert not leave.exists(), "it is used once"
        assert [question.split()[1] for question in asked] == ["pre_promote"]
        soon = int(100 * boottime_s())
        for bad in (f"{soon - 1}\n", "", "x\n", "99999999999999999999999\n", f"{soon + 99999}\n"):
            leave.write_text(bad)
            with guard_that_says(host.places, yes=False) as asked:
                assert host.call(*promote)[0] == 1
            assert [question.split()[1] for question in asked] == ["promote"]

    def test_a_refused_hook_leaves_none(self, host: Host) -> None:
        with guard_that_says(host.places, yes=False):
            assert host.call("pre_promote", "-D", data(host))[0] == 1
        assert not (host.places.run_dir / f"guard-{host.places.cluster}.pass").exists()

    def test_a_rewind_waits_and_never_refuses(self, host: Host) -> None:
        process = host.begin("pg_rewind", "-D", data(host), "--source-server=x")
        with guard_that_says(host.places, yes=False) as asked:
            wait_for(lambda: len(asked) > 0)
        assert process.poll() is None
        with guard_that_says(host.places, yes=True):
            out, _ = process.communicate(timeout=60)
        assert "real" in out
        assert process.returncode == 0

    def test_help_of_rewind_passes(self, host: Host) -> None:
        assert host.call("pg_rewind", "--help")[0] == 0


class TestTimelines:
    """The control file says timeline 1. PostgreSQL would take the first number without a file."""

    REAL = "1\t0/3000060\tno recovery target specified\n"

    def history(self, host: Host, number: int) -> Path:
        return host.places.wal / f"{number:08X}.history"

    def promote(self, host: Host, promised: int) -> tuple[int, str]:
        reason = f"timeline={promised} granted: epoch 4"
        with guard_that_says(host.places, yes=True, reason=reason):
            return host.call("pg_ctl", "promote", "-W", "-D", data(host))[:2]

    def test_without_a_gap_nothing_is_written(self, host: Host) -> None:
        host.places.wal.chmod(0o500)
        code, said = self.promote(host, 2)
        host.places.wal.chmod(0o700)
        assert (code, "real" in said) == (0, True)
        assert list(host.places.wal.iterdir()) == []

    def test_a_gap_is_filled_and_a_real_one_left_alone(self, host: Host) -> None:
        self.history(host, 2).write_text(self.REAL)
        assert self.promote(host, 12)[0] == 0
        assert self.history(host, 2).read_text() == self.REAL
        for number in range(3, 12):
            assert self.history(host, number).read_bytes() == RESERVED
            assert self.history(host, number).stat().st_mode & 0o777 == 0o600
        assert len(list(host.places.wal.iterdir())) == 10
        assert newest_timeline(host.places.control_file, host.places.wal) == 11

    def test_a_gap_that_cannot_be_filled_refuses(self, host: Host) -> None:
        host.places.wal.rmdir()
        code, said = self.promote(host, 3)
        assert code == 1
        assert "timeline 3 cannot be reserved" in said
        assert "real" not in said

    def test_a_number_that_postgresql_would_not_take_refuses(self, host: Host) -> None:
        """A history came in after the permit: asked again, the guard knows of it."""
        for number in (2, 3):
            self.history(host, number).write_text(self.REAL)
        code, said = self.promote(host, 3)
        assert code == 1
        assert "PostgreSQL would take 4" in said

    def test_a_guard_of_before_it_promises_nothing(self, host: Host) -> None:
        with guard_that_says(host.places, yes=True, reason="granted: epoch 4"):
            assert host.call("pg_ctl", "promote", "-D", data(host))[0] == 0
        assert list(host.places.wal.iterdir()) == []

    @pytest.mark.parametrize("torn", [RESERVED, RESERVED[:7], b""])
    def test_a_start_forgets_a_promotion_that_never_was(self, host: Host, torn: bytes) -> None:
        self.history(host, 2).write_text(self.REAL)
        self.history(host, 3).write_bytes(RESERVED)
        self.history(host, 4).write_bytes(torn)
        (host.places.data_dir / "standby.signal").touch()
        host.start_server()
        assert [file.name for file in host.places.wal.iterdir()] == ["00000002.history"]

    def test_a_start_keeps_what_a_real_one_follows(self, host: Host) -> None:
        """A receiver fetches every history up to the newest from here."""
        self.history(host, 2).write_bytes(RESERVED)
        self.history(host, 3).write_text(self.REAL)
        (host.places.data_dir / "standby.signal").touch()
        host.start_server()
        assert self.history(host, 2).read_bytes() == RESERVED
        assert self.history(host, 3).read_text() == self.REAL

    def test_a_server_without_files_is_not_the_barriers_business(self, host: Host) -> None:
        host.places.wal.rmdir()
        host.places.control_file.unlink()
        assert newest_timeline(host.places.control_file, host.places.wal) is None
        host.places.control_file.write_bytes(control_bytes(DbState.SHUT_DOWN, timeline=7))
        assert newest_timeline(host.places.control_file, host.places.wal) is None
        (host.places.data_dir / "standby.signal").touch()
        host.start_server()

    def test_the_newest_of_control_file_and_histories_is_known(self, host: Host) -> None:
        host.places.control_file.write_bytes(control_bytes(DbState.SHUT_DOWN, timeline=7))
        assert newest_timeline(host.places.control_file, host.places.wal) == 7
        for name in ("0000001F.history", "00000009.history", "000000FF.history.tmp"):
            (host.places.wal / name).touch()
        assert newest_timeline(host.places.control_file, host.places.wal) == 0x1F


class TestSeenFromOutside:
    def test_a_crashed_primary_started_as_standby_is_not_in_production(self, host: Host) -> None:
        """The control file of a crashed primary says "in production" until recovery begins."""
        host.places.control_file.write_bytes(control_bytes(DbState.IN_PRODUCTION))
        (host.places.data_dir / "standby.signal").touch()
        host.start_server()
        files = look_at_files(host.places, boot_id())
        seen = server_seen(host.places, files, None, lock_free=lock_is_free(host.places))
        assert seen.alive
        assert not seen.in_production
        host.places.control_file.write_bytes(control_bytes(DbState.IN_PRODUCTION, checkpoint=1))
        files = look_at_files(host.places, boot_id())
        assert server_seen(host.places, files, None, lock_free=False).in_production

    def test_between_the_lock_and_the_note(self, host: Host) -> None:
        crashed = control_bytes(DbState.IN_PRODUCTION)
        host.places.control_file.write_bytes(crashed)
        files = look_at_files(host.places, boot_id())
        assert server_seen(host.places, files, None, lock_free=False).in_production
        assert not server_seen(host.places, files, crashed[:512], lock_free=False).in_production

    def test_a_server_started_around_the_barrier_is_found(self, host: Host) -> None:
        import subprocess

        direct = subprocess.Popen([str(host.places.bin_dir / "postgres"), "-D", data(host)])
        try:
            wait_for((host.places.data_dir / "child.pid").exists)
            assert lock_is_free(host.places)
            files = look_at_files(host.places, boot_id())
            seen = server_seen(host.places, files, None, lock_free=True)
            assert seen.alive
            assert seen.in_production
            assert set(processes_in_directory(host.places)) == {direct.pid, host.child_pid}
            assert kill_once(host.places) >= 2
            assert direct.wait(timeout=60) == -signal.SIGKILL
            wait_for(lambda: not list(processes_in_directory(host.places)))
        finally:
            direct.kill()
            direct.wait()

    def test_a_note_says_nothing_about_a_server_without_the_lock(self, host: Host) -> None:
        """`postgres --single` was the last start; one started by hand is not excused by that."""
        import subprocess

        with guard_that_says(host.places, yes=True):
            single = host.begin("postgres", "--single", "-D", data(host))
            wait_for((host.places.data_dir / "child.pid").exists)
        note = read_note(host.places, boot_id())
        assert note is not None
        assert note.mode is StartMode.SINGLE
        host.end()
        single.wait()
        wait_for(lambda: lock_is_free(host.places))
        (host.places.data_dir / "child.pid").unlink()
        host.places.control_file.write_bytes(control_bytes(DbState.SHUT_DOWN, checkpoint=2))
        direct = subprocess.Popen([str(host.places.bin_dir / "postgres"), "-D", data(host)])
        try:
            wait_for((host.places.data_dir / "child.pid").exists)
            files = look_at_files(host.places, boot_id())
            seen = server_seen(host.places, files, None, lock_free=lock_is_free(host.places))
            assert seen.in_production
            assert seen.note is None
            guard = Guard(Limits(tick_s=0.5, deadline_s=4.5), armed=True, in_place=InPlace.OVER)
            assert decide(guard, seen, 100.0)[1] == Kill(KillReason.NO_GRANT)
        finally:
            direct.kill()
            direct.wait()

    def test_looking_at_the_lock_asks_nothing_of_the_disk(self, host: Host) -> None:
        with lock_if_free(host.places) as free:
            assert free
            for entry in Path("/proc/self/fd").iterdir():
                if entry.resolve() == host.places.lock:
                    said = Path(f"/proc/self/fdinfo/{entry.name}").read_text()
                    flags = int(said.partition("flags:")[2].split()[0], 8)
                    assert flags & os.O_ACCMODE == os.O_RDONLY
                    return
        raise AssertionError("the lock was not open")

    def test_killing_takes_every_holder_of_the_lock(self, host: Host) -> None:
        (host.places.data_dir / "standby.signal").touch()
        process = host.start_server()
        os.kill(host.child_pid, signal.SIGSTOP)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert kill_once(host.places) >= 1  # one that is just dying may be found twice
        wait_for(lambda: lock_is_free(host.places))


class TestRecoveryEnd:
    """PostgreSQL's own question, before a promoted server takes its first write."""

    def test_behind_a_leased_door_nobody_is_asked(self, host: Host) -> None:
        host.places.door.write_text("leased\n")
        assert host.call("recovery_end.sh", host.places.cluster)[0] == 0

    @pytest.mark.parametrize("form", ["free\n", "shut\n", "", "leas", None])
    def test_in_doubt_the_guard_is_asked_and_silence_ends_the_server(
        self, host: Host, form: str | None
    ) -> None:
        if form is not None:
            host.places.door.write_text(form)
        code, said, _ = host.call("recovery_end.sh", host.places.cluster)
        assert (code, "does not answer" in said) == (200, True)

    def test_a_question_that_cannot_be_asked_ends_the_server(self, host: Host) -> None:
        """Python's own failure is 1, which would be a warning: the server would go on."""
        question = host.places.run_dir.parent / "barrier" / "recovery_end"
        question.unlink()
        question.write_text("#!/usr/bin/python3 -IS\nimport nothing_of_that_name\n")
        question.chmod(0o755)
        assert host.call("recovery_end.sh", host.places.cluster)[0] == 200

    def test_every_start_is_told_to_ask_and_cannot_be_talked_out_of_it(self, host: Host) -> None:
        (host.places.data_dir / "standby.signal").touch()
        host.begin("postgres", "-D", data(host), "-c", "recovery_end_command=true")
        wait_for(lambda: (host.places.data_dir / "child.pid").exists())
        pid = (host.places.data_dir / "postmaster.pid").read_text().strip()
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        assert words[-2].startswith("--recovery_end_command=")
        assert words[-2].endswith(f"/recovery_end.sh {host.places.cluster}")
