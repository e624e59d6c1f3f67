"""What ``failover adopt`` prints of a pair and of what it lacks. Pure.

Invariant: nothing is said by colour; 80 columns are enough for all but commands, which stand on one
line so that they can be copied.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap

from failover.adoption.difference import Difference
from failover.adoption.differences import commands
from failover.adoption.facts import Member, Scope, Snapshot
from failover.adoption.needs import Effect, When
from failover.endpoints import endpoint

WIDTH = 80
_INDENT = 9


def as_text(snapshot: Snapshot) -> str:
    """The pair as it is."""
    lines: list[str] = []
    for title, scope in (("active", snapshot.primary), ("standby", snapshot.standby)):
        lines += [*_scope(title, scope)] if scope else [f"{title}: no scope was named"]
    ensemble = snapshot.ensemble
    if ensemble is None:
        return "\n".join([*lines, "ZooKeeper: no server was named (--zookeeper)"])
    for server in ensemble.servers:
        settings = dict(server.settings)
        told = ", ".join(f"{key} {settings[key]}" for key in _TIMES if key in settings)
        lines.append(
            f"ZooKeeper {endpoint(server.address, server.port)}: {server.mode or 'no answer'}"
            f"; {told or server.problem}"
        )
    names = "not known" if ensemble.scopes is None else ", ".join(ensemble.scopes) or "none"
    lines.append(f"scopes below {ensemble.namespace}: {names}")
    return _plain("\n".join(lines))


_TIMES = ("tickTime", "syncLimit", "maxSessionTimeout")


def _scope(title: str, scope: Scope) -> Iterator[str]:
    settings = scope.settings
    times = ", ".join(f"{k} {settings.get(k, '(default)')}" for k in ("ttl", "loop_wait"))
    yield f"{title}: {scope.name} ({scope.asked}){', PAUSED' if scope.paused else ''}; {times}"
    if (standby := scope.standby_cluster) is not None:
        host, port = standby.get("host", "nobody"), standby.get("port", 5432)
        yield f"  a standby cluster of {endpoint(host, port)}"
    for member in scope.members:
        yield _member(member)
        for sender in member.walsenders:
            yield (
                f"      sends to {sender.application_name} ({sender.client_address}): "
                f"{sender.state}, {sender.sync_state}"
            )


def _member(member: Member) -> str:
    version = member.server_version
    parts = [
        f"  {member.name:<12} {member.role:<15} {member.state:<10}",
        endpoint(member.address, member.postgres_port),
        f"PostgreSQL {version // 10000}.{version % 10000}" if version else "",
        f"Patroni {member.patroni_version}" if member.patroni_version else "",
        f"timeline {member.timeline}" if member.timeline else "",
        f"started {member.started}" if member.started else "",
        *(f"{tag}={value}" for tag, value in member.tags),
        f"NO ANSWER: {member.problem}" if member.problem else "",
    ]
    return "  ".join(part for part in parts if part)


def differences_text(snapshot: Snapshot, found: Sequence[Difference]) -> str:
    """What is, what is needed, why, and what it costs; then the commands."""
    if not found:
        return "nothing differs from what this design needs"
    counts = Counter(each.when for each in found)
    said = ", ".join(f"{counts[when]} {when}" for when in When if counts[when])
    lines = [f"{len(found)} differences: {said}"]
    for when in When:
        chapter = [each for each in found if each.when is when]
        if chapter:
            lines += ["", when.upper()]
            for each in _together(chapter):
                lines += _one(*each)
    for scope in snapshot.scopes:
        for effect, command in commands(scope, found):
            lines += ["", f"# {scope.name}: {_COSTS[effect]}", command]
    return _plain("\n".join(lines))


_COSTS = {
    Effect.RELOAD: "taken over by a reload, by itself",
    Effect.POSTGRESQL: "in force after a restart of PostgreSQL (patronictl restart)",
}


def _together(found: Iterable[Difference]) -> Iterator[tuple[Difference, list[str]]]:
    """The same difference in several places is said once."""
    places: dict[tuple[object, ...], tuple[Difference, list[str]]] = {}
    for each in found:
        key = (each.key, each.found, each.wanted, each.why, each.effect)
        places.setdefault(key, (each, []))[1].append(each.where)
    yield from places.values()


def _one(difference: Difference, where: list[str]) -> Iterator[str]:
    cost = "" if difference.effect is Effect.NONE else f" ({difference.effect})"
    yield from _wrapped(f"  {', '.join(where)}: {difference.key}{cost}", 4)
    yield from _wrapped(f"    is       {difference.found}", 4 + _INDENT)
    yield from _wrapped(f"    needs    {difference.wanted}", 4 + _INDENT)
    yield from _wrapped(f"    because  {difference.why} ({difference.doc})", 4 + _INDENT)
    for line in difference.do:
        yield f"    do       {line}"


def _wrapped(text: str, indent: int) -> list[str]:
    return wrap(text, WIDTH, subsequent_indent=" " * indent, break_on_hyphens=False)


def _plain(text: str) -> str:
    """Names come out of foreign programs: what a terminal would obey is shown as "?"."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
