"""The lab's TURN server: the server machine, and the least that carries its data on any network.

`natkit turn serve` needs this machine's sockets; this one runs in a simulated network as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

from natkit.dataplane import Counters
from natkit.lab.scenarios import INTERNET, STUN
from natkit.lab.topology import World
from natkit.network import DatagramEndpoint, IcmpError, StreamEndpoint, StreamListener
from natkit.turn.credentials import Credentials
from natkit.turn.events import CloseRelay, OpenRelay, SendToPeer
from natkit.turn.forwarding import ChannelBound, Path, Transport
from natkit.turn.policy import PeerPolicy, networks
from natkit.turn.server import TurnServer
from natkit.turn.settings import Settings
from natkit.wire import ChannelData, FrameReader, TransportAddress

IP = STUN[0]
PORT = 3480
"""The lab's STUN server has 3478 and 3479."""

USER = ("alice", "wonderland")
"""Name and password: the lab is nobody else's, so there is no secret in them."""

SETTINGS = Settings(
    "example.org",
    Credentials(dict([USER])),
    b"of the lab alone",  # signs nonces; fixed, so that a run can be repeated byte by byte
    PeerPolicy(allow=networks((str(INTERNET.ipv4),)), relayed=frozenset({IP})),
)
"""It relays to what plays the internet: documentation addresses, which it would refuse as such."""


class Relay:
    """The receiver of one relayed address."""

    endpoint: DatagramEndpoint

    def __init__(self, host: TurnHost) -> None:
        self.host = host

    def datagram_received(self, data: bytes, source: TransportAddress) -> None:
        """A peer sent something."""
        self.host.from_peer(self.endpoint.local, data, source)

    def error_received(self, error: IcmpError) -> None:
        """What was sent to a peer did not arrive."""
        machine = self.host.machine
        machine.peer_error(self.endpoint.local, error, now=self.host.network.now())
        self.host.settle()


class TurnHost:
    """A server on the host `stun` of a world.

    Args:
        listener: where clients come, over UDP and TCP; it relays from IPv4 alone.
    Attributes:
        relays:   the receivers of what comes from peers, by relayed address.
        carried:  payloads relayed so far.
    """

    udp: DatagramEndpoint

    def __init__(self, world: World, settings: Settings, listener: TransportAddress) -> None:
        self.listener = listener
        self.network = world.network("stun")
        self.machine = TurnServer(settings, randomness=Random(3).randbytes, epoch=1.8e9)
        self.relays: dict[TransportAddress, Relay] = {}
        self.carried = Counters()
        self._clients: dict[Path, Callable[[bytes], None]] = {}
        self._channels: dict[tuple[Path, int], ChannelBound] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._streams: StreamListener | None = None

    async def open(self) -> None:
        """Take clients from now on."""
        self.udp = await self.network.open_datagram(self, local=self.listener)
        self._streams = await self.network.listen_stream(self.serve_stream, local=self.listener)

    async def close(self) -> None:
        """Close every endpoint."""
        if self._streams is not None:
            self._streams.close()
        for endpoint in (self.udp, *(relay.endpoint for relay in self.relays.values())):
            endpoint.close()
        for task in self._tasks:
            task.cancel()

    def datagram_received(self, data: bytes, source: TransportAddress) -> None:
        """A client over UDP sent something."""
        udp, path = self.udp, Path(source, self.listener, Transport.UDP)
        self._clients[path] = lambda data: udp.send(data, source)
        self.from_client(path, data)

    def error_received(self, error: IcmpError) -> None:
        """A client has gone."""

    async def serve_stream(self, stream: StreamEndpoint) -> None:
        """Serve one client over TCP until it is gone."""
        path = Path(stream.remote, stream.local, Transport.TCP)
        frames, outgoing = FrameReader(), asyncio.Queue[bytes]()
        self._clients[path] = outgoing.put_nowait

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
        """Take a STUN message or ChannelData."""
        if data[0] >= 0x40:
            frame = ChannelData.decode(data)
            bound = self._channels.get((path, frame.channel))
            if bound is not None:
                self.to_peer(bound.relayed, bound.peer, frame.data)
            return
        self.machine.receive(data, path, now=self.network.now())
        self.settle()

    def from_peer(self, relayed: TransportAddress, data: bytes, peer: TransportAddress) -> None:
        """Take what a peer sent to a relayed address, by channel where there is one."""
        self.carried.from_peers += 1
        self.carried.from_peers_bytes += len(data)
        for (path, channel), bound in self._channels.items():
            if (bound.relayed, bound.peer) == (relayed, peer):
                padded = path.transport.is_stream
                self._clients[path](ChannelData(channel, data).encode(padded=padded))
                return
        self.machine.from_peer(relayed, data, peer, now=self.network.now())
        self.settle()

    def to_peer(self, relayed: TransportAddress, peer: TransportAddress, data: bytes) -> None:
        """Send to a peer from a relayed address."""
        self.carried.to_peers += 1
        self.carried.to_peers_bytes += len(data)
        self.relays[relayed].endpoint.send(data, peer)

    def settle(self) -> None:
        """Carry out what the machine wants."""
        for path, data in self.machine.transmits():
            self._clients[path](data)
        for event in self.machine.events():
            match event:
                case OpenRelay():
                    task = asyncio.create_task(self._open_relay(event))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                case CloseRelay(relayed):
                    self.relays.pop(relayed).endpoint.close()
                case SendToPeer():
                    self.to_peer(event.relayed, event.peer, event.data)
                case ChannelBound():
                    self._channels[event.path, event.channel] = event

    async def _open_relay(self, command: OpenRelay) -> None:
        relay = Relay(self)
        relay.endpoint = await self.network.open_datagram(relay, local=TransportAddress(IP, 0))
        self.relay_opened(command, relay, relay.endpoint.local)

    def relay_opened(self, command: OpenRelay, relay: Relay, relayed: TransportAddress) -> None:
        """Tell the machine that a relayed address is there."""
        self.relays[relayed] = relay
        self.machine.relay_opened(command.ticket, relayed, now=self.network.now())
        self.settle()


@asynccontextmanager
async def turn_host(world: World) -> AsyncIterator[TurnHost]:
    """Relay at `stun` in `world`, over UDP and TCP, for `USER`, inside this block."""
    host = TurnHost(world, SETTINGS, TransportAddress(IP, PORT))
    await host.open()
    try:
        yield host
    finally:
        await host.close()
