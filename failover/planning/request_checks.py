"""The checks of what a plan answers to an operator. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from failover.model import Automation
from failover.planning.linting import Problem, Problems, Reading
from failover.state import OperatorRequest, PlanKind, RequestPhase, StateError, decode_record
from failover.znode import Set


def request_after(reading: Reading) -> OperatorRequest | None:
    op = reading.find(Set, reading.request_path)
    try:
        return decode_record(OperatorRequest, op.data, path=op.path) if op is not None else None
    except StateError:
        return None


def request_answered(*phases: RequestPhase) -> Callable[[Reading], Problems]:
    """The request that was read gets this answer, with its version, and is not changed else."""

    def answered(reading: Reading) -> Problems:
        name, seen = "request_answered", reading.view.request
        op, after = reading.find(Set, reading.request_path), request_after(reading)
        before = seen.request if seen is not None else None
        if op is None or after is None or seen is None or before is None:
            yield Problem(name, "no request is answered")
        elif op.version != seen.version or after.phase not in phases:
            yield Problem(name, f"{after.phase} at version {op.version}")
        elif replace(after, phase=before.phase, outcome=before.outcome) != before:
            yield Problem(name, "the request itself is changed")

    return answered


def asked_or_automatic(reading: Reading) -> Problems:
    """A takeover is one that automation may make, or the one that an operator asks for.

    Automation is on, unpaused, without a cooldown, and never between a move and its promotion. A
    plan that stands was one or the other when it was begun.
    """
    if reading.before.plan is None:
        yield from begun_or_made(RequestPhase.DONE)(reading)


def begun_or_made(answer: RequestPhase) -> Callable[[Reading], Problems]:
    """Asked for or automatic; whoever asked is told so by this answer."""

    def asked(reading: Reading) -> Problems:
        yield from _asked_or_automatic(reading, answer)

    return asked


def _asked_or_automatic(reading: Reading, answer: RequestPhase) -> Problems:
    name, view, before = "asked_or_automatic", reading.view, reading.before
    unproven = before.unproven_site == before.active_site
    if reading.find(Set, reading.request_path) is not None:
        yield from request_answered(answer)(reading)
        request = view.waiting_request
        if request is None or request.kind is not PlanKind.TAKEOVER:
            yield Problem(name, "nobody waits for a takeover")
        elif request.to_site != reading.plan.to_site:
            yield Problem(name, f"a takeover to {request.to_site} is asked for")
        elif not _role_allows(reading, request):
            yield Problem(name, "what an approver answers for was asked for by no approver")
        elif unproven and request.fenced_site != before.active_site:
            yield Problem(name, f"nobody says that {before.active_site} is fenced")
        return
    if unproven:
        yield Problem(name, f"the quorum was rebuilt without {before.active_site}")
    if before.automation is not Automation.AUTO:
        yield Problem(name, f"automation is {before.automation}")
    if max(before.paused_until_unix_s, before.cooldown_until_unix_s) > view.now_unix_s:
        yield Problem(name, "automation is paused, or cools down")
    if not all(cluster.promoted for cluster in before.clusters.values()):
        yield Problem(name, "the last promotion is not on record")


def _role_allows(reading: Reading, request: OperatorRequest) -> bool:
    seen = reading.view.request
    answers = request.accept_data_loss or request.fenced_site is not None
    told_apart = reading.view.policy.access.position.closed
    return not (told_apart and answers) or (seen is not None and seen.by_approver)


# --------------------------------------------------------------------------- a refusal


def nothing_but_the_answer(reading: Reading) -> Problems:
    """State is checked, the request is answered, history is written: no other operation."""
    paths = reading.paths
    for op in reading.ops:
        if op.path not in (
            paths.state,
            reading.request_path,
            paths.history_entry,
            paths.history_head,
        ):
            yield Problem("nothing_but_the_answer", f"{op.path} is touched")
    if reading.find(Set, paths.state) is not None:
        yield Problem("nothing_but_the_answer", "the state is written")
    after = request_after(reading)
    if after is not None and not after.outcome:
        yield Problem("nothing_but_the_answer", "no reason is given")


REFUSE_REQUEST: tuple[Callable[[Reading], Problems], ...] = (
    nothing_but_the_answer,
    request_answered(RequestPhase.REFUSED),
)
