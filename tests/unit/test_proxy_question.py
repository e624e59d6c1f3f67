"""A proxy that is told "nobody new" hears at once when its sessions are to be cut."""

from __future__ import annotations

import asyncio

import pytest

from failover.guard import proxy_question
from failover.guard.logic import Writable
from failover.guard.proxy_question import ProxyQuestion

CLOSES = Writable(False, "the server is being shut down", closes=True)
NO = Writable(False, "no grant")
PROXY = "10.77.1.41"


def always_no() -> ProxyQuestion:
    async def look() -> Writable:
        return NO

    return ProxyQuestion(look, lambda: NO, lambda: 0.01)


def test_no_after_nobody_new_is_news_until_it_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_question, "HOLD_S_MAX", 30.0)
    monkeypatch.setattr(proxy_question, "TOLD_LATELY_S", 30.0)
    says = CLOSES

    async def look() -> Writable:
        return says

    async def story() -> None:
        nonlocal says
        asked = ProxyQuestion(look, lambda: says, lambda: 0.01)
        for _ in range(3):
            assert await asked.writable(PROXY, 60.0) == CLOSES
        held = asyncio.create_task(asked.writable(PROXY, 60.0))
        await asyncio.sleep(0)
        assert not held.done()
        says = NO
        for answer in (held, asked.writable(PROXY, 60.0), asked.writable(PROXY, 60.0)):
            assert await asyncio.wait_for(answer, 10.0) == NO

    asyncio.run(story())


def test_each_worker_of_a_proxy_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was just started takes every server for up until it is told."""
    monkeypatch.setattr(proxy_question, "HOLD_S_MAX", 30.0)
    monkeypatch.setattr(proxy_question, "TOLD_LATELY_S", 30.0)

    async def story() -> None:
        asked = always_no()
        for _ in range(3):
            await asked.writable(f"{PROXY} 7", 60.0)
        held = asyncio.create_task(asked.writable(f"{PROXY} 7", 60.0))
        assert await asyncio.wait_for(asked.writable(f"{PROXY} 8", 60.0), 10.0) == NO
        assert not held.done()
        held.cancel()

    asyncio.run(story())


def test_who_asked_long_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_question, "TOLD_LATELY_S", 0.0)

    async def story() -> None:
        asked = always_no()
        for number in range(1000):
            await asked.writable(f"{PROXY} {number}", 0.0)
        assert len(asked._heard) <= proxy_question.ASKERS_MAX

    asyncio.run(story())
