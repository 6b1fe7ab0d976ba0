"""Run a discovery on a network: open its sockets, carry its observations, until it is done."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from functools import partial

from natkit.aio.driver import Driver
from natkit.machine import Seconds
from natkit.nat.asker import Observation
from natkit.nat.discovery import Discovery, Findings
from natkit.nat.sockets import ProbeSocket
from natkit.nat.survey import SourceOf
from natkit.network import Family, Network
from natkit.wire import TransportAddress

Randomness = Callable[[int], bytes]


async def discover(
    network: Network,
    servers: tuple[tuple[str, TransportAddress], ...],
    *,
    family: Family,
    randomness: Randomness,
    budget: Seconds,
    interface: str | None = None,
) -> Findings:
    """Measure how NATs and filters on the way to `servers` behave, for one IP version.

    Args:
        servers:    (name, address) of that IP version, in order of preference; at least one.
        randomness: returns that many unpredictable bytes.
        budget:     seconds after which it decides with what it has.
    Raises:
        NetworkUnreachable: no socket could be opened.
    """
    discovery = Discovery(
        servers,
        source_of=functools.cache(_sources(network, family, interface)),
        transaction_id=partial(randomness, 12),
        budget=budget,
        now=network.now(),
    )
    run = _Run(network, discovery, family, interface)
    try:
        await run.to_the_end()
    finally:
        run.close()
    return discovery.findings()


def _sources(network: Network, family: Family, interface: str | None) -> SourceOf:
    """Return what tells the local IP for a destination: routing, or the chosen interface."""
    if interface is None:
        return network.source_for
    addresses = [i.ip for i in network.interfaces() if i.name == interface]
    own = next((ip for ip in addresses if (":" in ip) == (family is Family.IPV6)), None)
    return lambda _: own


class _Run:
    def __init__(
        self, network: Network, discovery: Discovery, family: Family, interface: str | None
    ) -> None:
        self._network = network
        self._discovery = discovery
        self._family = family
        self._interface = interface
        self._drivers: list[Driver[Observation]] = []
        self._inbox: list[tuple[ProbeSocket, Observation]] = []
        self._wake = asyncio.Event()

    async def to_the_end(self) -> None:
        while not self._discovery.is_done:
            for socket in self._discovery.unopened():
                await self._open(socket)
            await self._wake.wait()
            self._wake.clear()
            self._deliver()

    async def _open(self, socket: ProbeSocket) -> None:
        driver = await Driver.open(
            self._network,
            socket.asker,
            family=self._family,
            interface=self._interface,
            on_event=partial(self._heard, socket),
            on_error=partial(self._discovery.refuse, socket),
        )
        socket.local = driver.endpoint.local
        self._drivers.append(driver)

    def _heard(self, socket: ProbeSocket, observation: Observation) -> None:
        self._inbox.append((socket, observation))
        self._wake.set()

    def _deliver(self) -> None:
        inbox, self._inbox = self._inbox, []
        now = self._network.now()
        went_on = [self._discovery.observe(*heard, now=now) for heard in inbox]
        if any(went_on):
            for driver in self._drivers:
                driver.kick()

    def close(self) -> None:
        for driver in self._drivers:
            driver.close()
