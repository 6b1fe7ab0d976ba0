"""natkit.Connection against aioice's: how long from candidates to data, how long to gather, and
what many of them take of the processor and of memory.

Both sides of a connection are in one process, on this machine's own addresses. natkit and aioice
take turns, so that a busy machine slows both; a row's number is the median.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import socket
import statistics
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aioice

import natkit
from natkit.aio.network import SocketNetwork
from natkit.aio.stun_server import serve_binding
from natkit.wire import TransportAddress
from scripts.benchmarks import Row
from scripts.benchmarks._ice_crowd import Crowd, in_a_process
from scripts.benchmarks._ice_dead import DEAD, LIVE, can_measure, measured

_PEER = f"aioice {importlib.metadata.version('aioice')}"
_MODULES: tuple[Any, ...] = (natkit, aioice)

PAIRS = 300
"""In a crowd: twice as many connections are in one process."""

Measured = Callable[[Any], Coroutine[Any, Any, float]]
"""Measures one of the two modules once: seconds."""


async def connecting(module: Any) -> float:
    """Time from both sides having each other's candidates to both having returned from connect."""
    ours, peer = (module.Connection(ice_controlling=role) for role in (True, False))
    for side in (ours, peer):
        await side.gather_candidates()
    for side, other in ((ours, peer), (peer, ours)):
        for candidate in other.local_candidates:
            await side.add_remote_candidate(candidate)
        await side.add_remote_candidate(None)
        side.remote_username, side.remote_password = other.local_username, other.local_password
    began = time.perf_counter()
    await asyncio.gather(ours.connect(), peer.connect())
    took = time.perf_counter() - began
    await asyncio.gather(ours.close(), peer.close())
    return took


async def first_candidate(module: Any) -> float:
    """Time from making a connection to its first candidate; aioice tells them all at the end."""
    found: list[float] = []
    began = time.perf_counter()
    if module is natkit:
        connection = natkit.Connection(True, on_candidate=lambda _: found.append(_now()))
    else:
        connection = module.Connection(ice_controlling=True)
    await connection.gather_candidates()
    took = (found[0] if found else _now()) - began
    await connection.close()
    return took


def _now() -> float:
    return time.perf_counter()


async def gathering(module: Any, **servers: Any) -> float:
    """Time to gather."""
    connection = module.Connection(ice_controlling=True, **servers)
    began = time.perf_counter()
    await connection.gather_candidates()
    took = time.perf_counter() - began
    await connection.close()
    return took


@asynccontextmanager
async def servers() -> AsyncIterator[tuple[tuple[str, int], tuple[str, int]]]:
    """Run a STUN server on this host, and bind a port beside it where nobody answers."""
    network = SocketNetwork()
    ip = network.source_for(TransportAddress("192.0.2.1", 9)) or "127.0.0.1"
    service = await serve_binding(network, (ip,), (0,), rfc5780=False)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((ip, 0))
        try:
            yield (service.listening[0], silent.getsockname())
        finally:
            service.close()


async def _medians(measure: Measured, rounds: int) -> tuple[float, float]:
    taken: dict[Any, list[float]] = {module: [] for module in _MODULES}
    for _ in range(rounds):
        for module in _MODULES:
            taken[module].append(await measure(module))
    ours, peer = (statistics.median(taken[module]) for module in _MODULES)
    return ours, peer


async def _measure(rounds: int) -> list[Row]:
    ours, peer = await _medians(connecting, rounds)
    rows = [_row("connect, host to host", ours, peer)]
    ours, peer = await _medians(first_candidate, rounds)
    rows.append(_row("first candidate", ours, peer))
    async with servers() as (live, dead):
        ours, peer = await _medians(lambda module: gathering(module, stun_server=live), rounds)
        rows.append(_row("gather, one STUN server", ours, peer))
        # aioice asks one server only; the fair question is how long a dead one holds each up.
        both = await _median(lambda: gathering(natkit, stun_servers=[dead, live]), rounds)
        alone = await gathering(aioice, stun_server=dead)
        rows.append(_row("gather, a dead server (and for natkit one that answers)", both, alone))
    return rows


async def _median(measure: Callable[[], Coroutine[Any, Any, float]], rounds: int) -> float:
    return statistics.median([await measure() for _ in range(rounds)])


def _row(name: str, ours: float, peer: float) -> Row:
    return Row(name, "ms", ours * 1000, peer * 1000, _PEER)


def dead_interface(rounds: int) -> list[Row]:
    """Return how long gathering takes with an interface that leads nowhere."""
    both = partial(gathering, natkit, stun_servers=[DEAD, LIVE])
    alone = partial(gathering, natkit, stun_servers=[LIVE])
    peer = partial(gathering, aioice, stun_server=LIVE)
    without, beside = measured([alone] * rounds, [*[both] * rounds, peer])
    name = "gather, a dead interface"
    ours = statistics.median(beside[:-1])
    row = _row(f"{name} and server beside live ones", ours, statistics.median(without))
    return [row._replace(peer_name="live ones alone"), _row(name, ours, beside[-1])]


CROWD: tuple[tuple[str, str, Callable[[Crowd], float]], ...] = (
    ("CPU to connect, a side", "µs", lambda one: one.connecting),
    ("CPU a connectivity check", "µs", lambda one: one.check),
    ("CPU a consent check", "µs", lambda one: one.consent),
    ("memory a connection", "kB", lambda one: one.memory),
)


def crowd(rounds: int) -> list[Row]:
    """Return what connections take where there are many."""
    found: dict[Any, list[Crowd]] = {module: [] for module in _MODULES}
    for _ in range(rounds):
        for module in _MODULES:
            found[module].append(in_a_process(module, PAIRS))
    ours, peer = (found[module] for module in _MODULES)
    return [
        Row(name, unit, _middle(ours, field), _middle(peer, field), _PEER)
        for name, unit, field in CROWD
    ]


def _middle(found: list[Crowd], field: Callable[[Crowd], float]) -> float:
    return statistics.median(map(field, found))


_ROUNDS_OF_ONE_CROWD = 10


def rows(rounds: int = 51) -> list[Row]:
    """Measure each of them `rounds` times, and a tenth as often what takes a quarter minute."""
    found = asyncio.run(_measure(rounds))
    if can_measure():
        found += dead_interface(rounds)
    return found + crowd(-(-rounds // _ROUNDS_OF_ONE_CROWD))
