"""The log of `natkit turn serve`: every line whole, in order, and soon."""

from __future__ import annotations

import asyncio
import json
import re
import time

import pytest

from natkit.aio.turn_report import Session
from natkit.cli.turn_log import OwnerLog
from natkit.turn.events import RequestRefused
from natkit.turn.forwarding import Path, Transport
from natkit.wire import Method, TransportAddress

PATH = Path(TransportAddress("192.0.2.1", 5), TransportAddress("192.0.2.2", 3478), Transport.UDP)


def session(user: str) -> Session:
    return Session(PATH, TransportAddress("192.0.2.2", 50000), user, 0.0)


def test_line_has_its_time_to_the_millisecond_and_quotes_what_clients_chose() -> None:
    written: list[str] = []
    OwnerLog(write=written.append).say("info", "said", user="a b\n", count=3)
    stamp, rest = written[0].split(" ", 1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stamp)
    assert rest == 'info    said user="a b\\n" count=3\n'


def test_reports_are_written_together_and_before_what_is_said_after_them() -> None:
    async def work() -> list[str]:
        written: list[str] = []
        log = OwnerLog(write=written.append)
        log.report(session("ann"))
        log.report(RequestRefused(PATH, Method.ALLOCATE, 486, "too many", "bob"))
        log.report(RequestRefused(PATH, Method.ALLOCATE, 401, "first", None, routine=True))
        assert not written
        log.say("info", "stopped")
        return written

    (lines,) = asyncio.run(work())
    assert [line.split(" ")[1] for line in lines.splitlines()] == ["info", "warning", "info"]
    assert "user=ann" in lines
    assert lines.endswith("stopped\n")


def test_a_report_is_not_held_for_longer_than_a_moment() -> None:
    async def work() -> tuple[str, dict[str, object]]:
        arrived: asyncio.Queue[str] = asyncio.Queue()
        log = OwnerLog(as_json=True, write=arrived.put_nowait)
        log.report(session("ann"))
        async with asyncio.timeout(5):
            first = await arrived.get()
            log.report(session("bob"))
            return first, json.loads(await arrived.get())

    first, second = asyncio.run(work())
    assert json.loads(first)["user"] == "ann"
    assert second["user"] == "bob"
    assert second["event"] == "allocation made"


def test_a_report_has_the_time_at_which_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.25]
    monkeypatch.setattr(time, "time", lambda: clock[0])

    async def work() -> str:
        written: list[str] = []
        log = OwnerLog(write=written.append)
        log.report(session("ann"))
        clock[0] = 2000.5
        log.flush()
        return written[0]

    assert asyncio.run(work()).startswith("1970-01-01T00:16:40.250Z ")
