"""natkit's TURN server beside coturn: the cost of an allocation and of its memory, and how many
allocations a second there can be. What packets cost is the relay benchmark's.

Both run here with the defaults of who starts them, on loopback, with the same load in turns. CPU
time is that of all threads of a server, so the generator does not count.
"""

from __future__ import annotations

import resource
import statistics
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

from natkit.cli.render import Progress
from scripts.benchmarks import Row, workers
from scripts.benchmarks._limits import can_limit
from scripts.benchmarks._relay_load import Client
from scripts.benchmarks._relay_rate import NOT_MEASURED, SHARE, Made, made
from scripts.benchmarks._relay_server import Server, coturn, coturn_name, natkit

HELD = 5000
"""Allocations that are held at once, each with a permission and a channel."""

HURRIED = 5000
"""Allocations that are made as fast as the server can."""

ROUNDS = 3

PORT = 34780

Start = Callable[[int], AbstractContextManager[Server]]


class Round(NamedTuple):
    """What was measured once: microseconds of CPU, kilobytes, allocations a second."""

    allocation: float
    memory: float
    hurried: Made


def rows(rounds: int = ROUNDS) -> list[Row]:
    """Measure.

    Args:   rounds: how often, >= 1. One takes a quarter of a minute.
    Raises: Unsupported: there is no coturn here.
            NatkitError: a server does not start, or refuses what it is asked.
    """
    peer_name = coturn_name()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    starts: tuple[Start, Start] = natkit, coturn
    ours: list[Round] = []
    peers: list[Round] = []
    with Progress() as progress:
        for turn in range(rounds):
            for place, (start, found) in enumerate(zip(starts, (ours, peers), strict=True)):
                progress.say(f"round {turn + 1} of {rounds}, {start.__name__}")
                found.append(measured(start, PORT + 4 * turn + 2 * place))
    beside_coturn = [
        Row(name, unit, _median(ours, field), _median(peers, field), peer_name)
        for name, unit, field in (*NAMES, *(RATES if can_limit() else RECKONED))
    ]
    return beside_coturn + (workers.rows(rounds) if can_limit() else [])


Column = tuple[str, str, Callable[[Round], float]]

NAMES: tuple[Column, ...] = (
    ("CPU an allocation, 401 and channel included", "µs", lambda one: one.allocation),
    (f"memory an allocation, at {HELD:,}", "kB", lambda one: one.memory),
)

RATES: tuple[Column, ...] = (
    (f"allocations/s with {SHARE} of a CPU (more is better)", "", lambda one: one.hurried.rate),
    ("used of that meanwhile", "%", lambda one: 100 * one.hurried.busy),
)

RECKONED: tuple[Column, ...] = (
    (
        f"allocations/s with {SHARE} of a CPU, reckoned from CPU an allocation (more is better)",
        "",
        lambda one: SHARE * 1e6 / one.allocation,
    ),
)
"""What is said instead of RATES where processes cannot be limited."""


def _median(found: list[Round], field: Callable[[Round], float]) -> float:
    return statistics.median(map(field, found))


def measured(start: Start, port: int) -> Round:
    """Start a server and measure what allocations take of it."""
    with start(port) as server:
        allocation, memory = _held(server)
        hurried = made(server, HURRIED) if can_limit() else NOT_MEASURED
    return Round(allocation, memory, hurried)


def _held(server: Server) -> tuple[float, float]:
    """Return microseconds of CPU and kilobytes of memory for one of HELD allocations."""
    memory, cpu = server.memory(), server.cpu()
    clients = []
    for _ in range(HELD):
        client = Client(server.address)
        client.challenge()
        client.bind(client.allocate())
        clients.append(client)
    used, grown = server.cpu() - cpu, server.memory() - memory
    for client in clients:
        client.socket.close()
    return used / HELD * 1e6, grown / HELD / 1000
