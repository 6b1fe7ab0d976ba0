"""The lab's TURN server where STUN servers usually are, and with faults on request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from natkit.lab.topology import World
from natkit.lab.turn import IP, Relay
from natkit.lab.turn import SETTINGS as LAB_SETTINGS
from natkit.lab.turn import TurnHost as GoodTurnHost
from natkit.turn.events import OpenRelay
from natkit.turn.policy import networks
from natkit.turn.settings import Settings
from natkit.wire import TransportAddress

IP6 = "2001:db8::10"
PORT = 3478
WORLDS_OWN = ("203.0.113.0/24", "10.0.1.0/24")
"""The scenarios' networks, all of which a server refuses unless told otherwise."""

SETTINGS = replace(LAB_SETTINGS, policy=replace(LAB_SETTINGS.policy, allow=networks(WORLDS_OWN)))

__all__ = ["IP", "IP6", "PORT", "SETTINGS", "WORLDS_OWN", "TurnHost", "turn_host"]


class TurnHost(GoodTurnHost):
    """A server whose network can be broken.

    Attributes:
        deaf:      peers other than itself are not heard, as by a firewall on the relay ports.
        dumb:      what it relays goes nowhere but to itself.
        advertise: what clients are told in place of its own IP.
    """

    def __init__(self, world: World, settings: Settings, listener: TransportAddress) -> None:
        super().__init__(world, settings, listener)
        self.deaf = self.dumb = False
        self.advertise = IP

    async def open_udp(self) -> None:
        """Take clients over UDP alone."""
        self.udp = await self.network.open_datagram(self, local=self.listener)

    def from_peer(self, relayed: TransportAddress, data: bytes, peer: TransportAddress) -> None:
        if not self.deaf or peer.ip == IP:
            super().from_peer(relayed._replace(ip=self.advertise), data, peer)

    def to_peer(self, relayed: TransportAddress, peer: TransportAddress, data: bytes) -> None:
        if not self.dumb or peer.ip == IP:
            super().to_peer(relayed, peer, data)

    def settle(self) -> None:
        super().settle()
        assert not self.machine.transmits(), "an event made the machine speak"

    def relay_opened(self, command: OpenRelay, relay: Relay, relayed: TransportAddress) -> None:
        super().relay_opened(command, relay, relayed._replace(ip=self.advertise))


@asynccontextmanager
async def turn_host(
    world: World,
    *,
    peers: tuple[str, ...] = WORLDS_OWN,
    tcp: bool = True,
    listen: str = IP,
    port: int = PORT,
) -> AsyncIterator[TurnHost]:
    """Relay at `stun` in `world` inside this block.

    Args:
        peers:  private networks that it relays to.
        listen, port: where clients come.
    """
    policy = replace(SETTINGS.policy, allow=networks(peers))
    host = TurnHost(world, replace(SETTINGS, policy=policy), TransportAddress(listen, port))
    await (host.open() if tcp else host.open_udp())
    try:
        yield host
    finally:
        await host.close()
