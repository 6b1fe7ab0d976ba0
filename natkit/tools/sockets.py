"""Asking sockets for measurements that are a short story rather than a plan."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from natkit.aio.driver import Driver
from natkit.machine import Seconds
from natkit.nat.asker import Observation, Pace, Question, Strayed
from natkit.nat.silence import Tally
from natkit.nat.sockets import ProbeSocket, Workbench
from natkit.network import Family, Network
from natkit.wire import TransportAddress

Randomness = Callable[[int], bytes]


@dataclass(eq=False, slots=True)
class Socket:
    """An open probe socket, and the strays that reached it."""

    probe: ProbeSocket
    driver: Driver[Observation]
    network: Network
    strays: list[Strayed]

    def ask(self, question: Question, pace: Pace) -> None:
        """Start asking."""
        self.probe.ask(question, pace, now=self.network.now())
        self.driver.kick()

    def all_heard_from(self, other: Socket) -> list[Strayed]:
        """Return the messages that `other` sent, or had sent, to this socket."""
        asked = other.probe.asker.has_asked
        return [s for s in self.strays if asked(s.transaction_id)]


class Sockets:
    """Opens sockets, keeps their observations, and closes them; use it with `async with`."""

    def __init__(
        self, network: Network, family: Family, interface: str | None, randomness: Randomness
    ) -> None:
        self._network = network
        self._family = family
        self._interface = interface
        self._bench = Workbench(partial(randomness, 12))
        self._open: list[Socket] = []
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for socket in self._open:
            socket.driver.close()

    async def open(self) -> Socket:
        """Open a fresh socket. Raises: NetworkUnreachable."""
        probe = self._bench.open(f"socket {len(self._open) + 1}")
        strays: list[Strayed] = []
        driver = await Driver.open(
            self._network,
            probe.asker,
            family=self._family,
            interface=self._interface,
            on_event=partial(self._hear, probe, strays),
        )
        probe.local = driver.endpoint.local
        socket = Socket(probe, driver, self._network, strays)
        self._open.append(socket)
        return socket

    async def mapped(self, server: TransportAddress, *, patience: Seconds) -> Socket | None:
        """Open a socket and wait until `server` has seen it; None: no answer in time."""
        socket, question = await self.open(), Question.plain(server)
        socket.ask(question, Pace(0.1, 100))
        seen = await self.until(lambda: socket.probe.answered(question), patience=patience)
        socket.probe.stop(question)
        return socket if seen else None

    async def until(self, settled: Callable[[], bool], *, patience: Seconds) -> bool:
        """Wait for observations until `settled()`; False: it was not within `patience` seconds."""
        try:
            async with asyncio.timeout(patience):
                while not settled():
                    await self._news.wait()
                    self._news.clear()
        except TimeoutError:
            return settled()
        return True

    def tally(self, *asked: tuple[Socket, Question]) -> Tally:
        """Pool the judged tries of several questions."""
        total = Tally(0, 0)
        for socket, question in asked:
            total += self._bench.tally([socket.probe], [question], now=self._network.now())
        return total

    def _hear(self, probe: ProbeSocket, strays: list[Strayed], observation: Observation) -> None:
        self._bench.take(probe, observation)
        if isinstance(observation, Strayed):
            strays.append(observation)
        self._news.set()
