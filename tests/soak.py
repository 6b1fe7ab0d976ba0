"""Clients that come and go for as long as you like; what the server still holds when all are gone.

    python -m tests.soak 600        # seconds

starts `natkit turn serve` with short lifetimes (tests/soak_server.py), lets threads visit it over
UDP, TCP and TLS (tests/soak_visits.py), and ends with 1 where a port, a descriptor, a task or
memory has leaked, or a client was disappointed.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from natkit.machine import Instant, Seconds
from tests.ports import free_port
from tests.soak_server import LONGEST, TASKS
from tests.soak_visits import PEERS, Visit, visits
from tests.turnserver import TurnUnderTest, turn_server

CLIENTS = 8
"""Threads that visit one after the other."""

PACE: Seconds = 0.05
"""From one visit of a thread to its next. As fast as the machine can, there would be more
allocations at a time whenever it has less else to do, and memory would show that instead."""

PORTS = (20000, 23999)
"""Below those that systems give to clients, and so few that a leak uses them up."""

GROWTH = 4_000_000
"""Bytes by which the server may grow once as many allocations expire as are made: when garbage is
collected is left to chance."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the server holds.

    Attributes:
        at:       seconds since the clients came.
        resident: bytes.
        ports:    relay ports taken.
    """

    at: Seconds
    resident: int
    descriptors: int
    ports: int
    tasks: int

    def __str__(self) -> str:
        return (
            f"{self.at:5.0f} s {self.resident / 1e6:7.2f} MB {self.descriptors:5} descriptors "
            f"{self.ports:5} ports {self.tasks:4} tasks"
        )


class Watch:
    """Reads a running server from outside."""

    def __init__(self, result: Soak, server: TurnUnderTest, metrics: int) -> None:
        self._result = result
        self._server = server
        self._metrics = ("127.0.0.1", metrics)

    def read(self) -> Reading:
        """Return what it holds now."""
        tasks, ports = self._tasks(), self._ports()  # these are asked for by a task
        server, at = self._server, self._result.elapsed
        return Reading(at, server.resident, server.descriptors, ports, tasks)

    def settled(self, patience: Seconds) -> Reading:
        """Wait until it holds no more than before the clients came; or for so long."""
        deadline = time.monotonic() + patience
        while True:
            now = self.read()
            if not self._result.leaks(now) or time.monotonic() > deadline:
                return now
            time.sleep(0.5)

    def _ports(self) -> int:
        with socket.create_connection(self._metrics, timeout=10) as asking:
            asking.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            # To its very end: then the server has closed its socket, and does not count it.
            text = b"".join(iter(lambda: asking.recv(65536), b"")).decode()
        found = re.search(r"^natkit_turn_relay_ports_used (\S+)$", text, re.MULTILINE)
        assert found is not None, text
        return round(float(found[1]))

    def _tasks(self) -> int:
        """Ask for the number of tasks."""
        log = self._server.log
        seen = log.stat().st_size
        os.kill(self._server.process.pid, signal.SIGUSR1)
        for _ in range(500):
            with log.open("rb") as file:
                file.seek(seen)
                found = re.search(rb"%b(\d+)\n" % TASKS.encode(), file.read())
            if found is not None:
                return int(found[1])
            time.sleep(0.01)
        raise TimeoutError("the server does not tell its tasks")


@dataclass
class Soak:
    """How it went.

    Attributes:
        visits:       how many of each kind.
        disappointed: what went wrong for clients.
        readings:     before the clients came, while they were there, and when all had gone.
        began:        on the monotonic clock.
    """

    visits: Counter[str] = field(default_factory=Counter)
    disappointed: list[str] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    began: Instant = field(default_factory=time.monotonic)

    @property
    def elapsed(self) -> Seconds:
        """How long it has gone on."""
        return time.monotonic() - self.began

    @property
    def grown(self) -> int:
        """Bytes from when as many expired as came to the end."""
        steady = next(one for one in self.readings if one.at > LONGEST)
        return self.readings[-1].resident - steady.resident

    def leaks(self, now: Reading) -> list[str]:
        """Return of what there is more than before the clients came."""
        first = self.readings[0]
        return [
            f"{name}: {getattr(now, name)}, and {getattr(first, name)} before"
            for name in ("ports", "descriptors", "tasks")
            if getattr(now, name) > getattr(first, name)
        ]

    def faults(self) -> list[str]:
        """Return what has leaked, and what else went wrong; nothing: all is well."""
        found = self.leaks(self.readings[-1])
        if self.grown > GROWTH:
            found.append(f"memory: grown by {self.grown / 1e6:.2f} MB")
        return found + self.disappointed[:20]


def soak(seconds: Seconds, where: Path, every: Seconds) -> Iterator[Reading | Soak]:
    """Let clients come and go. Yields: a reading `every` so many seconds, then how it went."""
    result, metrics = Soak(), free_port()
    words = ("--metrics", f"127.0.0.1:{metrics}", "--relay-ports", "{}-{}".format(*PORTS))
    with (
        turn_server(
            where,
            *words,
            ips=("127.0.0.1",),
            allow=(f"{PEERS}/32",),
            module="tests.soak_server",
            program="natkit",
        ) as server,
        visits() as kinds,
    ):
        result.began = time.monotonic()
        watch = Watch(result, server, metrics)
        for reading in _readings(result, watch, server, kinds, seconds, every):
            result.readings.append(reading)
            yield reading
        assert server.process.poll() is None, "the server has ended"
    yield result


def _readings(
    result: Soak,
    watch: Watch,
    server: TurnUnderTest,
    kinds: dict[str, Visit],
    seconds: Seconds,
    every: Seconds,
) -> Iterator[Reading]:
    yield watch.read()
    over = threading.Event()
    threads = [
        threading.Thread(target=_client, args=(result, server, kinds, over, number))
        for number in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    try:
        while (left := seconds - result.elapsed) > 0:
            time.sleep(min(left, every))
            yield watch.read()
    finally:
        over.set()
        for thread in threads:
            thread.join()
    yield watch.settled(LONGEST + 10)


def _client(
    result: Soak,
    server: TurnUnderTest,
    kinds: dict[str, Visit],
    over: threading.Event,
    number: int,
) -> None:
    chance, next_at = random.Random(number), time.monotonic()
    names = list(kinds)
    while not over.wait(next_at - time.monotonic()):
        next_at = max(next_at + PACE, time.monotonic())
        kind = chance.choice(names)
        visit(result, server, chance, kind, kinds[kind])


def visit(result: Soak, server: TurnUnderTest, chance: random.Random, kind: str, go: Visit) -> None:
    """Go there once, and note how it was."""
    result.visits[kind] += 1
    try:
        go(server, chance)
    except (OSError, EOFError, AssertionError) as error:
        result.disappointed.append(f"{result.elapsed:.1f} s, {kind}: {error!r}"[:300])


def main() -> int:
    """Print a line a minute, and the verdict. Returns: the exit code."""
    seconds = float(sys.argv[1])
    with contextlib.ExitStack() as stack:
        where = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for said in soak(seconds, where, every=min(60.0, seconds / 6)):
            if isinstance(said, Reading):
                print(said, flush=True)
                continue
            came = ", ".join(f"{count} {kind}" for kind, count in said.visits.items())
            print(f"{said.visits.total()} visits ({came}); grown by {said.grown / 1e6:.2f} MB")
            print("\n".join(said.faults() or ["nothing leaked"]))
            return 1 if said.faults() else 0
    raise AssertionError("a soak ends with a verdict")


if __name__ == "__main__":
    sys.exit(main())
