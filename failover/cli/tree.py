"""A snapshot as a tree for the terminal: Snapshot → rich. Pure.

Invariants: readable in 80 columns; nothing is said by colour alone (a word stands beside every
colour); what is unknown is written "?", never left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text
from rich.tree import Tree

from failover.cli.host_node import HostNode
from failover.cli.snapshot import (
    HEALTHY,
    LeaseNode,
    ResidencyNode,
    SideNode,
    SiteNode,
    Snapshot,
    VerdictNode,
)
from failover.cli.units import ago, duration, size

BAD = "bold red"
WARN = "yellow"
GOOD = "green"
DIM = "dim"


def as_rich(snapshot: Snapshot) -> Group:
    """The whole: heading, verdict, one tree per site, what is missing."""
    parts: list[RenderableType] = [_heading(snapshot), *verdict_lines(snapshot.verdict)]
    parts += residency_lines(snapshot.residency, snapshot.verdict)
    widths = _widths(host for site in snapshot.sites for c in site.clusters for host in c.hosts)
    parts += [_site(site, widths) for site in snapshot.sites]
    return Group(*parts, *missing_lines(snapshot.missing, snapshot.verdict))


def _heading(snapshot: Snapshot) -> Text:
    text = Text.assemble("group ", (snapshot.group, "bold"))
    if snapshot.epoch is None:
        return text
    text.append(f"  epoch {snapshot.epoch}  active site ")
    text.append(str(snapshot.active_site), style="bold")
    text.append(f"\nautomation {snapshot.automation}, protection {snapshot.protection}")
    if snapshot.in_sync is not None:
        text.append(
            ", in sync" if snapshot.in_sync else ", NOT IN SYNC", style=_sync_style(snapshot)
        )
    text.append(f"\n{readiness(snapshot.proven_age_s)}")
    if snapshot.pause_left_s:
        left = duration(snapshot.pause_left_s)
        text.append(f"\npaused by an operator: no takeover for {left}")
    if snapshot.cooldown_left_s:
        text.append(f"\ncooldown: no other takeover for {duration(snapshot.cooldown_left_s)}")
    return text


def _sync_style(snapshot: Snapshot) -> str:
    return GOOD if snapshot.in_sync else WARN


def readiness(proven_age_s: float | None) -> str:
    """How old the newest proof is that the other site can be made active."""
    if proven_age_s is None:
        return "takeover never proven"
    return f"takeover last proven {ago(proven_age_s)}"


def verdict_lines(verdict: VerdictNode) -> list[RenderableType]:
    """Code, sentence and evidence; the evidence of health is the tree itself."""
    healthy = verdict.code == HEALTHY
    style = GOOD if healthy else (BAD if verdict.page else WARN)
    lines: list[RenderableType] = [
        Text.assemble("verdict ", (verdict.code, style), f": {verdict.sentence}")
    ]
    if verdict.page:
        lines += indented(["a human is needed now"], style=BAD)
    if not healthy:
        lines += indented(verdict.evidence)
    if verdict.also:
        lines += indented([f"as well: {', '.join(verdict.also)}"])
    return lines


def residency_lines(residency: ResidencyNode, verdict: VerdictNode) -> list[RenderableType]:
    """Ways out that stand open, what nobody looks at, and what somebody answers for."""
    lines: list[RenderableType] = []
    if residency.open:
        lines.append(Text(f"residency: {len(residency.open)} ways out stand open", style=BAD))
        told = [f"{w.way} on {w.host}: {w.subject}" for w in residency.open]
        lines += indented(line for line in told if not any(line in e for e in verdict.evidence))
    if residency.gaps:
        lines.append(Text("residency: not everything is known", style=WARN))
        lines += indented(f"{gap.host}: {gap.why}" for gap in residency.gaps)
    if residency.accepted:
        lines.append(Text("residency: somebody answers for"))
        lines += indented(
            f"{w.way} on {w.host}: {w.subject} ({w.approver}, until {w.expires})"
            for w in residency.accepted
        )
    return lines


def missing_lines(missing: tuple[str, ...], verdict: VerdictNode) -> list[RenderableType]:
    """What is missing, less what the verdict has said already."""
    rest = [line for line in missing if line not in verdict.evidence]
    return [Text("missing evidence", style="bold"), *indented(rest)] if rest else []


def indented(lines: Iterable[str], style: str = "") -> list[RenderableType]:
    """Each line under its heading, also where it is too long for one."""
    return [Padding(Text(line, style=style), (0, 0, 0, 2), expand=False) for line in lines]


# --------------------------------------------------------------------------- sites


def _site(site: SiteNode, widths: _Widths) -> Tree:
    label = Text.assemble((site.name, "bold"), f" ({site.part})")
    tree = Tree(label, guide_style=DIM)
    for side in site.clusters:
        branch = tree.add(_side_label(side))
        if side.waits_for != () or side.have:
            branch.add(_waiting(side))
        for host in side.hosts:
            leaf = branch.add(_host_label(host, widths))
            for note in host.notes:
                leaf.add(Text(note, style=WARN))
    for server in site.zookeeper:
        text = Text(f"ZooKeeper {server.name}: {server.mode}")
        if server.misplaced:
            text.append(" (misplaced: a data site)", style=WARN)
        elif server.mode in ("no answer", "not serving", "unknown"):
            text.stylize(WARN)
        tree.add(text)
    tree.add(_observer(site))
    return tree


def _observer(site: SiteNode) -> Text:
    observer = site.observer
    if observer.alive:
        return Text(f"observer: alive, {observer.age_s:.1f} s ago")
    if observer.problem:
        return Text(f"observer: {observer.problem}", style=WARN)
    if observer.age_s is None:
        return Text("observer: has published nothing", style=WARN)
    return Text(f"observer: silent for {duration(observer.age_s)}", style=WARN)


def _side_label(side: SideNode) -> Text:
    text = Text.assemble("cluster ", (side.cluster, "bold"), f": {side.condition}")
    if side.upstream:
        text.append(f" of {side.upstream}")
    for flag, said in (
        (side.fenced, {True: ", fenced", None: ", fence unknown"}),
        (side.paused, {True: ", PAUSED", None: ", pause unknown"}),
    ):
        text.append(said.get(flag, ""), style=WARN)
    if side.lease is not None:
        text.append(", lease: ")
        text.append_text(_lease(side.lease))
    return text


def _waiting(side: SideNode) -> Text:
    """Whom commits wait for, and who has everything by the record."""
    if side.waits_for is None:
        text = Text("commits wait for a list that is not ours", style=WARN)
    else:
        text = Text(f"commits wait for {', '.join(side.waits_for) or 'nobody'}")
    text.append(f"; surely with everything: {', '.join(side.have) or 'nobody'}")
    return text


def _lease(lease: LeaseNode) -> Text:
    if lease.held is None:
        return Text("unknown", style=WARN)
    if not lease.held:
        return Text(f"NOBODY for {duration(lease.age_s)}", style=BAD)
    if lease.host is None:
        return Text(f"held, but not understood ({lease.problem})", style=BAD)
    return Text(f"{lease.host}, epoch {lease.epoch}", style=GOOD)


# --------------------------------------------------------------------------- hosts


@dataclass(frozen=True, slots=True)
class _Widths:
    """Of the columns, so that hosts line up over all sites."""

    name: int
    role: int
    position: int


def _widths(hosts: Iterable[HostNode]) -> _Widths:
    rows = [(len(host.name), len(host.role), len(_position(host))) for host in hosts]
    name, role, position = (max((row[i] for row in rows), default=0) for i in range(3))
    return _Widths(name, role, position)


_ROLE_STYLES = {"primary": "bold", "unreachable": BAD, "stopped": WARN, "unknown": WARN}
_GUARD_STYLES = {"writable": GOOD, "not armed": WARN, "worker down": WARN, "no answer": WARN}


def _host_label(host: HostNode, widths: _Widths) -> Text:
    text = Text(f"{host.name:<{widths.name}}  ")
    text.append(f"{host.role:<{widths.role}}", style=_ROLE_STYLES.get(host.role, ""))
    text.append(f"  {_position(host):<{widths.position}}  guard ")
    text.append(host.guard, style=_GUARD_STYLES.get(host.guard, ""))
    if host.grant_left_s is not None:
        text.append(f" {host.grant_left_s:.1f} s")
    return text


def _position(host: HostNode) -> str:
    """Timeline and place in the WAL; for a standby how far behind, where that has a meaning."""
    if host.timeline is None:
        return "tl ?"
    if not host.role.startswith("standby"):
        return f"tl {host.timeline} at {host.lsn}"
    if host.lag_bytes is None:
        return f"tl {host.timeline} at {host.lsn}, lag ?"
    seconds = "? s" if host.lag_s is None else duration(host.lag_s)
    return f"tl {host.timeline} lag {size(host.lag_bytes)}, {seconds}"
