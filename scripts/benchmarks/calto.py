"""Calto's server beside the one that PeerJS's `peer` package has: thousands of idle sockets,
messages passed on between two of them, and calls set up meanwhile, all on loopback.

The generator shares the machine with the servers, so what a server takes of a processor is stated.
A call in PeerJS is an offer, an answer and candidates that its server passes on and forgets. Ours
is a ring, ringing, an answer, candidates, the word from both sides that audio flows, and its end,
each but the candidates kept in the database, told to both sides, and to those who know them.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, NamedTuple

import uvloop

from natkit.aio.fast_loop import room_for_sockets
from natkit.cli.render import Progress
from natkit.machine import Seconds
from scripts.benchmarks import Row
from scripts.benchmarks._calto_clients import (
    AT_ONCE,
    PATIENCE,
    CaltoClient,
    PeerClient,
    T,
    keep_alive,
)
from scripts.benchmarks._calto_server import PEER, calto, fetched, peer
from scripts.benchmarks._relay_server import Server

SOCKETS = 5000
FIRST = 100
PAIRS = 10
"""Pairs of sockets that pass messages on while the others idle."""

MESSAGES = 20
"""A second, of each pair."""

IDLE: Seconds = 10.0
PASSING: Seconds = 10.0

SET_UPS = 50
"""A second that are begun, whether or not those before are through."""

SETTING_UP: Seconds = 20.0
IN_TURN = int(SETTING_UP * SET_UPS)
"""Pairs of users who call each other: each once, so that nobody is rung who is still in a call."""

ROUNDS = 1
PORT = 24900
"""Below those that systems give to the thousands of sockets that call it."""


class Found(NamedTuple):
    """What was measured of a server.

    Attributes:
        rss, pss:  KiB for each socket.
        idle:      percent of a processor, while the sockets give signs of life and no more.
        median, p99: milliseconds of a message that is passed on.
        relaying:  percent of a processor meanwhile.
        busy_median, busy_p99: milliseconds of one while calls are set up.
        set_ups:   a second that were finished.
        slow:      milliseconds of a set-up, p99.
        cpu:       milliseconds of a processor for a set-up with its end, without `relaying`.
    """

    rss: float
    pss: float
    idle: float
    median: float
    p99: float
    relaying: float
    busy_median: float
    busy_p99: float
    set_ups: float
    slow: float
    cpu: float


def rows(rounds: int = ROUNDS) -> list[Row]:
    """Measure.

    Args:   rounds: how often, >= 1. One takes two minutes or so.
    Raises: Unsupported: npm has no PeerJS server for us.
    """
    room_for_sockets()
    ours: list[Found] = []
    theirs: list[Found] = []
    with Progress() as progress, fetched() as program:
        for turn in range(rounds):
            progress.say(f"round {turn + 1} of {rounds}: calto")
            with calto(PORT + 2 * turn, SOCKETS) as (server, tokens, _):
                ours.append(_run(_calto(server, tokens)))
            progress.say(f"round {turn + 1} of {rounds}: {PEER}")
            with peer(program, PORT + 2 * turn + 1, SOCKETS) as server:
                theirs.append(_run(_peer(server)))
    return _rows(_median(ours), _median(theirs))


def _rows(ours: Found, theirs: Found) -> list[Row]:
    loaded = f"load average {os.getloadavg()[1]:.1f} of {os.cpu_count()}"
    names = {
        "rss": (f"memory of each of {SOCKETS} sockets, RSS", "KiB"),
        "pss": (f"memory of each of {SOCKETS} sockets, PSS", "KiB"),
        "idle": ("of a processor while they idle", "%"),
        "median": ("a message passed on, median", "ms"),
        "p99": ("a message passed on, p99", "ms"),
        "relaying": (f"of a processor at {PAIRS * MESSAGES} messages/s", "%"),
        "busy_median": (f"a message at {SET_UPS} set-ups/s, median", "ms"),
        "busy_p99": (f"a message at {SET_UPS} set-ups/s, p99", "ms"),
        "set_ups": (f"set-ups/s of {SET_UPS} begun (more is better)", ""),
        "slow": ("a set-up, p99", "ms"),
        "cpu": ("CPU of a set-up", "ms"),
    }
    return [
        Row(name, unit, getattr(ours, key), getattr(theirs, key), f"{PEER}, {loaded}")
        for key, (name, unit) in names.items()
    ]


def _run(main: Coroutine[Any, Any, Found]) -> Found:
    """Run the generator, whose own collector would hold up what it measures by 0.2 s at a time."""
    gc.collect()
    gc.disable()
    try:
        return _run_on_uvloop(main)
    finally:
        gc.enable()


def _run_on_uvloop(main: Coroutine[Any, Any, Found]) -> Found:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def _median(found: Sequence[Found]) -> Found:
    return Found(*map(statistics.median, zip(*found, strict=True)))


async def _calto(server: Server, tokens: list[tuple[str, str]]) -> Found:
    port = server.address.port
    return await _measured(server, [partial(CaltoClient.open, port, *who) for who in tokens])


async def _peer(server: Server) -> Found:
    names = [f"bench{number}" for number in range(SOCKETS)]
    port = server.address.port
    return await _measured(server, [partial(PeerClient.open, port, name) for name in names])


async def _measured(server: Server, opening: Sequence[Callable[[], Awaitable[T]]]) -> Found:
    """Load one server with all there is."""
    clients: list[T] = []
    await opened(opening[:FIRST], clients)  # what is loaded with the first ones is no socket's
    alive = asyncio.create_task(keep_alive(clients))
    rss, pss = await _memory(server, opening[FIRST:], clients)
    idle, _ = await _used(server, asyncio.sleep(IDLE))
    pairs = list(zip(clients[0 : 2 * PAIRS : 2], clients[1 : 2 * PAIRS : 2], strict=True))
    for a, b in pairs:
        await a.meet(b)
    relaying, delays = await _used(server, passed_on(pairs, PASSING))
    turns = clients[2 * PAIRS : 2 * (PAIRS + IN_TURN)]
    others = list(zip(turns[::2], turns[1::2], strict=True))
    began = time.monotonic()
    meanwhile = asyncio.create_task(passed_on(pairs, SETTING_UP))
    both, (took, late) = await _used(server, _with_end(set_up(others), began))
    busy = await meanwhile
    for a, b in pairs:
        await a.part(b)
    alive.cancel()
    await closed(clients)
    cpu = 10 * (both - relaying) * late / len(took)
    return Found(
        rss=rss,
        pss=pss,
        idle=idle,
        median=statistics.median(delays),
        p99=p99(delays),
        relaying=relaying,
        busy_median=statistics.median(busy),
        busy_p99=p99(busy),
        set_ups=len(took) / late,
        slow=p99(took),
        cpu=cpu,
    )


async def closed(clients: Sequence[T]) -> None:
    """Close them. Raises: AssertionError: some were lost before."""
    lost = sum(client.socket.lost for client in clients)
    for client in clients:
        client.socket.close()
    await asyncio.sleep(0)  # the loop closes them
    if lost:
        raise AssertionError(f"{lost} sockets were lost")


async def _memory(
    server: Server, opening: Sequence[Callable[[], Awaitable[T]]], clients: list[T]
) -> tuple[float, float]:
    """Open more sockets; returns how many KiB each takes, RSS and PSS."""
    rss, pss = server.memory(), server.shared_out()
    await opened(opening, clients)
    count = 1024 * len(opening)
    return (server.memory() - rss) / count, (server.shared_out() - pss) / count


async def _with_end(doing: Awaitable[list[float]], began: float) -> tuple[list[float], Seconds]:
    """Return what is done, with how long it took."""
    done = await doing
    return done, time.monotonic() - began


def p99(values: Sequence[float]) -> float:
    """Return what 99 of 100 are below."""
    return statistics.quantiles(values, n=100)[-1]


async def opened(opening: Sequence[Callable[[], Awaitable[T]]], clients: list[T]) -> None:
    """Open more clients, AT_ONCE of them at a time."""
    for first in range(0, len(opening), AT_ONCE):
        clients += await asyncio.gather(*(one() for one in opening[first : first + AT_ONCE]))


async def _used(server: Server, doing: Awaitable[Any]) -> tuple[float, Any]:
    """Return the percent of a processor that a server takes while something is done, and that."""
    before, began = server.cpu(), time.monotonic()
    done = await doing
    return 100 * (server.cpu() - before) / (time.monotonic() - began), done


async def passed_on(pairs: Sequence[tuple[T, T]], seconds: Seconds) -> list[float]:
    """Return how many milliseconds each message took from one client to the other."""
    delays: list[float] = []
    count = int(seconds * MESSAGES) * len(pairs)
    all_came = asyncio.Event()

    def heard(data: bytes) -> None:
        _, mark, rest = data.partition(b"sent-")
        if mark:
            delays.append((time.perf_counter_ns() - int(rest.partition(b"-")[0])) / 1e6)
            if len(delays) == count:
                all_came.set()

    for _, b in pairs:
        b.socket.hear = heard
    began = time.monotonic()
    for turn, (a, b) in zip(range(count), itertools.cycle(pairs), strict=False):
        at = began + turn / (MESSAGES * len(pairs))
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        a.socket.send(a.candidate(f"sent-{time.perf_counter_ns()}-", b))
    async with asyncio.timeout(PATIENCE):
        await all_came.wait()
    for _, b in pairs:
        b.socket.hear = b.hear
    return delays


async def set_up(pairs: Sequence[tuple[T, T]]) -> list[float]:
    """Begin calls at a steady rate; returns how many milliseconds each took to be set up."""

    async def one(a: T, b: T) -> float:
        began = time.monotonic()
        await a.meet(b)
        took = time.monotonic() - began
        await a.part(b)
        return 1e3 * took

    begun: list[asyncio.Task[float]] = []
    start = time.monotonic()
    for turn, pair in zip(range(int(SETTING_UP * SET_UPS)), itertools.cycle(pairs), strict=False):
        await asyncio.sleep(max(0.0, start + turn / SET_UPS - time.monotonic()))
        begun.append(asyncio.create_task(one(*pair)))
    return await asyncio.gather(*begun)
