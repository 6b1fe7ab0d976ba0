"""The crew of a relay: what it does when a worker is lost, hangs, or cannot be started again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from natkit.aio.network import SocketNetwork
from natkit.aio.turn_report import Report, WorkerFailed, WorkerLost
from natkit.tools import relay_crew
from natkit.tools.relay import Relay, serve
from natkit.tools.relay_config import read_config

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="workers are for Linux"),
]

OPTIONS = {
    "listen": ["udp://127.0.0.1:0"],
    "user": "alice:wonderland",
    "relay-address": "127.0.0.1=127.0.0.1",
    "metrics": "off",
    "workers": 2,
}


class Watched:
    """A relay with two workers, and what it has reported."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.changed = asyncio.Event()
        self.relay: Relay

    def heard(self, report: Report) -> None:
        self.reports.append(report)
        self.changed.set()

    def process(self, number: int) -> int:
        hands = self.relay.workforce._hands  # type: ignore[attr-defined]
        pid: int = hands[number]._process.pid
        return pid

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not is_so():
                self.changed.clear()
                await self.changed.wait()

    async def all_answer(self) -> bool:
        return (await self.relay.live()).workers == 2


@contextlib.asynccontextmanager
async def watched() -> AsyncIterator[Watched]:
    made = Watched()
    made.relay = await serve(SocketNetwork(), read_config(OPTIONS), made.heard)
    try:
        yield made
    finally:
        await made.relay.close()


async def comes_back(it: Watched) -> None:
    for _ in range(400):
        if await it.all_answer():
            return
        await asyncio.sleep(0.05)
    pytest.fail("after 20 s one of two workers does not answer")


async def test_worker_that_cannot_be_started_again_is_tried_until_it_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_crew, "_LONGEST_PAUSE", 0.05)
    start, failures = asyncio.create_subprocess_exec, [FileNotFoundError(2, "no Python")] * 3

    async def starting(*words: Any, **options: Any) -> asyncio.subprocess.Process:
        if failures:
            raise failures.pop()
        return await start(*words, **options)

    async with watched() as it:
        monkeypatch.setattr(asyncio, "create_subprocess_exec", starting)
        os.kill(it.process(1), signal.SIGKILL)
        await it.until(lambda: sum(isinstance(r, WorkerFailed) for r in it.reports) == 3)
        await comes_back(it)
        assert [r.why for r in it.reports if isinstance(r, WorkerLost)] == ["killed by signal 9"]


async def test_worker_that_hangs_is_ended_and_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_crew, "_LOOK_EVERY", 0.2)
    monkeypatch.setattr(relay_crew, "PATIENCE", 0.5)
    async with watched() as it:
        hung = it.process(0)
        os.kill(hung, signal.SIGSTOP)
        await it.until(lambda: any(isinstance(r, WorkerLost) for r in it.reports))
        await comes_back(it)
        assert it.process(0) != hung
        failed = [r for r in it.reports if isinstance(r, WorkerFailed)]
        assert [r.worker for r in failed] == [0]
        assert "has not answered" in failed[0].why


async def test_what_is_ordered_while_a_worker_starts_again_reaches_it() -> None:
    async with watched() as it:
        os.kill(it.process(1), signal.SIGKILL)
        await it.until(lambda: any(isinstance(r, WorkerLost) for r in it.reports))
        for _ in range(20):  # at whatever stage of its start
            it.relay.reload(read_config({**OPTIONS, "user": "bob:builder"}))
            await asyncio.sleep(0.02)
        it.relay.reload(read_config({**OPTIONS, "user": [f"user{n}:{n:060}" for n in range(5000)]}))
        await comes_back(it)
        assert not any(isinstance(r, WorkerFailed) for r in it.reports)
        it.relay.drain()
        await it.relay.drained()
