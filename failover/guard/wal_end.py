"""Up to where this host has WAL: asked of the running server, or estimated from its files."""

from __future__ import annotations

import re
import subprocess
import time

import psycopg

from failover.guard import waldump
from failover.guard.control_file import ControlFile, ControlFileError, DbState, parse_control
from failover.guard.local_connection import connected_locally
from failover.guard.permits import Stopped, WalEnd
from failover.guard.records import Places
from failover.guard.wal_segments import Segment, newest_segment, segment_at
from failover.model import Lsn, TimelineId
from failover.state import StopKind

WALDUMP_LIMIT_S = 5.0
PAGE_BYTES = 8192
SHORT_PAGE_HEADER_BYTES = 24
LONG_PAGE_HEADER_BYTES = 40  # of a segment's first page
RECORD_BYTES_MAX = 1020 * 1024**2  # XLogRecordMaxSize of access/xlogrecord.h
_RECORD = re.compile(
    r"rmgr: \w+ +len \(rec/tot\): +[0-9]+/ *(?P<total>[0-9]{1,10}), tx: +[0-9]+,"
    r" lsn: (?P<lsn>[0-9A-F]{1,8}/[0-9A-F]{1,8}),"
)

# While nothing is received the newest file tells the timeline: the control file's is as old as the
# last restartpoint (failover.wal_timeline says the same to the controllers).
_QUERY = """
select at.lsn,
       coalesce(
           (select received_tli from pg_stat_wal_receiver),
           (select max(split.timeline_id)::integer
            from pg_ls_waldir() file, pg_split_walfile_name(file.name) split
            where file.name ~ '^[0-9A-F]{24}$'
              and split.segment_number = trunc((at.lsn - '0/0')
                  / pg_size_bytes(current_setting('wal_segment_size')))),
           greatest((pg_control_checkpoint()).timeline_id,
                    (pg_control_recovery()).min_recovery_end_timeline))
from (select greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) as lsn) at
where pg_is_in_recovery()
union all
select pg_current_wal_lsn(),
       (select timeline_id::integer
        from pg_split_walfile_name(pg_walfile_name(pg_current_wal_lsn())))
where not pg_is_in_recovery()
"""


def ask_server(socket_dir: str, port: int) -> WalEnd | None:
    """What the running server has received; None when it does not answer within seconds."""
    try:
        with connected_locally(socket_dir, port) as connection:
            row = connection.execute(_QUERY).fetchone()
    except psycopg.Error:
        return None
    if row is None or row[0] is None or row[1] is None:
        return None
    return WalEnd(Lsn.parse(str(row[0])), TimelineId(int(str(row[1]))))


def stopped_at(places: Places, raw: bytes) -> Stopped | None:
    """The end of WAL of a server that is down, from its control file and segments."""
    try:
        control = parse_control(raw)
    except ControlFileError:
        return None
    if control.state is DbState.SHUT_DOWN:
        # One byte past the beginning of the shutdown checkpoint's record: whoever has replayed
        # that far has the whole record, because positions lie between records.
        end = Lsn(control.checkpoint.bytes + 1)
        return Stopped(StopKind.SHUT_DOWN, WalEnd(end, control.timeline))
    end_of_files = end_of_files_of(places, control)
    if end_of_files is None:
        return None
    return Stopped(StopKind.KILLED, end_of_files, _idle_s(places))


def _idle_s(places: Places) -> float:
    """How long nothing was written to the newest segment, on this host's own clock."""
    segment = newest_segment(places.wal)
    try:
        written_unix_s = segment.file.stat().st_mtime if segment is not None else time.time()
    except OSError:
        return 0.0
    return max(0.0, time.time() - written_unix_s)


def end_of_files_of(places: Places, control: ControlFile) -> WalEnd | None:
    """The end of the last whole record in pg_wal; None when pg_waldump cannot tell.

    That is what recovery replays, and so what a host has that is killed and started again.
    """
    segment = newest_segment(places.wal)
    if segment is None:
        return None
    try:
        end = _end_of_records(places, segment)
    except (OSError, subprocess.TimeoutExpired):
        return None  # no memory, a disk that hangs: an end too low would hide a loss
    return WalEnd(max(end or segment.start, control.checkpoint), segment.timeline)


def _end_of_records(places: Places, newest: Segment) -> Lsn | None:
    """Where pg_waldump stops, in the newest segment and the one before.

    (A segment may hold nothing but the rest of a record that was begun before it.)
    None: no record begins there. OSError, TimeoutExpired where pg_waldump could not tell.
    """
    before = newest.before
    files = [before.name if segment_at(before) is not None else newest.name, newest.name]
    done = _dump(places, "--quiet", *files)
    end = newest.end
    if done.returncode != 0:
        found = waldump.stopped_at(done.stderr)
        if found is None and waldump.NO_RECORD not in done.stderr:
            raise OSError(f"pg_waldump {newest.name}: {done.returncode}: {done.stderr.strip()}")
        if found is None:
            return None
        end = found
    if end.bytes % PAGE_BYTES > LONG_PAGE_HEADER_BYTES:
        return end
    # The address of a page, where the record that it should go on with may have begun long before.
    listed = _dump(places, *files)
    if (listed.returncode, listed.stderr) != (done.returncode, done.stderr):
        # Killed half-way, out of memory: its last line would be an end too low, and hide a loss.
        raise OSError(f"pg_waldump {newest.name}: {listed.returncode}, was {done.returncode}")
    return _end_of_last_record(listed.stdout, newest.bytes) or end


def _dump(places: Places, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        waldump.command(places.bin_dir, places.wal, *arguments),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env=dict(waldump.ENVIRONMENT),
        timeout=WALDUMP_LIMIT_S,
        check=False,
    )


def _end_of_last_record(lines: str, segment_bytes: int) -> Lsn | None:
    """As PostgreSQL counts it: the headers of the pages that it goes on to are within it."""
    *_, last = lines.splitlines() or [""]
    found = _RECORD.match(last)
    if found is None or int(found["total"]) > RECORD_BYTES_MAX:
        return None
    if "desc: SWITCH" in last:  # the rest of its segment belongs to it
        number = Lsn.parse(found["lsn"]).bytes // segment_bytes
        return Lsn((number + 1) * segment_bytes)
    at, left_bytes = Lsn.parse(found["lsn"]).bytes, -(-int(found["total"]) // 8) * 8
    while left_bytes > (room_bytes := PAGE_BYTES - at % PAGE_BYTES):
        left_bytes -= room_bytes
        at += room_bytes
        at += SHORT_PAGE_HEADER_BYTES if at % segment_bytes else LONG_PAGE_HEADER_BYTES
    return Lsn(at + left_bytes)
