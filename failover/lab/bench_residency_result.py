"""What attempts to carry data abroad came to, and the limits they are held against. Pure.

Limits are those of issue 6 ("Must show", lines 1, 2 and 4). Bytes are all that arrived abroad,
headers, handshakes and refusals included: more than what was data, never less.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from failover.lab.bench_result import SCHEMA
from failover.model import HostName

CUT_S_MAX = 5.0
FINDING_S_MAX = 5.0
COST_CORES_MAX = 0.01
WRITE_PAUSE_S_MAX = 1.0
REFUSAL_BYTES_MAX = 64 * 1024  # a handshake, an error: more was let through
TIMED_OUT = 124  # exit code of `timeout`


class Kind(StrEnum):
    WALSENDER = "walsender"  # replication protocol, from abroad
    CLIENT = "client"  # SQL, from abroad
    PROXY = "proxy"  # SQL, from abroad, through HAProxy
    DDL = "ddl"  # what would open a way, on a database host
    PUSH = "push"  # data sent from a database host by who may do so: nobody sees the call


class Outcome(StrEnum):
    PREVENTED = "prevented"
    CUT = "cut"
    UNOBSERVABLE = "unobservable"
    THROUGH = "through"  # nobody stopped it, and somebody should have


@dataclass(frozen=True, slots=True)
class Ended:
    """How one attempt ended. ``said``: its last words. ``cut_sessions``: on record, of its host."""

    exit_code: int
    took_s: float
    bytes_left: int
    said: str
    cut_sessions: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One attempt. ``seconds``: from its beginning until it had ended."""

    path: str
    kind: Kind
    from_host: HostName
    outcome: Outcome
    seconds: float
    bytes_left: int
    finding: str  # ways that were found or cut; empty: none
    said: str
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cost:
    """What the scanners' backends took of a host's cores, at most."""

    host: HostName
    looks_cores: float  # the sessions that look every second
    others_cores: float  # every other backend that came and went, and their being started
    seconds: float

    @property
    def cores(self) -> float:
        return round(self.looks_cores + self.others_cores, 5)


@dataclass(frozen=True, slots=True)
class Move:
    """A move of the group with the firewall loaded."""

    what: str
    succeeded: bool
    line: str


@dataclass(slots=True)
class Around:
    """What was measured besides the attempts."""

    firewall: bool
    netem: bool
    size_bytes: int = 0
    line_found_s: dict[HostName, float | None] = field(default_factory=dict)
    costs: list[Cost] = field(default_factory=list)
    write_pause_s: float | None = None  # of customers at the active site, during the attempts
    moves: list[Move] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def outcome_of(kind: Kind, ended: Ended) -> Outcome:
    """``cut`` only where the scanners have it on record; ``prevented`` where it failed by itself
    and no more than a refusal arrived."""
    if ended.exit_code == 0:
        return Outcome.UNOBSERVABLE if kind is Kind.PUSH else Outcome.THROUGH
    if ended.exit_code == TIMED_OUT and ended.bytes_left > 0:
        return Outcome.THROUGH
    if ended.cut_sessions > 0:
        return Outcome.CUT
    return Outcome.PREVENTED if ended.bytes_left <= REFUSAL_BYTES_MAX else Outcome.THROUGH


def violations(row: Row, firewall: bool) -> tuple[str, ...]:
    """Limits that an attempt breaks."""
    return tuple(_violations(row, firewall))


def _violations(row: Row, firewall: bool) -> Iterator[str]:
    if row.outcome is Outcome.THROUGH:
        yield "it was not stopped"
    if row.kind is Kind.PUSH and row.outcome is Outcome.PREVENTED and not firewall:
        yield f"it proves nothing, it failed where nothing holds it: {row.said}"
    if row.outcome is Outcome.CUT and row.seconds > CUT_S_MAX:
        yield f"it was cut after {row.seconds:.1f} s"
    if row.kind in (Kind.WALSENDER, Kind.CLIENT) and not row.finding:
        yield "there is no finding"
    # A proxy holds no data and has no such firewall: it answers the handshake, and hangs up.
    if firewall and row.kind is not Kind.PROXY and row.bytes_left > 0:
        yield f"{row.bytes_left} bytes left through the firewall"
    yield from row.problems


def around_violations(around: Around) -> tuple[str, ...]:
    """Limits that are broken besides the attempts."""
    return tuple(_around_violations(around))


def _around_violations(around: Around) -> Iterator[str]:
    if not around.line_found_s:
        yield "no line of pg_hba.conf was opened"
    for host, found_s in around.line_found_s.items():
        if found_s is None or found_s > FINDING_S_MAX:
            yield f"{host}: the opened line was a finding after {_seconds(found_s)}"
    for cost in around.costs:
        if cost.cores >= COST_CORES_MAX:
            yield f"{cost.host}: scanning costs {cost.cores:.2%} of a core"
    pause_s = around.write_pause_s
    if around.firewall and (pause_s is None or pause_s > WRITE_PAUSE_S_MAX):
        yield f"customers waited for {_seconds(pause_s)} with the firewall loaded"
    if around.firewall and not around.moves:
        yield "nothing was moved with the firewall loaded"
    for move in around.moves:
        if not move.succeeded:
            yield f"{move.what} with the firewall loaded: {move.line}"
    yield from around.problems


def passed(rows: Sequence[Row], around: Around) -> bool:
    broken = any(violations(row, around.firewall) for row in rows)
    return bool(rows) and not broken and not around_violations(around)


# --------------------------------------------------------------------------- processor time

_UTIME, _STIME, _CUTIME, _CSTIME = 11, 12, 13, 14  # after "pid (name)", proc(5)


def own_ticks(stat: str) -> int:
    """Processor time of a process, in ticks, from its line in /proc. ValueError when it is none."""
    fields = _fields(stat)
    return int(fields[_UTIME]) + int(fields[_STIME])


def childrens_ticks(stat: str) -> int:
    """The same of its children that have ended."""
    fields = _fields(stat)
    return int(fields[_CUTIME]) + int(fields[_CSTIME])


def _fields(stat: str) -> list[str]:
    fields = stat.rpartition(")")[2].split()
    if len(fields) <= _CSTIME:
        raise ValueError(f"not a line of /proc/PID/stat: {stat!r}")
    return fields


# --------------------------------------------------------------------------- for people

TABLE_HEAD = (
    "| path | from | outcome | seconds | bytes left | finding |",
    "|---|---|---|---|---|---|",
)


def row_line(row: Row) -> str:
    """One row of the table in docs/residency.md."""
    problems = "".join(f" ({problem})" for problem in row.problems)
    return (
        f"| {row.path} | {row.from_host} | {row.outcome} | {row.seconds:.1f} | "
        f"{row.bytes_left:,} | {row.finding or '-'}{problems} |"
    )


def summary_lines(rows: Sequence[Row], around: Around) -> list[str]:
    """What the attempts show together, and every limit that is not kept."""
    cut_s = [row.seconds for row in rows if row.outcome is Outcome.CUT]
    found_s = [_seconds(each) for each in around.line_found_s.values()]
    lines = [
        f"{len(rows)} attempts with {around.size_bytes / 2**30:.2f} GiB of data, firewall "
        f"{'loaded' if around.firewall else 'not loaded'}: "
        + ", ".join(f"{sum(row.outcome is each for row in rows)} {each}" for each in Outcome),
        f"cut after {max(cut_s):.1f} s at most" if cut_s else "nothing was cut",
        f"the opened lines were findings after {', '.join(found_s) or 'nothing'}",
        f"longest pause of customers' writes: {_seconds(around.write_pause_s)}",
    ]
    lines += [
        f"scanning costs {cost.host} at most {cost.cores:.2%} of a core "
        f"({cost.looks_cores:.2%} for looks, over {cost.seconds:.0f} s)"
        for cost in around.costs
    ]
    lines += [f"{move.what}: {move.line}" for move in around.moves]
    lines += [
        f"NOT KEPT: {row.path} from {row.from_host}: {each}"
        for row in rows
        for each in violations(row, around.firewall)
    ]
    return lines + [f"NOT KEPT: {each}" for each in around_violations(around)]


def as_json(rows: Sequence[Row], around: Around) -> dict[str, Any]:
    """The document of ``-o json``."""
    return {
        "schema": SCHEMA,
        "attempts": [_row_json(row, around.firewall) for row in rows],
        "around": asdict(around) | {"violations": list(around_violations(around))},
        "passed": passed(rows, around),
    }


def _row_json(row: Row, firewall: bool) -> dict[str, Any]:
    said = asdict(row)
    said["from"] = said.pop("from_host")
    return said | {"finding": row.finding or None, "violations": list(violations(row, firewall))}


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"
