"""The guard's files: control file, segments, salvage, records."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

import pytest
from guard_world import Host, control_bytes
from wal_files import SEGMENT_BYTES, write_segment

from failover.guard import salvage as salvage_module
from failover.guard.control_file import ControlFileError, DbState, parse_control
from failover.guard.logic import Grant, Renewals
from failover.guard.records import (
    GuardRecord,
    LeaseRecord,
    boot_id,
    read_lease,
    read_record,
    write_lease,
    write_record,
)
from failover.guard.salvage import newest_done, read_done, salvage
from failover.guard.wal_end import stopped_at
from failover.guard.wal_segments import segment_at, segments_in
from failover.model import Epoch, Lsn, TimelineId
from failover.state import StopKind

MIB = 1024**2


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def segment(host: Host, timeline: int, number: int, *, address: int | None = None) -> str:
    return write_segment(host.places.wal, timeline, number, address=address)


class TestControlFile:
    def test_reads_what_it_needs(self) -> None:
        control = parse_control(control_bytes(DbState.IN_PRODUCTION, 0x1_0300_0148, timeline=7))
        assert control.state is DbState.IN_PRODUCTION
        assert str(control.checkpoint) == "1/3000148"
        assert control.timeline == 7

    @pytest.mark.parametrize(
        "raw", [b"", b"x" * 40, struct.pack("<QIII", 1, 9999, 1, 6) + b"0" * 60]
    )
    def test_refuses_what_it_does_not_know(self, raw: bytes) -> None:
        with pytest.raises(ControlFileError):
            parse_control(raw)


class TestEndOfWal:
    def test_after_a_shutdown_it_is_within_the_checkpoint_record(self, host: Host) -> None:
        stopped = stopped_at(host.places, control_bytes(DbState.SHUT_DOWN, 0x3000148))
        assert stopped is not None
        assert stopped.kind is StopKind.SHUT_DOWN
        assert stopped.end.lsn == Lsn(0x3000149)

    @pytest.mark.parametrize(
        "dump", ["exit 137", "kill -9 $$", None], ids=["oom", "killed", "gone"]
    )
    def test_what_pg_waldump_could_not_read_is_not_known(
        self, host: Host, dump: str | None
    ) -> None:
        """An end too low would hide a loss."""
        path = host.places.bin_dir / "pg_waldump"
        path.unlink()
        if dump is not None:
            path.write_text(f"#!/bin/sh\n{dump}\n")
            path.chmod(0o755)
        segment(host, 1, 3)
        assert stopped_at(host.places, control_bytes(DbState.IN_PRODUCTION)) is None

    def test_after_a_kill_it_is_where_pg_waldump_stops(self, host: Host) -> None:
        segment(host, 1, 3)
        dump = host.places.bin_dir / "pg_waldump"
        dump.write_text(
            "#!/bin/sh\necho 'pg_waldump: error: error in WAL record at 0/3000110: invalid record "
            "length at 0/3000148: expected at least 24, got 0' >&2\nexit 1\n"
        )
        dump.chmod(0o755)
        stopped = stopped_at(host.places, control_bytes(DbState.IN_PRODUCTION, 0x3000060))
        assert stopped is not None
        assert stopped.kind is StopKind.KILLED
        assert str(stopped.end.lsn) == "0/3000148"
        newest = next(host.places.wal.iterdir())
        os.utime(newest, (time.time() - 12.0, time.time() - 12.0))
        stopped = stopped_at(host.places, control_bytes(DbState.IN_PRODUCTION, 0x3000060))
        assert stopped is not None
        assert stopped.idle_s == pytest.approx(12.0, abs=2.0)

    def test_the_end_is_understood_on_a_host_that_speaks_another_language(
        self, host: Host, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """pg_waldump has translations, and says where it stopped in words only."""
        monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
        segment(host, 1, 3)
        dump = host.places.bin_dir / "pg_waldump"
        dump.write_text(
            '#!/bin/sh\nif test "$LC_ALL" = C; then echo \'pg_waldump: error: error in WAL record '
            "at 0/3000110: invalid record length at 0/3000148: expected at least 24, got 0'\n"
            "else echo 'pg_waldump: erreur : enregistrement invalide à 0/3000110'; fi >&2\n"
            "exit 1\n"
        )
        dump.chmod(0o755)
        stopped = stopped_at(host.places, control_bytes(DbState.IN_PRODUCTION, 0x3000060))
        assert stopped is not None
        assert str(stopped.end.lsn) == "0/3000148"

    @pytest.mark.parametrize(
        ("last", "stops", "end"),
        [
            ("Heap len (rec/tot):     59/    59, tx: 7, lsn: 0/030000D8", "0/3002000", "0/3000118"),
            ("Heap len (rec/tot):   1000/  1000, tx: 7, lsn: 0/03001C18", "0/3004000", "0/3002000"),
            ("Heap len (rec/tot):   1008/  1008, tx: 7, lsn: 0/03001C18", "0/3004000", "0/3002020"),
            ("Heap len (rec/tot):  20000/ 20000, tx: 7, lsn: 0/03001C18", "0/3008000", "0/3006A80"),
            ("XLOG len (rec/tot):     24/    24, tx: 0, lsn: 0/03001C18", "0/3002018", "0/3001C30"),
        ],
        ids=["within a page", "up to its end", "into the next", "over three", "after a header"],
    )
    def test_half_a_record_at_the_end_of_wal_does_not_count(
        self, host: Host, last: str, stops: str, end: str
    ) -> None:
        """pg_waldump then says the page where it stopped, up to the record's size too far."""
        segment(host, 1, 3)
        dump = host.places.bin_dir / "pg_waldump"
        dump.write_text(
            "#!/bin/sh\ncase $* in *--quiet*) ;; *)\n"
            f"echo 'rmgr: {last}, prev 0/03000060, desc: INSERT off: 1';; esac\n"
            "echo 'pg_waldump: error: error in WAL record at 0/3000028: invalid magic number 0000 "
            f"in WAL segment 000000010000000000000003, LSN {stops}, offset 8192' >&2\nexit 1\n"
        )
        stopped = stopped_at(host.places, control_bytes(DbState.IN_PRODUCTION, 0x3000028))
        assert stopped is not None
        assert str(stopped.end.lsn) == end

    @pytest.mark.parametrize("died", ["kill -9 $$", "echo 'out of memory' >&2; exit 1"])
    def test_a_list_of_records_that_broke_off_is_not_known(self, host: Host, died: str) -> None:
        """Its last line is an end too low, which would hide a loss."""
        segment(host, 1, 3)
        dump = host.places.bin_dir / "pg_waldump"
        dump.write_text(
            "#!/bin/sh\ncase $* in *--quiet*) ;; *)\n"
            "echo 'rmgr: Heap len (rec/tot): 59/ 59, tx: 7, lsn: 0/030000D8, desc: INSERT'\n"
            f"{died};; esac\n"
            "echo 'pg_waldump: error: error in WAL record at 0/3000028: invalid magic number 0000 "
            "in WAL segment 000000010000000000000003, LSN 0/3002000, offset 8192' >&2\nexit 1\n"
        )
        assert stopped_at(host.places, control_bytes(DbState.IN_PRODUCTION, 0x3000028)) is None

    def test_after_a_switch_it_is_the_next_segment(self, host: Host) -> None:
        segment(host, 1, 3)
        dump = host.places.bin_dir / "pg_waldump"
        dump.write_text(
            "#!/bin/sh\necho 'rmgr: XLOG len (rec/tot): 24/ 24, tx: 0, lsn: 0/03000110, "
            "prev 0/030000D8, desc: SWITCH'\n"
        )
        stopped = stopped_at(host.places, control_bytes(DbState.IN_PRODUCTION))
        assert stopped is not None
        assert str(stopped.end.lsn) == "0/4000000"

    def test_without_segments_nothing_is_guessed(self, host: Host) -> None:
        assert stopped_at(host.places, control_bytes(DbState.IN_PRODUCTION)) is None

    @pytest.mark.parametrize("number", [0, 3, 255, 256, 70_000])
    @pytest.mark.parametrize("segment_bytes", [MIB, 16 * MIB, 1024 * MIB])
    def test_names_of_segments(self, host: Host, number: int, segment_bytes: int) -> None:
        name = write_segment(host.places.wal, 5, number, segment_bytes=segment_bytes)
        found = segment_at(host.places.wal / name)
        assert found is not None
        assert (found.start.bytes, found.timeline) == (number * segment_bytes, 5)
        assert found.end.bytes == (number + 1) * segment_bytes


class TestSalvage:
    def test_copies_from_the_divergence_on(self, host: Host) -> None:
        old, first, last = (segment(host, 1, number) for number in (2, 3, 4))
        recycled = segment(host, 1, 5, address=2 * SEGMENT_BYTES)
        (host.places.wal / "00000002.history").write_text("1\t0/3000000\n")
        copied = salvage(host.places, "7", Lsn(3 * SEGMENT_BYTES + 5), 100 * MIB)
        assert copied.ok
        assert copied.segments == 2
        names = {file.name for file in copied.directory.iterdir()}
        assert names == {first, last, "00000002.history", "pg_control", "DONE"}
        assert not names & {old, recycled}
        assert newest_done(host.places) == 7
        assert read_done(host.places, Epoch(7)) == copied

    def test_segments_of_another_size(self, host: Host) -> None:
        """The cluster was made with `initdb --wal-segsize=1`, or 64: it says so in each of them."""
        for segment_bytes in (MIB, 64 * MIB):
            wal = host.places.wal
            names = [write_segment(wal, 1, n, segment_bytes=segment_bytes) for n in (299, 300, 301)]
            copied = salvage(host.places, "7", Lsn(301 * segment_bytes - 1), 100 * MIB)
            assert {f.name for f in copied.directory.iterdir()} >= {*names[1:]}
            assert not (copied.directory / names[0]).exists()
            for name in names:
                (wal / name).unlink()

    def test_the_segment_of_the_divergence_is_among_them(self, host: Host) -> None:
        names = [segment(host, 1, number) for number in (3, 4)]
        copied = salvage(host.places, "7", Lsn(4 * SEGMENT_BYTES - 1), 100 * MIB)
        assert {name for name in names if (copied.directory / name).exists()} == set(names)

    def test_too_much_is_said_and_nothing_is_done(self, host: Host) -> None:
        segment(host, 1, 3)
        copied = salvage(host.places, "7", None, 1000)
        assert not copied.ok
        assert "salvage_size_max" in copied.detail
        assert newest_done(host.places) is None

    def test_what_an_operator_archived_beside_the_salvages_counts_and_is_in_nobodys_way(
        self, host: Host
    ) -> None:
        """The refusal says so itself: raise the limit, or archive what is there."""
        (host.places.salvage / "6" / "more").mkdir(parents=True)
        (host.places.salvage / "6" / "more" / "segment").write_bytes(b"x" * 300)
        (host.places.salvage / "5.tar.gz").write_bytes(b"x" * 100)
        segment(host, 1, 3)
        assert salvage(host.places, "7", None, 100 * MIB).ok
        (host.places.salvage / "7").rename(host.places.data_dir / "elsewhere")
        assert "400 held by earlier salvages" in salvage(host.places, "8", None, 1000).detail

    def test_a_segment_that_vanishes_while_others_are_copied_is_no_salvage(
        self, host: Host, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A restartpoint of the server that stands in quarantine recycles what is before it."""
        first, second = (segment(host, 1, number) for number in (3, 4))
        copy = salvage_module._copy

        def slow(source: Path, target: Path) -> None:
            copy(source, target)
            (host.places.wal / second).unlink(missing_ok=True)

        monkeypatch.setattr(salvage_module, "_copy", slow)
        with pytest.raises(FileNotFoundError, match=second):
            salvage(host.places, "7", Lsn(3 * SEGMENT_BYTES), 100 * MIB)
        assert newest_done(host.places) is None
        assert (host.places.salvage / "7" / first).exists()

    def test_wal_that_was_gone_before_is_said(self, host: Host) -> None:
        segment(host, 1, 4)
        copied = salvage(host.places, "7", Lsn(3 * SEGMENT_BYTES + 5), 100 * MIB)
        assert copied.ok
        assert copied.detail == (
            "the WAL from 0/3000005 to 0/4000000 was gone before it could be copied"
        )

    def test_an_operator_may_do_it_by_hand(self, host: Host) -> None:
        (host.places.salvage / "7").mkdir(parents=True)
        (host.places.salvage / "7" / "DONE").touch()
        done = read_done(host.places, Epoch(7))
        assert done is not None
        assert done.ok

    def test_other_files_are_no_segments(self, host: Host) -> None:
        for name in ("archive_status", "xlogtemp.12", "00000001000000000000000G"):
            (host.places.wal / name).write_bytes(b"x" * 100)
        assert segments_in(host.places.wal) == []


class TestRecords:
    def test_come_back_as_they_were(self, host: Host) -> None:
        grant = Grant(0x77, Epoch(3), 100.5, promotion=True, timeline=TimelineId(4))
        record = GuardRecord(boot_id(), 0x77, "00ff", armed=True, grant=grant, epoch=Epoch(3))
        write_record(host.places, record)
        assert read_record(host.places, boot_id()) == record
        lease = LeaseRecord(boot_id(), 42, Renewals(0x77, 100.5, 100.0))
        write_lease(host.places, lease)
        assert read_lease(host.places, boot_id()) == lease

    def test_after_a_reboot_there_is_no_grant(self, host: Host) -> None:
        grant = Grant(0x77, Epoch(3), 100.5, promotion=False)
        write_record(host.places, GuardRecord("before", 0x77, "00ff", armed=True, grant=grant))
        write_lease(host.places, LeaseRecord("before", 42, Renewals(0x77, 100.5, 100.0)))
        record = read_record(host.places, boot_id())
        assert record.grant is None
        assert record.armed
        assert record.session_id == 0x77  # its claim is given back at once, not after an expiry
        assert read_lease(host.places, boot_id()) is None

    @pytest.mark.parametrize("content", ["", "{", '{"boot_id": 1}', '{"boot_id":"b","x":1}'])
    def test_unreadable_may_have_been_a_grant(self, host: Host, content: str) -> None:
        """Armed, so that a primary that runs needs a permit: nobody knows of its deadline."""
        assert read_record(host.places, boot_id()) == GuardRecord(boot_id())
        host.places.record.write_text(content)
        host.places.lease.write_text(content)
        assert read_record(host.places, boot_id()) == GuardRecord(boot_id(), armed=True)
        assert read_lease(host.places, boot_id()) is None

    def test_the_password_is_for_nobody_else(self, host: Host) -> None:
        write_record(host.places, GuardRecord(boot_id(), 1, "5ec2e7"))
        assert host.places.record.stat().st_mode & 0o777 == 0o600
        assert "5ec2e7" not in repr(read_record(host.places, boot_id()))
