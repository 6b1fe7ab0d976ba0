"""What a packet costs: both servers run at once, and carry the same load in short turns, so that
whatever else the machine does meets both.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from natkit.machine import Seconds
from scripts.benchmarks._relay_load import Call, carry
from scripts.benchmarks._relay_server import Server

CALLS = 20
SPEECH = CALLS * 2 * 50
"""Packets a second: 50 each way are what a call of speech sends."""

FULL = 20_000
"""Packets a second under which nothing may be lost."""

TURNS = 6
DURATION: Seconds = 1.0
"""Of a turn."""


class Packets(NamedTuple):
    """Microseconds of CPU for a packet that arrived, at either rate, and percent lost at FULL."""

    speech: float
    full: float
    lost: float


class _Side:
    """A server, its calls, and what was measured of it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.calls = [Call.make(server.address) for _ in range(CALLS)]
        self.cpu: dict[int, list[float]] = {SPEECH: [], FULL: []}
        self.lost: list[float] = []
        carry(self.calls, SPEECH, DURATION)  # warm up

    def turn(self, rate: int) -> None:
        before = self.server.cpu()
        result = carry(self.calls, rate, DURATION)
        self.cpu[rate].append((self.server.cpu() - before) / result.arrived * 1e6)
        if rate == FULL:
            self.lost.append(100 * (1 - result.arrived / result.sent))

    def medians(self) -> Packets:
        speech, full = (statistics.median(self.cpu[rate]) for rate in (SPEECH, FULL))
        return Packets(speech, full, statistics.median(self.lost))


def packets(
    starts: Sequence[Callable[[int], AbstractContextManager[Server]]], ports: Sequence[int]
) -> list[Packets]:
    """Start servers, have each carry packets in its turn, and return what that cost each."""
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(start(port)) for start, port in zip(starts, ports, strict=True)
        ]
        sides = [_Side(server) for server in servers]
        for turn in range(TURNS):
            for rate in (SPEECH, FULL):
                for side in sides if turn % 2 else reversed(sides):
                    side.turn(rate)
        for side in sides:
            for call in side.calls:
                call.close()
        return [side.medians() for side in sides]
