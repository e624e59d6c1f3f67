"""The minder's two doors: the unix socket for the barriers, HTTP for HAProxy and observers.

Neither decides anything. A barrier that hangs up before its answer has its permit withdrawn.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import TypeAdapter

from failover.answering import IDLE_LIMIT_S, serve
from failover.guard.grant_keeper import Reply
from failover.guard.guard_metrics import GuardMetrics
from failover.guard.messages import Purpose
from failover.guard.minder import Minder
from failover.guard.records import Places
from failover.health.observation import GuardSeen
from failover.transport import Served

_HTTP_RETRY_S = 0.5
NO = 503
NO_MORE = 404  # HAProxy takes no server out on it, and sends it nobody new (`disable-on-404`)

log = structlog.get_logger(__name__)

_STATUS: TypeAdapter[GuardSeen] = TypeAdapter(GuardSeen)


async def open_barrier_door(minder: Minder, places: Places) -> asyncio.Server:
    """Listen on the unix socket. Only the server's own user may ask."""
    with contextlib.suppress(FileNotFoundError):
        places.socket.unlink()
    door = await asyncio.start_unix_server(
        lambda reader, writer: _serve(minder, reader, writer), places.socket
    )
    places.socket.chmod(0o660)
    return door


async def _serve(
    minder: Minder, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        words = (await reader.readline()).decode().split()
        reply = await _unless_gone(_answer(minder, words), reader)
        if reply is not None:
            writer.write(_line(reply).encode())
            await writer.drain()
    except (ValueError, ConnectionError):
        pass  # a question that cannot be understood gets no answer, which is a no
    finally:
        writer.close()


def _line(reply: Reply) -> str:
    """The answer's one line: yes or no, the timeline where one is promised, the reason."""
    timeline = "" if reply.timeline is None else f"timeline={reply.timeline} "
    return f"{'yes' if reply.yes else 'no'} {timeline}{' '.join(reply.reason.split())}\n"


async def _answer(minder: Minder, words: list[str]) -> Reply:
    """The question's one line: see barrier.py, which asks it."""
    match words:
        case ["permit", purpose, patience_s]:
            return await minder.grants.permit(Purpose(purpose), _patience_s(patience_s))
        case ["single"]:
            return await minder.single()
        case ["recovery_end"]:
            return await minder.grants.leave_recovery()
        case ["salvage"]:
            return await minder.salvage()
        case ["ping"]:
            if minder.guard.armed:
                return Reply(True, "armed")
            known = minder.guard.epoch is not None
            return Reply(known, "not armed: the guard only watches" if known else "no state yet")
        case ["status"]:
            return Reply(True, _STATUS.dump_json(minder.status()).decode())
        case _:
            return Reply(False, f"unknown question {' '.join(words)!r}")


def _patience_s(text: str) -> float:
    """ValueError where it is none: NaN would be waited for, and never be over."""
    found = float(text)
    if not found >= 0:
        raise ValueError(f"{text[:40]} is no patience")
    return min(found, 60.0)


async def _unless_gone(answer: Awaitable[Reply], reader: asyncio.StreamReader) -> Reply | None:
    """The reply, or None when who asked hung up first."""
    answering = asyncio.ensure_future(answer)
    hung_up = asyncio.ensure_future(reader.read(1))
    try:
        await asyncio.wait({answering, hung_up}, return_when=asyncio.FIRST_COMPLETED)
        return answering.result() if answering.done() else None
    finally:
        hung_up.cancel()
        if not answering.done():
            answering.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await answering


def http_application(minder: Minder, metrics: GuardMetrics) -> web.Application:
    async def writable(request: web.Request) -> web.Response:
        minder.host_question.asked(str(request.remote))
        hold_s = _seconds(request.query.get("wait"))
        who = f"{request.remote} {request.query.get('from', '')[:20]}"  # a worker of HAProxy
        says = await minder.proxy_question.writable(who, hold_s)
        status = 200 if says.yes else NO_MORE if says.closes else NO
        return web.Response(status=status, text=says.reason + "\n")

    async def status(_request: web.Request) -> web.Response:
        body = _STATUS.dump_json(minder.status())
        return web.Response(body=body, content_type="application/json")

    async def numbers(_request: web.Request) -> web.Response:
        body = generate_latest(metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def host(_request: web.Request) -> web.Response:
        report = await minder.host_question.report()
        if report is None:
            return web.Response(status=503, text="the guard's worker, or a disk, does not answer\n")
        return web.Response(text=report, content_type="application/json")

    application = web.Application()
    application.router.add_get("/writable", writable)
    application.router.add_get("/status", status)
    application.router.add_get("/metrics", numbers)
    application.router.add_get("/host", host)
    return application


def _seconds(text: str | None) -> float:
    try:
        return max(0.0, float(text or 0.0))
    except ValueError:
        return 0.0


async def open_http_door(
    minder: Minder, metrics: GuardMetrics, address: str, port: int, served: Served | None = None
) -> web.AppRunner:
    """Listen, also while the host's network is down: the guard must come up all the same.

    OSError where that cannot be, also where the files for TLS cannot be used.
    """
    application = http_application(minder, metrics)
    runner = web.AppRunner(application, access_log=None, keepalive_timeout=IDLE_LIMIT_S)
    return await serve(runner, address, port, served)


async def open_http_door_at_last(
    minder: Minder, metrics: GuardMetrics, address: str, port: int, served: Served | None = None
) -> web.AppRunner:
    """Try until it opens: an address that is not there yet, at boot, must not end the guard.

    A few ends in a row and systemd gives the guard up for good.
    """
    told = ""
    while True:
        try:
            return await open_http_door(minder, metrics, address, port, served)
        except OSError as error:
            if str(error) != told:
                log.error("http_door_closed", address=address, port=port, error=str(error))
            told = str(error)
            await asyncio.sleep(_HTTP_RETRY_S)
