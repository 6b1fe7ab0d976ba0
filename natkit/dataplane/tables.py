"""The portable plane's table: clients, channels and relayed addresses.

Rules of this file:
1. Keys are addresses as what receives them writes them (`Way.key`), so that they are looked up as
   they are.
2. A channel carries while `now < until`, the sooner of its own end and its permission's
   (RFC 8656 §9, §12): a plane that missed a lapse still forwards nothing too late.
3. What cannot be sent at once is dropped, as on any busy link, and counted.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from struct import Struct
from typing import Any

from natkit.dataplane import Upcalls
from natkit.dataplane.bulk import DATA, FRAME, SLOT, Head, Inbox
from natkit.dataplane.departures import Counted
from natkit.dataplane.marks import Buffer, send_marked
from natkit.dataplane.meter import Meter
from natkit.dataplane.neighbours import Neighbours
from natkit.dataplane.reading import Way
from natkit.dataplane.routes import NOWHERE, Route
from natkit.machine import Instant
from natkit.wire import TransportAddress

HEADER_SIZE = 4
_HEADER = Struct("!HH")
_pack_header = _HEADER.pack
_pack_header_into = _HEADER.pack_into
_unpack_header = _HEADER.unpack_from


class Channel(Counted):
    """A binding, which the client's table and the relayed address's share."""

    __slots__ = ("expires_at", "number", "peer", "relay", "route", "until")

    def __init__(self, relay: Relay, number: int, peer: Any, key: Any) -> None:
        self.route = Route(relay.sock.fileno(), key) if isinstance(key, bytes) else NOWHERE
        self.relay = relay
        self.number = number
        self.peer = peer
        self.expires_at: Instant = 0.0
        self.until: Instant = 0.0

    def missed(self, data: memoryview, code: int) -> None:
        """Take that a datagram for the peer was counted as sent, but could not be."""
        relay = self.relay
        counters, now = relay.counters, relay.active_at or 0.0
        if code == errno.EAGAIN or not relay.sent_again(data, self.peer, now, 0):
            counters.to_peers -= 1
            counters.to_peers_bytes -= len(data)
            counters.dropped += 1


class Client:
    """A path that allocations were made on: its channels, and how to write to it.

    Args:
        write:  sends one message or frame with a mark; False: it was dropped.
        padded: ChannelData is padded to 4 bytes, as on streams (RFC 8656 §12.5).

    Attributes:
        diverted: takes frames of channels that are not bound here; None: nobody does.
    """

    __slots__ = ("channels", "diverted", "padded", "relays", "route", "write")

    def __init__(self, write: Callable[[bytes, int], bool], *, padded: bool) -> None:
        self.write = write
        self.padded = padded
        self.channels: dict[int, Channel] = {}
        self.diverted: Callable[[bytes], None] | None = None
        self.relays = 0
        self.route: Route | None = None

    def forward(self, frame: bytes, now: Instant, mark: int = 0) -> None:
        """Send a ChannelData frame's payload on to the peer that its channel stands for."""
        number, size = _unpack_header(frame)
        channel = self.channels.get(number)
        if channel is None and self.diverted is not None:
            self.diverted(bytes(frame))
        if channel is None or now >= channel.until or size > len(frame) - HEADER_SIZE:
            return  # silently (RFC 8656 §12.6)
        channel.relay.send(frame[HEADER_SIZE : HEADER_SIZE + size], channel.peer, now, mark)

    def deliver(self, number: int, data: bytes, mark: int) -> bool:
        """Send a peer's datagram as ChannelData; False: it was dropped."""
        frame = _pack_header(number, len(data)) + data
        if self.padded:
            frame += bytes(-len(data) & 3)
        return self.write(frame, mark)


class Relay(Meter, Counted):
    """A relayed address: its socket, its client once there is one, and what it carried."""

    __slots__ = (
        "client",
        "neighbours",
        "peers",
        "permissions",
        "reader",
        "sendto",
        "sock",
        "upcalls",
        "way",
    )

    def __init__(
        self,
        relayed: TransportAddress,
        sock: socket.socket,
        upcalls: Upcalls,
        neighbours: Neighbours,
        way: Way,
        *,
        ipv6: bool,
    ) -> None:
        super().__init__(relayed)
        self.neighbours = neighbours
        self.sock = sock
        self.sendto = sock.sendto
        self.upcalls = upcalls
        self.client: Client | None = None
        self.peers: dict[Any, Channel] = {}
        self.permissions: dict[str, Instant] = {}
        self.way = way
        self.reader = way.reader(sock, self, ipv6=ipv6)

    def received(self, data: bytes, source: Any, now: Instant, mark: int) -> None:
        """Take a datagram of a peer: on to the client, up to the machine, or nowhere."""
        client, channel = self.client, self.peers.get(source)
        if client is None:
            return
        counters, size = self.counters, len(data)
        if channel is None or now >= channel.until:
            peer = self.neighbours.peer_at(self.way.address(source))
            if now >= self.permissions.get(peer.ip, 0.0):
                return  # unpermitted: silently (RFC 8656 §9)
            if self.down is not None and not self.down.take(size, now):
                counters.dropped += 1
                return
            self.upcalls.peer_datagram(self.relayed, data, peer, now)
        elif (self.down is not None and not self.down.take(size, now)) or not client.deliver(
            channel.number, data, mark
        ):
            counters.dropped += 1
            return
        counters.from_peers += 1
        counters.from_peers_bytes += size
        self.active_at = now

    def received_many(
        self, inbox: Inbox, head: Head, at: int, lengths: list[int], now: Instant
    ) -> None:
        """Take datagrams of peers as they lie in slots."""
        client, data, peers, here = self.client, inbox.data, self.peers, inbox.address + FRAME
        route = None if client is None or self.down is not None else client.route
        counters, depart = self.counters, inbox.waiting.append
        for length in lengths:
            source, mark, _, _ = head(data, at)
            channel = peers.get(source)
            if channel is None or mark or route is None or now >= channel.until:
                inbox.flush()  # what came before leaves before
                start = at + DATA
                self.received(bytes(inbox.view[start : start + length]), source, now, mark)
            else:
                _pack_header_into(data, at + FRAME, channel.number, length)
                depart((route, here + at, length + HEADER_SIZE, self))
                counters.from_peers += 1
                counters.from_peers_bytes += length
                self.active_at = now
            at += SLOT
        inbox.used = at // SLOT

    def send(self, data: bytes, peer: Any, now: Instant, mark: int = 0) -> None:
        """Send a client's datagram to a peer that it may send to."""
        counters, size = self.counters, len(data)
        if self.up is not None and not self.up.take(size, now):
            counters.dropped += 1
            return
        try:
            if mark:
                send_marked(self.sock, data, peer, mark)
            else:
                self.sendto(data, peer)
        except BlockingIOError:
            counters.dropped += 1
            return
        except OSError:
            if not self.sent_again(data, peer, now, mark):
                counters.dropped += 1
                return
        counters.to_peers += 1
        counters.to_peers_bytes += size
        self.active_at = now

    def missed(self, data: memoryview, _: int) -> None:
        """Take that a frame for the client was counted as sent, but could not be."""
        self.counters.from_peers -= 1
        self.counters.from_peers_bytes -= len(data) - HEADER_SIZE
        self.counters.dropped += 1

    def failed(self, now: Instant) -> None:
        """Hand up that an error waits on the socket."""
        self.upcalls.relay_error(self.relayed, self.sock, now)

    def permit(self, ip: str, expires_at: Instant) -> None:
        """Let peers at `ip` in until then; 0: no longer."""
        self.permissions[ip] = expires_at
        for channel in self.peers.values():
            if self.neighbours.peer_at(channel.peer).ip == ip:
                channel.until = min(channel.expires_at, expires_at)

    def sent_again(self, data: Buffer, peer: Any, now: Instant, mark: int) -> bool:
        """Hear of what an earlier datagram may have met, then try this one once more."""
        self.failed(now)
        try:
            send_marked(self.sock, data, peer, mark)
        except OSError:
            return False
        return True
