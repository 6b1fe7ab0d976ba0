"""Send packets through a relay and back: to itself, and between it and a socket out here."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TypeAlias

from natkit.aio.turn_client import Randomness, RelayedEndpoint
from natkit.machine import Seconds
from natkit.network import DatagramEndpoint, Family, IcmpError, Network
from natkit.wire import TransportAddress

TRIES = 5
"""Packets for one measurement: with a tenth of them lost, one in 100,000 measurements is wrong."""

INTERVAL: Seconds = 0.3
"""From one try to the next, and how long the last one is waited for besides; most paths are
shorter."""

LAST_WAIT: Seconds = 1.0

Arrival: TypeAlias = tuple[bytes, TransportAddress]


class Inbox:
    """A `DatagramReceiver` that keeps what comes until somebody waits for it.

    Attributes: errors: the ICMP errors that came.
    """

    def __init__(self) -> None:
        self.errors: list[IcmpError] = []
        self._arrivals: asyncio.Queue[Arrival] = asyncio.Queue(maxsize=64)

    def datagram_received(self, data: bytes, source: TransportAddress) -> None:
        """Keep it, unless 64 wait already: no more than that was ever sent."""
        if not self._arrivals.full():
            self._arrivals.put_nowait((data, source))

    def error_received(self, error: IcmpError) -> None:
        """Keep the last few."""
        self.errors = [*self.errors[-3:], error]

    async def wait_for(self, data: bytes, patience: Seconds) -> TransportAddress | None:
        """Return where `data` came from; None: it did not in time. What else comes is dropped."""
        try:
            async with asyncio.timeout(patience):
                while True:
                    arrived, source = await self._arrivals.get()
                    if arrived == data:
                        return source
        except TimeoutError:
            return None


@dataclass(frozen=True, slots=True)
class Crossing:
    """A packet that has arrived.

    Attributes:
        source:     where it came from, as the receiver saw it.
        round_trip: seconds from sending it.
        tries:      how many packets were sent.
    """

    source: TransportAddress
    round_trip: Seconds
    tries: int


async def cross(
    network: Network,
    sender: DatagramEndpoint,
    destination: TransportAddress,
    inbox: Inbox,
    randomness: Randomness,
) -> Crossing | None:
    """Send packets to `destination` until one comes out at `inbox`; None: none does."""
    for number in range(TRIES):
        data = b"natkit check " + randomness(16)
        began = network.now()
        sender.send(data, destination)
        source = await inbox.wait_for(data, INTERVAL if number < TRIES - 1 else LAST_WAIT)
        if source is not None:
            return Crossing(source, network.now() - began, number + 1)
    return None


class Outside:
    """A plain UDP socket out here, as a peer without a relay has one.

    It learns how the relay sees it from the first packet that arrives there.

    Args: inbox: its receiver.
    """

    def __init__(self, network: Network, randomness: Randomness, inbox: Inbox) -> None:
        self._network = network
        self._randomness = randomness
        self.inbox = inbox
        self.endpoint: DatagramEndpoint | None = None

    async def open(self, relayed: TransportAddress) -> DatagramEndpoint:
        """Bind the socket. Raises: NetworkUnreachable: there is none of this family."""
        family = Family.IPV6 if relayed.is_ipv6 else Family.IPV4
        self.endpoint = await self._network.open_datagram(self.inbox, family=family)
        return self.endpoint

    async def into(self, relay: RelayedEndpoint, inbox: Inbox) -> Crossing | None:
        """Send to the relay until `inbox`, its receiver, gets it."""
        endpoint = self.endpoint or await self.open(relay.local)
        return await cross(self._network, endpoint, relay.local, inbox, self._randomness)

    async def back(self, relay: RelayedEndpoint, seen: TransportAddress) -> Crossing | None:
        """Send from the relay to this socket, which it sees at `seen`, until that gets it."""
        return await cross(self._network, relay, seen, self.inbox, self._randomness)

    def close(self) -> None:
        """Close the socket."""
        if self.endpoint is not None:
            self.endpoint.close()
