"""From an exception to ``NoAnswer``: what kind of silence it was. Shared by all probes.

Invariant: only what came from the other process is REJECTED or MALFORMED; a host that may be
unplugged, frozen or overloaded is TIMED_OUT, because nothing is known of it.
"""

from __future__ import annotations

import errno

from failover.health.observation import NoAnswer, NoAnswerKind

_NOTHING_KNOWN = {errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN}
DETAIL_LENGTH_MAX = 160


def no_answer(error: BaseException, limit_s: float) -> NoAnswer:
    """Why nothing was heard, in one line."""
    if isinstance(error, TimeoutError) and error.errno is None:
        return NoAnswer(NoAnswerKind.TIMED_OUT, f"no answer within {limit_s:g} s")
    if isinstance(error, OSError):
        return _of_os_error(error)
    if isinstance(error, ValueError | KeyError | TypeError):
        return NoAnswer(NoAnswerKind.MALFORMED, one_line(error))
    return NoAnswer(NoAnswerKind.REJECTED, one_line(error))


def _of_os_error(error: OSError) -> NoAnswer:
    if error.errno in _NOTHING_KNOWN:
        return NoAnswer(NoAnswerKind.TIMED_OUT, one_line(error))
    return NoAnswer(NoAnswerKind.REFUSED, one_line(error))


def one_line(error: BaseException) -> str:
    """The message without line breaks, cut to a length that fits a table."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:DETAIL_LENGTH_MAX]
