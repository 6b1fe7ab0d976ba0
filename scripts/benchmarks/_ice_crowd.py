"""Many connections in a process of its own: what each of them takes of the processor and of memory.

    python -m scripts.benchmarks._ice_crowd natkit|aioice PAIRS

Prints a `Crowd` as JSON. A check is counted when it is made, in the one function of each library
that makes them all; what it takes includes its answer, since both sides are in the process.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aioice

import natkit
from natkit.ice import consent, messages
from natkit.machine import Seconds

NEVER: Seconds = 3600.0

CONSENT_EVERY: Seconds = 0.25
"""In place of 5 s, so that there are thousands of them in `CONSENT_FOR`."""

CONSENT_FOR: Seconds = 3.0

_PAGE = 4096


class Crowd(NamedTuple):
    """What was measured once.

    Attributes:
        check, consent: microseconds of CPU for a check, its answer included.
        connecting:     microseconds of CPU for one side, from candidates to connected.
        memory:         kilobytes that the process grew by for each connection.
    """

    check: float
    connecting: float
    consent: float
    memory: float


class Counter:
    """Counts calls of a function."""

    def __init__(self) -> None:
        self.calls = 0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, counted."""

        @functools.wraps(function)
        def counted(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            return function(*arguments, **options)

        return counted


async def ready(module: Any, **options: Any) -> tuple[Any, Any]:
    """Return two sides that have each other's candidates, over IPv4."""
    pair = tuple(module.Connection(role, use_ipv6=False, **options) for role in (True, False))
    for side in pair:
        await side.gather_candidates()
    for side, other in (pair, pair[::-1]):
        for candidate in other.local_candidates:
            await side.add_remote_candidate(candidate)
        await side.add_remote_candidate(None)
        side.remote_username, side.remote_password = other.local_username, other.local_password
    return pair[0], pair[1]


@asynccontextmanager
async def all_ready(module: Any, pairs: int) -> AsyncIterator[list[tuple[Any, Any]]]:
    """Make as many pairs, and close them in the end."""
    made = [await ready(module) for _ in range(pairs)]
    try:
        yield made
    finally:
        await asyncio.gather(*(side.close() for pair in made for side in pair))


async def _connect(pairs: list[tuple[Any, Any]]) -> None:
    for pair in pairs:
        await asyncio.gather(*(side.connect() for side in pair))


def put(where: Any, name: str, value: object) -> None:
    """Put something of ours in the place of a library's, which mypy would not have."""
    setattr(where, name, value)


def ask_every(interval: Seconds) -> None:
    """Have both libraries ask for consent that often, on connections that are yet to be made."""
    put(consent, "INTERVAL", interval)
    put(aioice.ice, "CONSENT_INTERVAL", interval)


async def measured(module: Any, pairs: int) -> Crowd:
    """Measure one of the two."""
    counter = Counter()
    put(messages, "check", counter.around(messages.check))
    put(aioice.Connection, "build_request", counter.around(aioice.Connection.build_request))
    async with all_ready(module, 1) as warm:  # what is imported at the first use is nobody's
        await _connect(warm)
    before = _memory()
    ask_every(NEVER)
    async with all_ready(module, pairs) as made:
        counter.calls, began = 0, time.process_time()
        await _connect(made)
        connecting, checks = time.process_time() - began, counter.calls
        memory = _memory() - before
    ask_every(CONSENT_EVERY)
    async with all_ready(module, pairs) as made:
        await _connect(made)
        counter.calls, began = 0, time.process_time()
        await asyncio.sleep(CONSENT_FOR)
        asking = (time.process_time() - began) / counter.calls
    sides = 2 * pairs
    return Crowd(
        connecting / checks * 1e6, connecting / sides * 1e6, asking * 1e6, memory / sides / 1000
    )


def _memory() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE


def in_a_process(module: Any, pairs: int) -> Crowd:
    """Measure one of the two in a fresh process."""
    command = (sys.executable, "-m", __name__, module.__name__, str(pairs))
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    return Crowd(**json.loads(done.stdout))


if __name__ == "__main__":
    chosen = {"natkit": natkit, "aioice": aioice}[sys.argv[1]]
    print(json.dumps(asyncio.run(measured(chosen, int(sys.argv[2])))._asdict()))
