"""A socket for the questions that one protocol has for a gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from natkit.aio.driver import Driver
from natkit.machine import Seconds
from natkit.network import Network
from natkit.portmap import ssdp
from natkit.portmap.client import Backoff, GatewayClient, Outcome, Question, Randomness
from natkit.wire import TransportAddress

Reply = TypeVar("Reply")


class GatewayLine(Generic[Reply]):
    """Runs a `GatewayClient` and hands each outcome to whoever asked. Use `open_line`."""

    def __init__(self, network: Network, client: GatewayClient[Reply]) -> None:
        self._network = network
        self._client = client
        self._outcome: asyncio.Future[Outcome[Reply]]
        self._driver: Driver[Outcome[Reply]]

    async def open(self, own: str) -> None:
        """Bind a socket on the IP `own`. Raises: NetworkUnreachable: it cannot be bound."""
        self._driver = await Driver.open(
            self._network,
            self._client,
            local=TransportAddress(own, 0),
            on_event=self._hear,
            on_error=self._client.error_received,
        )

    def close(self) -> None:
        """Release the socket."""
        self._driver.close()

    @property
    def local_port(self) -> int:
        """The socket's port."""
        return self._driver.endpoint.local.port

    async def ask(self, question: Question[Reply]) -> Outcome[Reply]:
        """Ask until it is answered, refused or given up; one question at a time."""
        self._outcome = asyncio.get_running_loop().create_future()
        self.say(question)
        return await self._outcome

    def say(self, question: Question[Reply]) -> None:
        """Ask without waiting for the answer."""
        self._client.ask(question, now=self._network.now())
        self._driver.kick()

    def _hear(self, outcome: Outcome[Reply]) -> None:
        if not self._outcome.done():  # it is when the one who asked was cancelled
            self._outcome.set_result(outcome)


@asynccontextmanager
async def open_line(
    network: Network, client: GatewayClient[Reply], own: str
) -> AsyncIterator[GatewayLine[Reply]]:
    """Keep a socket on the local IP `own` open for `client`.

    Raises: NetworkUnreachable: it cannot be bound.
    """
    line = GatewayLine(network, client)
    await line.open(own)
    try:
        yield line
    finally:
        line.close()


async def search_upnp(
    network: Network, gateway: str, own: str, *, patience: Seconds, randomness: Randomness
) -> Outcome[ssdp.Found]:
    """Search for UPnP on the router `gateway`, by itself and by multicast from our IP `own`.

    Raises: NetworkUnreachable: that cannot be bound.
    """
    client: GatewayClient[ssdp.Found] = GatewayClient(
        TransportAddress(gateway, ssdp.PORT),
        also=(ssdp.MULTICAST,),
        backoff=Backoff.within(patience),
        randomness=randomness,
    )
    line: GatewayLine[ssdp.Found]
    async with open_line(network, client, own) as line:
        return await line.ask(ssdp.SearchGateway())
