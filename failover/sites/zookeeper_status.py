"""What a ZooKeeper server says of itself: the four-letter words ``srvr`` and, for commands alone,
``conf``, over a connection of its own, with TLS where the wire has it.

Asked of every server on its own, so that a misplaced leader and a server that does not serve are
seen. Needs no session and proves nothing about one.
"""

from __future__ import annotations

import asyncio
import re

from failover.health.observation import NoAnswer, NoAnswerKind, ZooKeeperMode, ZooKeeperSeen
from failover.policy import ZooKeeperServer
from failover.sites.one_answer import answer_to
from failover.sites.trouble import no_answer

_ZXID = re.compile("0x[0-9a-f]{1,16}")
_NOT_SERVING = "not currently serving requests"


async def ask_zookeeper(server: ZooKeeperServer, limit_s: float) -> ZooKeeperSeen | NoAnswer:
    """One answer or the reason for none, within ``limit_s``."""
    try:
        async with asyncio.timeout(limit_s):
            answer = await _word(b"srvr", server)
        return seen(answer.decode(errors="replace"))
    except (OSError, ValueError) as error:
        return no_answer(error, limit_s)


async def ask_settings(server: ZooKeeperServer, limit_s: float) -> dict[str, str] | NoAnswer:
    """What the server runs with, members included, by name; nothing in it is secret."""
    try:
        async with asyncio.timeout(limit_s):
            answer = await _word(b"conf", server)
    except (OSError, ValueError) as error:
        return no_answer(error, limit_s)
    return settings(answer.decode(errors="replace"))


async def _word(word: bytes, server: ZooKeeperServer) -> bytes:
    return await answer_to(word, server.address, server.client_port, server.identity)


def settings(text: str) -> dict[str, str] | NoAnswer:
    """The answer to ``conf``, which a server gives only where its whitelist has the word."""
    found = dict(line.strip().split("=", 1) for line in text.splitlines() if "=" in line)
    if "tickTime" not in found:
        kind = NoAnswerKind.REJECTED if "whitelist" in text else NoAnswerKind.MALFORMED
        return NoAnswer(kind, f"conf: {' '.join(text.split())[:80] or 'an empty answer'}")
    return found


def seen(text: str) -> ZooKeeperSeen | NoAnswer:
    """The answer to ``srvr`` as an observation; the epoch is the high half of the last zxid."""
    if _NOT_SERVING in text:
        return ZooKeeperSeen(ZooKeeperMode.NO_QUORUM)
    fields = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    mode, zxid = fields.get("Mode", "").strip(), fields.get("Zxid", "0x0").strip()
    if mode not in (ZooKeeperMode.LEADER, ZooKeeperMode.FOLLOWER, ZooKeeperMode.STANDALONE):
        return NoAnswer(NoAnswerKind.MALFORMED, f"srvr: {text[:80]!r}")
    if _ZXID.fullmatch(zxid) is None:
        return NoAnswer(NoAnswerKind.MALFORMED, f"srvr: Zxid: {zxid[:40]!r}")
    return ZooKeeperSeen(ZooKeeperMode(mode), epoch=int(zxid, 16) >> 32)
