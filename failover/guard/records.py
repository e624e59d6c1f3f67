"""What the guard remembers across its own death: two small files.

The *record* (durable, /var/lib/failover) says which session is ours and whether a grant stands; it
is on the disk before a permit is answered. The *lease* (memory, /run) has the last two renewals;
it is written at every renewal and so must never wait for a disk that may be the thing that hangs.

Invariant: a record of another boot never carries a grant, because no process outlives a boot. A
record that is there but cannot be read still arms the guard: a grant may have stood in it, and an
unarmed guard would let that server write without a deadline. A grant without a lease file has
passed its deadline.
"""

from __future__ import annotations

import os
from dataclasses import field
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from failover.fields import Count, EpochField, NotExactly, SessionId, read_exactly
from failover.guard.logic import Grant, Renewals
from failover.guard.stand_in import latest
from failover.model import ClusterName

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True, config=_STRICT)
class GuardRecord:
    """The durable half. The password takes the session up again: the file is 0600."""

    boot_id: str
    session_id: SessionId | None = None
    password: Annotated[str, Field(pattern=r"^([0-9a-f]{2})*$")] = field(default="", repr=False)
    armed: bool = False
    grant: Grant | None = None
    deadline_s: float | None = None  # when it was written; the lease file has the present one
    epoch: EpochField | None = None
    adopted: Count | None = None  # the postmaster that ran, without a lock, when this was armed


@dataclass(frozen=True, slots=True, config=_STRICT)
class LeaseRecord:
    """The volatile half. ``minder_pid`` tells an old worker that a new minder has taken over."""

    boot_id: str
    minder_pid: Count
    renewals: Renewals | None = None


@dataclass(frozen=True, slots=True, config=_STRICT)
class StandInRecord:
    """Of a worker whose minder is dead. ``renewals``: its own, None where nobody is to go on with
    them. ``until_s``: how long it renewed at most."""

    boot_id: str
    until_s: float
    renewals: Renewals | None = None


_RECORD: TypeAdapter[GuardRecord] = TypeAdapter(GuardRecord)
_LEASE: TypeAdapter[LeaseRecord] = TypeAdapter(LeaseRecord)
_STAND_IN: TypeAdapter[StandInRecord] = TypeAdapter(StandInRecord)


@dataclass(frozen=True, slots=True)
class Places:
    """Every path of one cluster's guard on one host. ``data_dir`` has no symbolic links."""

    cluster: ClusterName
    data_dir: Path
    run_dir: Path = Path("/run/failover")
    durable_dir: Path = Path("/var/lib/failover")
    bin_dir: Path = Path("/usr/lib/postgresql/17/bin")

    @property
    def socket(self) -> Path:
        return self.run_dir / f"guard-{self.cluster}.sock"

    @property
    def lease(self) -> Path:
        return self.run_dir / f"guard-{self.cluster}.lease"

    @property
    def stand_in(self) -> Path:
        """As ``lease``, of the worker that stood in for a dead minder."""
        return self.run_dir / f"guard-{self.cluster}.stand-in"

    @property
    def door(self) -> Path:
        """The form of the acknowledgement barrier's door, where the kernel has one."""
        return self.run_dir / f"guard-{self.cluster}.door"

    @property
    def record(self) -> Path:
        return self.durable_dir / f"guard-{self.cluster}.json"

    @property
    def lock(self) -> Path:
        return self.durable_dir / f"{self.cluster}.lock"

    @property
    def note(self) -> Path:
        return self.durable_dir / f"{self.cluster}.note"

    @property
    def salvage(self) -> Path:
        return self.durable_dir / "salvage"

    @property
    def control_file(self) -> Path:
        return self.data_dir / "global" / "pg_control"

    @property
    def wal(self) -> Path:
        return self.data_dir / "pg_wal"


def default_places(cluster: ClusterName) -> Places:
    """Where Debian's packages and the rendered units put things."""
    return Places(cluster=cluster, data_dir=Path(f"/var/lib/postgresql/17/{cluster}").resolve())


def boot_id() -> str:
    return _BOOT_ID.read_text(encoding="ascii").strip()


def read_record(places: Places, boot: str) -> GuardRecord:
    """The record, without its grant where it is of another boot; empty where there is none.

    Armed and otherwise empty where it cannot be read: a running primary then needs a new permit
    within seconds.
    """
    try:
        record = read_exactly(_RECORD, places.record.read_bytes())
    except FileNotFoundError:
        return GuardRecord(boot_id=boot)
    except (OSError, NotExactly):
        return GuardRecord(boot_id=boot, armed=True)
    if record.boot_id == boot:
        return record
    return GuardRecord(boot, record.session_id, record.password, record.armed)


def write_record(places: Places, record: GuardRecord) -> None:
    """On the disk when this returns. OSError when it could not be written."""
    # A guard of before, put back, does not know it, and would take the whole for unreadable.
    usual = {"adopted"} if record.adopted is None else None
    _replace(places.record, _RECORD.dump_json(record, exclude=usual), durable=True)


def read_lease(places: Places, boot: str) -> LeaseRecord | None:
    """The last renewals; None where there are none of this boot."""
    try:
        lease = read_exactly(_LEASE, places.lease.read_bytes())
    except (OSError, NotExactly):
        return None
    return lease if lease.boot_id == boot else None


def write_lease(places: Places, lease: LeaseRecord) -> None:
    """In memory only: for a successor in this boot. OSError when it could not be written."""
    _replace(places.lease, _LEASE.dump_json(lease), durable=False)


def read_stand_in(places: Places, boot: str) -> StandInRecord | None:
    """Of the last worker that stood in; None where none did in this boot."""
    try:
        record = read_exactly(_STAND_IN, places.stand_in.read_bytes())
    except (OSError, NotExactly):
        return None
    return record if record.boot_id == boot else None


def write_stand_in(places: Places, record: StandInRecord) -> None:
    """In memory only. OSError when it could not be written."""
    _replace(places.stand_in, _STAND_IN.dump_json(record), durable=False)


def latest_renewals(places: Places, boot: str) -> Renewals | None:
    """What a new minder goes on with."""
    lease, stood_in = read_lease(places, boot), read_stand_in(places, boot)
    return latest(
        lease.renewals if lease is not None else None,
        stood_in.renewals if stood_in is not None else None,
    )


def _replace(path: Path, data: bytes, *, durable: bool) -> None:
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, data)
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    new.replace(path)
    if not durable:
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
