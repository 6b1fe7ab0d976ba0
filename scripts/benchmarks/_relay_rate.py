"""Allocations a second: both servers get the same share of a processor, so that they, and not the
generator, are what is busy.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

from natkit.machine import Seconds
from natkit.wire import TransportAddress
from scripts.benchmarks._limits import limited
from scripts.benchmarks._relay_load import Client, bound
from scripts.benchmarks._relay_server import PEERS, Server

SHARE = 0.25
"""Of one processor: what is left is enough for the load, and for whatever else a machine does."""

CLIENTS = 3
"""Processes that make the load: while one looks at answers, the others ask."""

AT_ONCE = 64
"""Requests that each of them has under way: a busy server finds work whenever it looks."""

_FIRST = 1 << 20
"""Number of the first client; those of other measurements have lower ones."""

_PEER = TransportAddress(PEERS, 9)

_STEPS: tuple[tuple[Callable[[Client], object], Callable[[Client], object]], ...] = (
    (Client.ask_for_challenge, Client.take_challenge),
    (Client.ask_for_allocation, Client.take_allocation),
    (lambda client: client.ask_for_channel(_PEER), Client.take_success),
)


class Made(NamedTuple):
    """Allocations a second, and how much of its share the server used to make them."""

    rate: float
    busy: float


NOT_MEASURED = Made(float("nan"), float("nan"))


def made(server: Server, count: int) -> Made:
    """Have about `count` allocations made, with permission and channel, by a server with SHARE.

    Raises: Unsupported: this system lets nobody limit a process.
    """
    each = count // CLIENTS
    numbers = [
        range(_FIRST + each * place, _FIRST + each * (place + 1)) for place in range(CLIENTS)
    ]
    with (
        limited(server.pids, SHARE),
        ProcessPoolExecutor(CLIENTS, mp_context=get_context("fork")) as clients,
    ):
        before = server.cpu()
        spans = list(clients.map(_ask, [server.address] * CLIENTS, numbers))
        used = server.cpu() - before
    took = max(end for _, end in spans) - min(begin for begin, _ in spans)
    return Made(each * CLIENTS / took, used / took / SHARE)


def _ask(server: TransportAddress, numbers: range) -> tuple[Seconds, Seconds]:
    """Get allocations, AT_ONCE at a time; return when that began and ended."""
    began = time.monotonic()
    for start in range(0, len(numbers), AT_ONCE):
        clients = [Client(server, bound(number)) for number in numbers[start : start + AT_ONCE]]
        for ask, take in _STEPS:
            for client in clients:
                ask(client)
            for client in clients:
                take(client)
        for client in clients:
            client.socket.close()
    return began, time.monotonic()
