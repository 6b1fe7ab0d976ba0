"""A worker of a TURN server as a process of its own: what `natkit turn serve --workers` starts.

It is given one end of a link with the crew that started it (natkit.tools.relay_crew), by which it
gets all else. It stops when the crew says so, or is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from natkit.aio.fast_loop import collect_less, room_for_sockets, run_fast
from natkit.aio.turn_link import Link
from natkit.aio.turn_report import Report
from natkit.errors import NatkitError
from natkit.machine import Seconds
from natkit.tools.relay_config import RelayConfig
from natkit.tools.relay_fast_path import give_up_privileges
from natkit.tools.relay_orders import (
    AskLive,
    Begin,
    Drain,
    Failed,
    LiveNow,
    Order,
    Ready,
    Reload,
    Reported,
    Stop,
)
from natkit.tools.relay_worker import Part, Worker
from natkit.turn.events import RequestRefused

if TYPE_CHECKING:
    from natkit.dataplane.kernel.table import Entries

_BATCH = 16
"""Reports to a message: enough to share its cost, few enough to be taken in at once."""

_LAST_WORDS: Seconds = 2.0
"""For the crew to hear what a worker reports at its end: one line for each allocation."""


class Process:
    """The worker's end of the link with its crew.

    Attributes: over: set when it is to end.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.over = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._reports: list[Report] = []
        self._ready = False
        self._orders: list[Order] = []  # that came before it could follow them
        self._worker: Worker | None = None
        self._beginning: asyncio.Task[None] | None = None
        self._link = Link(sock, self._told, self.over.set)

    async def close(self) -> None:
        """End the worker, and say what it has reported up to then."""
        if self._beginning is not None:
            self._beginning.cancel()
        if self._worker is not None:
            await self._worker.close()
        self._flush()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS):
                await self._link.said()
        self._link.close()

    def _told(self, order: Order, descriptors: list[int]) -> None:
        match order:
            case Begin():
                self._beginning = self._loop.create_task(self._begin(order, descriptors))
            case Reload() | Drain() if not self._ready:
                self._orders.append(order)
            case Reload(config):
                self._reload(config)
            case Drain():
                if self._worker is not None:
                    self._worker.drain()
            case AskLive():
                if self._worker is not None:
                    self._flush()
                    self._link.send(LiveNow(self._worker.live()))
            case Stop():
                self.over.set()
            case _:
                assert_never(order)

    async def _begin(self, begin: Begin, descriptors: list[int]) -> None:
        from natkit.aio.turn_shared import SharedAccounts  # for Linux alone, as workers are

        part = begin.part
        _be_called(f"turn-worker-{part.number}")
        others = [number for number in range(part.workers) if number != part.number]
        fast = 2 if begin.fast else 0
        table, maps, rest = descriptors[0], descriptors[1 : 1 + fast], descriptors[1 + fast :]
        links, doors = rest[: len(others)], rest[len(others) :]
        try:
            self._worker = Worker(
                part,
                self._heard,
                accounts=SharedAccounts(table, part.number, part.workers),
                siblings={n: _socket(fd) for n, fd in zip(others, links, strict=True)},
                table=_entries(maps, part) if begin.fast else None,
            )
            give_up_privileges(maps[0] if begin.fast else None)
            await self._worker.open(list(zip(begin.doors, map(_socket, doors), strict=True)))
        except NatkitError as error:
            self._link.send(Failed(error))
            self.over.set()
            return
        self._ready = True
        if begin.draining:
            self._worker.drain()
        for order in self._orders:
            self._told(order, [])
        collect_less()
        self._link.send(Ready())

    def _reload(self, config: RelayConfig) -> None:
        if self._worker is None:
            return
        try:
            self._worker.reload(config)
        except NatkitError as error:
            self._link.send(Failed(error))

    def _heard(self, report: Report) -> None:
        """Keep a report for the next batch. What is routine has no reader: it is counted here."""
        if isinstance(report, RequestRefused) and report.routine:
            return
        self._reports.append(report)
        if len(self._reports) == 1:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        reports, self._reports = self._reports, []
        for first in range(0, len(reports), _BATCH):
            self._link.send(Reported(tuple(reports[first : first + _BATCH])))


def _be_called(name: str) -> None:
    """Take a name that `ps` and `top` show."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name)


def _entries(maps: list[int], part: Part) -> Entries:
    from natkit.dataplane.kernel.table import open_part  # for Linux alone

    table, slots = maps
    return open_part(table, slots, part.number, part.workers)


def _socket(descriptor: int) -> socket.socket:
    return socket.socket(fileno=descriptor)


async def _serve(descriptor: int) -> None:
    process = Process(_socket(descriptor))
    try:
        await process.over.wait()
    finally:
        await process.close()


def main() -> None:
    """Be a worker; the last word of the command line is the descriptor of the link."""
    # The crew hears these and says what is to be done: a terminal sends them to all its children.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    room_for_sockets()
    descriptor = int(sys.argv[-1])
    os.set_inheritable(descriptor, False)
    run_fast(_serve(descriptor))
