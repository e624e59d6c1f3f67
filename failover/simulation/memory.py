"""What was decoded once is remembered: the same bytes are the same frozen value.

Every simulated controller and guard reads the same few znodes again and again, and decoding them
was a fifth of the simulation's time. Nothing of the product changes: the functions are pure.
"""

from __future__ import annotations

from functools import lru_cache
from types import ModuleType

from failover.coordination import gather
from failover.guard import permits
from failover.health import observation
from failover.simulation import guard_worker


def remember_what_was_decoded() -> None:
    """From now on, in this process."""
    _remember("decode_observation", observation, gather)
    _remember("decode_state", gather, gather, permits, guard_worker)
    _remember("decode_record", gather, gather, permits)


def _remember(name: str, source: ModuleType, *users: ModuleType) -> None:
    function = getattr(source, name)
    if hasattr(function, "cache_info"):
        return
    remembered = lru_cache(maxsize=256)(function)
    for user in users:
        setattr(user, name, remembered)
