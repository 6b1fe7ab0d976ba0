"""A TURN server for simulated networks: the server machine, and the least that carries its data."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random

from natkit.dataplane import Counters
from natkit.lab.topology import World
from natkit.network import DatagramEndpoint, IcmpError, StreamEndpoint
from natkit.turn.credentials import Credentials
from natkit.turn.events import CloseRelay, OpenRelay, SendToPeer
from natkit.turn.forwarding import ChannelBound, Path, Transport
from natkit.turn.policy import PeerPolicy, networks
from natkit.turn.server import TurnServer
from natkit.turn.settings import Settings
from natkit.wire import ChannelData, FrameReader, TransportAddress

IP, IP6 = "203.0.113.10", "2001:db8::10"
PORT = 3478
WORLDS_OWN = ("203.0.113.0/24", "10.0.1.0/24")
"""The lab's networks, all of which a server refuses unless told otherwise."""

SETTINGS = Settings(
    "example.org",
    Credentials({"alice": "wonderland"}),
    b"0123456789abcdef",
    PeerPolicy(allow=networks(WORLDS_OWN), relayed=frozenset({IP})),
)


class Relay:
    """The receiver of one relayed address."""

    endpoint: DatagramEndpoint

    def __init__(self, host: TurnHost) -> None:
        self.host = host

    def datagram_received(self, data: bytes, source: TransportAddress) -> None:
        self.host.from_peer(self.endpoint.local, data, source)

    def error_received(self, error: IcmpError) -> None:
        machine = self.host.machine
        machine.peer_error(self.endpoint.local, error, now=self.host.network.now())
        self.host.settle()


class TurnHost:
    """A server on the host `stun` of a world.

    Attributes:
        deaf:      peers other than itself are not heard, as by a firewall on the relay ports.
        dumb:      what it relays goes nowhere but to itself.
        advertise: what clients are told in place of its own IP.
        carried:   payloads relayed so far.
    """

    udp: DatagramEndpoint

    def __init__(self, world: World, settings: Settings, listener: TransportAddress) -> None:
        self.listener = listener
        self.network = world.network("stun")
        self.machine = TurnServer(settings, randomness=Random(3).randbytes, epoch=1.8e9)
        self.deaf = self.dumb = False
        self.advertise = IP
        self.carried = Counters()
        self.clients: dict[Path, Callable[[bytes], None]] = {}
        self.relays: dict[TransportAddress, Relay] = {}
        self.channels: dict[tuple[Path, int], ChannelBound] = {}
        self.tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self.udp = await self.network.open_datagram(self, local=self.listener)

    def datagram_received(self, data: bytes, source: TransportAddress) -> None:
        udp, path = self.udp, Path(source, self.listener, Transport.UDP)
        self.clients[path] = lambda data: udp.send(data, source)
        self.from_client(path, data)

    def error_received(self, error: IcmpError) -> None:
        """A client has gone."""

    async def serve_stream(self, stream: StreamEndpoint) -> None:
        path = Path(stream.remote, stream.local, Transport.TCP)
        frames, outgoing = FrameReader(), asyncio.Queue[bytes]()
        self.clients[path] = outgoing.put_nowait

        async def write() -> None:
            while True:
                await stream.write(await outgoing.get())

        writing = asyncio.create_task(write())
        try:
            while data := await stream.read():
                for frame in frames.cut(data):
                    self.from_client(path, frame)
        finally:
            writing.cancel()
            self.machine.path_closed(path, now=self.network.now())
            self.settle()

    def from_client(self, path: Path, data: bytes) -> None:
        if data[0] >= 0x40:
            frame = ChannelData.decode(data)
            bound = self.channels.get((path, frame.channel))
            if bound is not None:
                self.to_peer(bound.relayed, bound.peer, frame.data)
            return
        self.machine.receive(data, path, now=self.network.now())
        self.settle()

    def from_peer(self, local: TransportAddress, data: bytes, peer: TransportAddress) -> None:
        if self.deaf and peer.ip != IP:
            return
        self.carried.from_peers += 1
        self.carried.from_peers_bytes += len(data)
        told = local._replace(ip=self.advertise)
        for (path, channel), bound in self.channels.items():
            if (bound.relayed, bound.peer) == (told, peer):
                padded = path.transport.is_stream
                self.clients[path](ChannelData(channel, data).encode(padded=padded))
                return
        self.machine.from_peer(told, data, peer, now=self.network.now())
        self.settle()

    def to_peer(self, relayed: TransportAddress, peer: TransportAddress, data: bytes) -> None:
        if not self.dumb or peer.ip == IP:
            self.carried.to_peers += 1
            self.carried.to_peers_bytes += len(data)
            self.relays[relayed].endpoint.send(data, peer)

    def settle(self) -> None:
        for path, data in self.machine.transmits():
            self.clients[path](data)
        for event in self.machine.events():
            match event:
                case OpenRelay():
                    task = asyncio.create_task(self.open_relay(event))
                    self.tasks.add(task)
                    task.add_done_callback(self.tasks.discard)
                case CloseRelay(relayed):
                    self.relays.pop(relayed).endpoint.close()
                case SendToPeer():
                    self.to_peer(event.relayed, event.peer, event.data)
                case ChannelBound():
                    self.channels[event.path, event.channel] = event
        if self.machine.transmits():
            raise AssertionError("an event made the machine speak")

    async def open_relay(self, command: OpenRelay) -> None:
        relay = Relay(self)
        relay.endpoint = await self.network.open_datagram(relay, local=TransportAddress(IP, 0))
        relayed = relay.endpoint.local._replace(ip=self.advertise)
        self.relays[relayed] = relay
        self.machine.relay_opened(command.ticket, relayed, now=self.network.now())
        self.settle()

    async def close(self) -> None:
        for endpoint in (self.udp, *(relay.endpoint for relay in self.relays.values())):
            endpoint.close()
        for task in self.tasks:
            task.cancel()


@asynccontextmanager
async def turn_host(
    world: World,
    *,
    peers: tuple[str, ...] = WORLDS_OWN,
    tcp: bool = True,
    listen: str = IP,
    port: int = PORT,
) -> AsyncIterator[TurnHost]:
    """Relay at `stun` in `world`, over UDP and TCP, inside this block.

    Args:
        peers:  private networks that it relays to.
        listen, port: where clients come; it relays from IPv4 alone.
    """
    policy = replace(SETTINGS.policy, allow=networks(peers))
    host = TurnHost(world, replace(SETTINGS, policy=policy), TransportAddress(listen, port))
    await host.open()
    serve, local = host.serve_stream, host.listener
    listener = await host.network.listen_stream(serve, local=local) if tcp else None
    try:
        yield host
    finally:
        if listener is not None:
            listener.close()
        await host.close()
