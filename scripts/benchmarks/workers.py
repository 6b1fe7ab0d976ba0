"""Two workers of natkit's TURN server beside one: packets a second that they carry.

Each worker gets the same small share of a processor, so that it, and not the generator, is what is
busy; whatever else the workers share (the kernel's sockets, the crew) is as it is.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from typing import NamedTuple

from natkit.cli.render import Progress
from natkit.errors import Unsupported
from natkit.machine import Seconds
from scripts.benchmarks import Row
from scripts.benchmarks._limits import can_limit, limited
from scripts.benchmarks._relay_load import Call, flow
from scripts.benchmarks._relay_server import Server, natkit

SHARE = 0.12
"""Of a processor for each worker: a tenth leaves the generator enough to keep two of them busy."""

CALLS = 10
"""At each worker."""

FLOOD = 45_000
"""Packets a second that are sent: more than two such workers can carry."""

DURATION: Seconds = 4.0
ROUNDS = 3
PORT = 34840
ONE = "one worker"

_UPPER_HALF = 49152 + (65536 - 49152) // 2
"""The first relay port of the second of two workers: each relays from its part of the ports."""


def rows(rounds: int = ROUNDS) -> list[Row]:
    """Measure.

    Args:   rounds: how often, >= 1. One takes a quarter of a minute.
    Raises: Unsupported: processes cannot be limited here.
    """
    if not can_limit():
        raise Unsupported("processes cannot be limited here", hint="Run it as root, on Linux")
    found: dict[int, list[Carried]] = {1: [], 2: []}
    with Progress() as progress:
        for turn in range(rounds):
            for workers in found:
                progress.say(f"round {turn + 1} of {rounds}, workers: {workers}")
                found[workers].append(carried(workers, PORT + 4 * turn + 2 * workers))
    one, two = (Carried(*map(statistics.median, zip(*found[n], strict=True))) for n in (1, 2))
    return [
        Row("packets/s of two workers (more is better)", "", two.rate, one.rate, ONE),
        Row("used of their shares meanwhile", "%", 100 * two.busy, 100 * one.busy, ONE),
    ]


class Carried(NamedTuple):
    """Packets a second, and how much of their shares the workers used to carry them."""

    rate: float
    busy: float


def carried(workers: int, port: int) -> Carried:
    """Return what so many workers carry at the most."""
    with natkit(port, workers=workers) as server, contextlib.ExitStack() as stack:
        calls = _calls(server, workers)
        for pid in _serving(server, workers):
            stack.enter_context(limited([pid], SHARE))
        before, began = server.cpu(), time.monotonic()
        rate = flow(calls, FLOOD, DURATION)
        used = (server.cpu() - before) / (time.monotonic() - began)
        for call in calls:
            call.close()
    return Carried(rate, used / SHARE / workers)


def _serving(server: Server, workers: int) -> list[int]:
    """Return the processes that relay: alone, or started by one that does not."""
    return server.pids[:1] if workers == 1 else server.pids[1:]


def _calls(server: Server, workers: int) -> list[Call]:
    """Return CALLS calls at each worker."""
    at: list[list[Call]] = [[] for _ in range(workers)]
    while any(len(calls) < CALLS for calls in at):
        call = Call.make(server.address)
        calls = at[workers > 1 and call.relayed.port >= _UPPER_HALF]
        if len(calls) < CALLS:
            calls.append(call)
        else:
            call.close()
    return [call for calls in at for call in calls]
