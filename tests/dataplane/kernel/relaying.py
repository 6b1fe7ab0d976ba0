"""A data plane between a client and its peers on the ground, with what comes out of it."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from natkit.dataplane.kernel.plane import KernelPlane
from natkit.dataplane.kernel.table import FastTable
from natkit.dataplane.portable import PortablePlane
from natkit.machine import Instant
from natkit.turn.forwarding import (
    AllocationMade,
    ChannelBound,
    Path,
    PermissionGranted,
    Relaying,
    Transport,
)
from natkit.wire import TransportAddress
from tests.dataplane.kernel.frames import Frame, Seen, read
from tests.dataplane.kernel.ground import V4, V6, Ground, Side

SERVER, CLIENT, RELAYED, PEER = 3478, 5000, 6000, 7000
CHANNEL, LAPSED, UNBOUND = 0x4001, 0x4002, 0x4003
LAPSED_PEER = 7001
PATIENCE = 10.0
ENOUGH = 0.2
"""Seconds without a packet after which none is expected."""
END = b"the end of this lot"


def channel_data(payload: bytes, channel: int = CHANNEL) -> bytes:
    """Return ChannelData without padding."""
    return struct.pack("!HH", channel, len(payload)) + payload


@dataclass
class Heard:
    """Upcalls: remembers what came up."""

    lot: Counter[object] = field(default_factory=Counter)

    def client_datagram(
        self, data: bytes, client: TransportAddress, server: TransportAddress, now: Instant
    ) -> None:
        del now
        self.lot["client", data, client, server] += 1

    def peer_datagram(
        self, relayed: TransportAddress, data: bytes, peer: TransportAddress, now: Instant
    ) -> None:
        del now
        self.lot["peer", relayed, data, peer] += 1

    def relay_error(self, relayed: TransportAddress, sock: socket.socket, now: Instant) -> None:
        """ICMP is not compared: how often it comes is rationed."""


class Carrier:
    """The plane, and one allocation with two channels on each IP version; one is over already."""

    def __init__(
        self, ground: Ground, *, kernel: bool, max_rate: int | None = None, capacity: int = 64
    ) -> None:
        self.ground, self.heard = ground, Heard()
        self.plane: PortablePlane
        if kernel:
            table = FastTable(capacity)
            ground.attach(table, "client", "peer")
            self.plane = KernelPlane(self.heard, table)
        else:
            self.plane = PortablePlane(self.heard)
        self.plane.max_rate = max_rate
        self.sinks: dict[tuple[Side, bool], socket.socket] = {}
        self.raws = {
            True: ground.raw(ground.client, "link"),
            False: ground.raw(ground.peer, "link"),
        }
        for side in (V4, V6):
            self._allocate(side)

    def _allocate(self, side: Side) -> None:
        ground, plane = self.ground, self.plane
        server, relayed = (
            TransportAddress(side.server, SERVER),
            TransportAddress(side.relayed, RELAYED),
        )
        listener = ground.udp(ground.relay, *server)
        relay = ground.udp(ground.relay, *relayed)
        plane.add_listener(server, listener)
        plane.add_relay(relayed, relay)
        path = Path(TransportAddress(side.client, CLIENT), server, Transport.UDP)
        now = asyncio.get_running_loop().time()
        plane.apply(AllocationMade(path, relayed, Relaying.UDP, "user", 600))
        plane.apply(PermissionGranted(relayed, side.peer, now + 300))
        for number, port, until in ((CHANNEL, PEER, now + 600), (LAPSED, LAPSED_PEER, now - 1)):
            peer = TransportAddress(side.peer, port)
            plane.apply(ChannelBound(relayed, number, peer, path, until))
        for up, node, ip, port in (
            (True, ground.peer, side.peer, PEER),
            (False, ground.client, side.client, CLIENT),
        ):
            self.sinks[side, up] = sink = ground.udp(node, ip, port)
            _tell_tos(sink, ipv6=side.ipv6)
            # Whom the relay sends to it must have met: the kernel's way asks nobody for addresses.
            (relay if up else listener).sendto(b"", sink.getsockname())
            assert select.select([sink], [], [], PATIENCE)[0]

    def frame(self, side: Side, payload: bytes, *, up: bool) -> Frame:
        """Return a frame that is right: from the client (`up`) or from the peer."""
        if up:
            name, source, destination = "client", (side.client, CLIENT), (side.server, SERVER)
        else:
            name, source, destination = "peer", (side.peer, PEER), (side.relayed, RELAYED)
        macs = self.ground.macs
        return Frame((macs[f"relay to {name}"], macs[name]), source, destination, payload)

    async def carry(
        self, side: Side, frames: Sequence[Frame], *, up: bool
    ) -> tuple[Counter[object], list[Seen]]:
        """Send frames; return what the receiver's socket and what a capture there got.

        A frame that takes the slow way, by its TTL of 1, says when all before it are through.
        """
        sink, capture = self.sinks[side, up], self.raws[not up]
        got: Counter[object] = Counter()
        seen: list[Seen] = []
        last = channel_data(END) if up else END
        end = self.frame(side, last, up=up)
        end = replace(end, life=1)
        for start in range(0, len(frames), 50):
            for frame in frames[start : start + 50]:
                with contextlib.suppress(OSError):  # more than the link carries
                    self.raws[up].send(frame.packed())
            self.raws[up].send(end.packed())
            await self._until_end(sink, got)
            seen += _captured(capture)
        return got, seen

    async def _until_end(self, sink: socket.socket, got: Counter[object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                await asyncio.sleep(0)
                try:
                    data, control, _, source = sink.recvmsg(65536, 256)
                except BlockingIOError:
                    continue
                if data.endswith(END):
                    return
                if data:
                    got[data, source[:2], bytes(control[0][2][:1])] += 1

    async def way(self, side: Side, *, up: bool, client: int = CLIENT) -> str:
        """Send a packet; return how it came out: "fast", "slow", or "not at all".

        One of each entry goes up every NEIGHBOUR_CHECK, the first one to begin with; so a slow one
        is followed by another, which tells.
        """
        found = await self.once(side, up=up, client=client)
        return await self.once(side, up=up, client=client) if found == "slow" else found

    async def once(self, side: Side, *, up: bool, client: int = CLIENT) -> str:
        """Send one packet; return how it came out."""
        frame = self.frame(side, channel_data(b"which way?") if up else b"which way?", up=up)
        if up:
            frame = replace(frame, source=(side.client, client))
        self.raws[up].send(replace(frame, life=9).packed())
        lives: list[int] = []
        for _ in range(round(ENOUGH / 0.002)):
            await asyncio.sleep(0.002)  # the event loop may have a part in it
            seen = _captured(self.raws[not up])
            lives = [one.life for one in seen if b"which way?" in one.payload]
            if lives:
                break
        return {(8,): "fast", (64,): "slow", (): "not at all"}[tuple(lives)]

    def close(self) -> None:
        """Close everything."""
        self.plane.close()
        for sock in (*self.sinks.values(), *self.raws.values()):
            sock.close()


@contextlib.contextmanager
def relaying(
    ground: Ground, *, kernel: bool, max_rate: int | None = None, capacity: int = 64
) -> Iterator[Carrier]:
    """Relay until the block ends."""
    made = Carrier(ground, kernel=kernel, max_rate=max_rate, capacity=capacity)
    try:
        yield made
    finally:
        made.close()


def _tell_tos(sock: socket.socket, *, ipv6: bool) -> None:
    if ipv6:
        sock.setsockopt(socket.IPPROTO_IPV6, 66, 1)  # IPV6_RECVTCLASS
    else:
        sock.setsockopt(socket.IPPROTO_IP, 13, 1)  # IP_RECVTOS


def _captured(sock: socket.socket) -> Iterator[Seen]:
    while True:
        try:
            data, address = sock.recvfrom(65536)
        except BlockingIOError:
            return
        if address[2] != socket.PACKET_OUTGOING and (seen := read(data)) is not None:
            yield seen
