"""What was decoded once is remembered: the same bytes are the same frozen value.

Every simulated controller and guard reads the same few znodes again and again, and decoding them
was a fifth of the simulation's time. Nothing of the product changes: the functions are pure, and
that an observation comes back from its bytes as it was is tested (test_campaign.py).
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import count
from types import ModuleType

from failover import controller, history
from failover.coordination import gather
from failover.guard import permits
from failover.health import observation as observations
from failover.health.observation import SiteObservation
from failover.simulation import checker, guard_worker, world
from failover.znode import Create, Op, Set

_NAME = b"observation "
_numbers = count()


class _Carried(bytes):
    """The bytes of a znode, and what they were made from: as long as the znode is there."""

    observation: SiteObservation


def remember_what_was_decoded() -> None:
    """From now on, in this process."""
    _remember("decode_state", gather, gather, permits, guard_worker, checker, world)
    _remember("decode_record", gather, gather, permits, history)
    controller.encode_observation = _encode_observation  # type: ignore[attr-defined]
    gather.decode_observation = _decode_observation  # type: ignore[attr-defined]


def told(op: Op) -> str:
    """One operation with all that it writes, an observation in place of its name."""
    if isinstance(op, Create | Set) and isinstance(op.data, _Carried):
        return repr((replace(op, data=b""), op.data.observation))
    return repr(op)


def _remember(name: str, source: ModuleType, *users: ModuleType) -> None:
    function = getattr(source, name)
    if hasattr(function, "cache_info"):
        return
    remembered = lru_cache(maxsize=256)(function)
    for user in users:
        setattr(user, name, remembered)


def _encode_observation(observation: SiteObservation) -> bytes:
    """A name for it instead of its JSON: nobody but ``_decode_observation`` looks inside."""
    data = _Carried(b"%s%d" % (_NAME, next(_numbers)))
    data.observation = observation
    return data


def _decode_observation(data: bytes, *, path: str) -> SiteObservation:
    if isinstance(data, _Carried):
        return data.observation
    return observations.decode_observation(data, path=path)
