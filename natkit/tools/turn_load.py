"""What load to put on a TURN server, and what became of it, as values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from natkit.errors import UsageError
from natkit.machine import Seconds
from natkit.turn.forwarding import Transport
from natkit.wire import TransportAddress

MOST_CLIENTS = 1000
"""Each takes two descriptors here, of which 4096 is a usual limit, and a relay port there."""

MOST_PACKETS = 50_000
"""Packets a second in all: more than one process of this tool can send or count."""

SMALLEST, LARGEST = 32, 1400
"""Bytes of a packet: room for what is measured by; what fits into a packet on most paths."""


class Direction(Enum):
    """Which way packets go."""

    UP = "up"
    DOWN = "down"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Load:
    """What to send.

    Attributes:
        rate:     packets a second for each client and direction.
        size:     bytes of a packet, without IP, UDP and TURN.
        duration: seconds.
    """

    clients: int
    rate: float
    size: int
    direction: Direction
    duration: Seconds

    def check(self) -> None:
        """Raises: UsageError: it is more than this tool can do, or less than it can measure."""
        ways = 2 if self.direction is Direction.BOTH else 1
        total = self.clients * self.rate * ways
        if not 1 <= self.clients <= MOST_CLIENTS:
            raise UsageError(f"{self.clients} clients are not in 1 .. {MOST_CLIENTS}")
        if not SMALLEST <= self.size <= LARGEST:
            raise UsageError(f"packets of {self.size} bytes are not in {SMALLEST} .. {LARGEST}")
        if not 0 < total <= MOST_PACKETS:
            raise UsageError(
                f"that is {total:.0f} packets a second",
                hint=f"At most {MOST_PACKETS}: one process here cannot send and count more",
            )


class Histogram:
    """Latencies in buckets of 2 % each, so that memory does not grow with the packets."""

    _BASE = math.log(1.02)
    _LEAST: Seconds = 1e-6

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.count = 0
        self.most: Seconds = 0.0

    def add(self, latency: Seconds) -> None:
        """Count one."""
        bucket = round(math.log(max(latency, self._LEAST) / self._LEAST) / self._BASE)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self.count += 1
        self.most = max(self.most, latency)

    def percentile(self, share: float) -> Seconds | None:
        """Return what `share` (0 .. 1) of all were not above; None: there are none."""
        wanted, seen = math.ceil(share * self.count), 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= wanted:
                return min(self.most, self._LEAST * math.exp(bucket * self._BASE))
        return None


@dataclass(frozen=True, slots=True)
class Flow:
    """What became of the packets in one direction; latencies are seconds, None without any."""

    sent: int
    delivered: int
    median: Seconds | None
    p90: Seconds | None
    p99: Seconds | None
    most: Seconds | None

    @property
    def lost(self) -> int:
        """Packets that did not arrive."""
        return self.sent - self.delivered

    @property
    def loss(self) -> float:
        """The part that did not arrive, 0 .. 1."""
        return self.lost / self.sent if self.sent else 0.0


@dataclass(frozen=True, slots=True)
class BenchReport:
    """How it went.

    Attributes:
        clients: how many got through the relay.
        failed:  why the others did not, in the order of the clients.
        setup:   seconds until all of them had allocation, permission and channel.
        seconds: how long packets were sent.
        flows:   by direction, "up" and "down".
        gone:    what became of a server that has stopped answering; None: it answers.
    """

    server: TransportAddress
    transport: Transport
    load: Load
    clients: int
    failed: tuple[str, ...]
    setup: Seconds
    seconds: Seconds
    flows: dict[str, Flow]
    gone: str | None = None
