"""Who is measured: servers that relay, and what the same packets take where nobody relays."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from importlib.metadata import version
from pathlib import Path

from natkit.errors import NatkitError
from natkit.lab.netns.namespace import Namespace
from natkit.machine import Seconds
from natkit.wire import ChannelData, TransportAddress
from scripts.benchmarks import _relay_server
from scripts.benchmarks._relay_cells import LIMIT, Cell, Load
from scripts.benchmarks._relay_generator import Flow, Generator, Outcome
from scripts.benchmarks._relay_ground import PORT, Ground, Lane
from scripts.benchmarks._relay_load import CHANNEL, Client
from scripts.benchmarks._relay_mmsg import Way
from scripts.benchmarks._relay_server import Server, Site

LISTENER = 3478
PRIVATE = "10.0.0.0/8"

LIFE: Seconds = 200.0
"""After which a server is started anew: a permission lasts 300 s (RFC 8656 §9), and nobody renews
any during a measurement."""

WARMING: Seconds = 0.2
WARM_RATE = 2000

_METRICS = "http://127.0.0.1:9641/metrics"
_PLANE = re.compile(r'^natkit_turn_packets_total\{plane="(kernel|portable)"\} (\S+)', re.MULTILINE)

COTURN_ONE, COTURN = "coturn, one thread", "coturn"
ASYNCIO, UVLOOP, KERNEL = "natkit, asyncio", "natkit, uvloop", "natkit, kernel"
DIRECT, FORWARDING = "no relay", "kernel forwarding"

Start = Callable[[Site], AbstractContextManager[Server]]

SERVERS: dict[str, Start] = {
    COTURN_ONE: lambda site: _relay_server.coturn(LISTENER, site=site, one_thread=True),
    COTURN: lambda site: _relay_server.coturn(LISTENER, site=site),
    ASYNCIO: lambda site: _relay_server.natkit(LISTENER, site=site, uvloop=False),
    UVLOOP: lambda site: _relay_server.natkit(LISTENER, site=site),
    KERNEL: lambda site: _relay_server.natkit(LISTENER, site=site, fast_path="xdp:client,peer"),
}
FLOORS = (DIRECT, FORWARDING)
NAMES = (*SERVERS, *FLOORS)


def versions() -> dict[str, str]:
    """Return what the contenders are. Raises: Unsupported: there is no coturn here."""
    natkit = f"natkit {version('natkit')}"
    return {
        **dict.fromkeys((COTURN_ONE, COTURN), _relay_server.coturn_name()),
        **dict.fromkeys((ASYNCIO, KERNEL), natkit),
        UVLOOP: f"{natkit}, uvloop {version('uvloop')}",
    }


class Contender:
    """One of NAMES, on a lane of its own. Use it as a context manager.

    Args: most: calls that a load has at most.
    """

    def __init__(self, name: str, ground: Ground, most: int) -> None:
        self.name = name
        self._ground = ground
        self._most = most
        self._lane = (
            ground.direct() if name == DIRECT else ground.relayed(forwarding=name == FORWARDING)
        )
        self._server: Server | None = None
        self._relayed: list[TransportAddress] = []
        self._stop = contextlib.ExitStack()
        self._made = float("-inf")

    def __enter__(self) -> Contender:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.close()

    def measure(self, generator: Generator, load: Load, duration: Seconds) -> Cell:
        """Put a load on it.

        Raises: NatkitError: its server does not start, or refuses a call; or nothing can be sent.
        """
        if self.name in SERVERS and time.monotonic() > self._made + LIFE:
            self._start(SERVERS[self.name])
            warm = load._replace(rate=WARM_RATE, direction="both")
            generator.send(self._flows(warm), WARM_RATE, WARMING)
        before = self._by_plane()
        used, busy = self._cpu(), machine_cpu()
        rate = None if load.rate == LIMIT else load.rate
        outcome = generator.send(self._flows(load), rate, duration)
        if not outcome.sent.count:
            raise NatkitError("not one packet was sent", why="the machine is too busy to measure")
        used, busy = self._cpu() - used, machine_cpu() - busy
        planes = {name: count - before[name] for name, count in self._by_plane().items()}
        return self._cell(load, outcome, used, busy, planes)

    def _cell(
        self, load: Load, outcome: Outcome, used: Seconds, busy: Seconds, planes: dict[str, float]
    ) -> Cell:
        server, sent, arrived = self._server, outcome.sent.count, outcome.count
        each = 1e6 / arrived if arrived else float("nan")
        return Cell(
            self.name,
            load,
            sent,
            arrived,
            outcome.offered,
            outcome.delivered,
            100 * (1 - arrived / sent),
            used * each if server else None,
            busy * each,
            outcome.sent.cpu / sent / 1e3,
            outcome.latency(0.5),
            outcome.latency(0.99),
            server.memory() // 1000 if server else None,
            server.shared_out() // 1000 if server else None,
            100 * planes["kernel"] / max(sum(planes.values()), 1) if planes else None,
        )

    def _start(self, start: Start) -> None:
        """Start the server, and make all calls."""
        self._stop.close()
        relay = _relay_of(self._lane)
        running = start(Site(self._lane.server, self._lane.relayed, PRIVATE))
        # A program is of the namespace of the thread that starts it.
        self._server = relay.call(running.__enter__)
        self._stop.callback(relay.call, partial(running.__exit__, None, None, None))
        make = partial(_call, self._lane, self._server.address)
        self._relayed = self._ground.clients.call(lambda: list(map(make, range(self._most))))
        self._made = time.monotonic()

    def _flows(self, load: Load) -> list[Flow]:
        there = [self._up(load), self._down(load)]
        return {"up": there[:1], "down": there[1:], "both": there}[load.direction]

    def _up(self, load: Load) -> Flow:
        """Clients send ChannelData; where nobody relays, it arrives as it is."""
        lane, relays = self._lane, self._server is not None
        to = (lane.server, LISTENER) if relays else (lane.peer, PORT)
        ways = [Way(lane.client(number), *to) for number in range(load.calls)]
        header = ChannelData(CHANNEL, bytes(load.size)).encode()[:4]
        return Flow(True, ways, header, load.size, 0 if relays else len(header))

    def _down(self, load: Load) -> Flow:
        if self._server is None:
            ways = [Way("", self._lane.client(number), PORT) for number in range(load.calls)]
            return Flow(False, ways, b"", load.size, 0)
        ways = [Way("", *relayed) for relayed in self._relayed[: load.calls]]
        return Flow(False, ways, b"", load.size, 4)

    def _cpu(self) -> Seconds:
        return self._server.cpu() if self._server else 0.0

    def _by_plane(self) -> dict[str, float]:
        """Return how many packets the server's planes have forwarded; nothing, if it has one."""
        if self.name != KERNEL:
            return {}
        page = _relay_of(self._lane).call(_metrics)
        return {plane: float(count) for plane, count in _PLANE.findall(page)}


def machine_cpu() -> Seconds:
    """Return what all CPUs have worked up to now, interrupts included."""
    line = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0]
    user, nice, system, _idle, _waiting, hard, soft, *_ = map(int, line.split()[1:])
    return (user + nice + system + hard + soft) / os.sysconf("SC_CLK_TCK")


def others_busy(seconds: Seconds = 1.0) -> float:
    """Return how many percent of all CPUs others take, while nothing is measured."""
    before = machine_cpu()
    time.sleep(seconds)
    return 100 * (machine_cpu() - before) / seconds / (os.cpu_count() or 1)


def _relay_of(lane: Lane) -> Namespace:
    if lane.relay is None:
        raise ValueError(f"lane {lane.number} has no relay")
    return lane.relay


def _metrics() -> str:
    with urllib.request.urlopen(_METRICS, timeout=10) as answer:
        text: bytes = answer.read()
    return text.decode()


def _call(lane: Lane, server: TransportAddress, number: int) -> TransportAddress:
    """Make a client's call; return where the peer sends to. Runs where the clients are."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        own.bind((lane.client(number), PORT))
        client = Client(server, own)
        client.challenge()
        relayed = client.allocate()
        client.bind(TransportAddress(lane.peer, PORT))
    return relayed
