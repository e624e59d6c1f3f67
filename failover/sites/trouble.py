"""From an exception to ``NoAnswer``: what kind of silence it was. Shared by all probes.

Invariant: REFUSED is said only where the other host's kernel refused the connection, because the
core takes it for "the process is not there". A host that may be unplugged, frozen or overloaded,
and any trouble of our own (no descriptor left, no route) is TIMED_OUT: nothing is known.
"""

from __future__ import annotations

import errno

from failover.health.observation import NoAnswer, NoAnswerKind

_BROKEN_OFF = {errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED}
DETAIL_LENGTH_MAX = 160


def no_answer(error: BaseException, limit_s: float) -> NoAnswer:
    """Why nothing was heard, in one line."""
    if isinstance(error, TimeoutError) and error.errno is None:
        return timed_out(limit_s)
    if isinstance(error, OSError):
        return _of_os_error(error)
    if isinstance(error, ValueError | KeyError | TypeError):
        return NoAnswer(NoAnswerKind.MALFORMED, one_line(error))
    return NoAnswer(NoAnswerKind.REJECTED, one_line(error))


def timed_out(limit_s: float) -> NoAnswer:
    return NoAnswer(NoAnswerKind.TIMED_OUT, f"no answer within {limit_s:g} s")


def _of_os_error(error: OSError) -> NoAnswer:
    if error.errno == errno.ECONNREFUSED:
        return NoAnswer(NoAnswerKind.REFUSED, one_line(error))
    if error.errno in _BROKEN_OFF:
        return NoAnswer(NoAnswerKind.REJECTED, one_line(error))
    return NoAnswer(NoAnswerKind.TIMED_OUT, one_line(error))


def one_line(error: BaseException) -> str:
    """The message without line breaks, cut to a length that fits a table."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:DETAIL_LENGTH_MAX]
