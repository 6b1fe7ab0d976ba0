"""TCP connections between relayed addresses and peers, and their joining to clients (RFC 6062).

Until a client joins a connection nothing is read from it; after that, each side is read only as
fast as the other takes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, cast

from natkit.aio.turn_door import Line
from natkit.aio.turn_ports import OpenRelaySocket, shared_stream_socket
from natkit.aio.turn_siblings import GuestLine
from natkit.aio.turn_stream import ClientStream, keep_little_unsent
from natkit.dataplane import Counters
from natkit.dataplane.meter import Meter
from natkit.dataplane.sockaddr import from_socket, to_socket
from natkit.errors import NatkitError
from natkit.machine import Instant, Seconds
from natkit.turn.server import TurnServer
from natkit.wire import TransportAddress

CONNECT_PATIENCE: Seconds = 30.0
"""How long a peer may take to accept; RFC 6062 §5.2 asks for at least as much."""

_UNTOLD = -1
"""The number of a connection that the machine does not know of yet."""

TELL_AFTER = 64 * 1024
"""Bytes of a visiting connection after which its owner hears of them."""


class _Listening(NamedTuple):
    """A relayed address: what it is bound to, the task that accepts peers, and what counts."""

    local: TransportAddress
    task: asyncio.Task[None]
    meter: Meter


@dataclass(slots=True)
class Visitor:
    """A connection that another worker gives.

    Attributes:
        early: what the peer has sent already.
        meter: counts what the connection carries, here.
        moved: tells the owner; what is left when the owner closes it comes too late for it.
        over:  takes the meter back.
    """

    connection: int
    early: bytes
    meter: Meter
    moved: Callable[[Counters], None]
    over: Callable[[Meter], None]

    def tell(self) -> None:
        """Tell the owner what was carried since it was told last."""
        carried, self.meter.counters = self.meter.counters, Counters()
        self.moved(carried)

    def end(self) -> None:
        """Tell the rest."""
        self.tell()
        self.over(self.meter)


class PeerConnections:
    """Listens on relayed TCP addresses and connects from them.

    Args:
        server:  hears what becomes of connections.
        settled: to be called after the machine was told something.
    """

    def __init__(self, server: TurnServer, settled: Callable[[Instant], None]) -> None:
        self._server = server
        self._settled = settled
        self._loop = asyncio.get_running_loop()
        self._listening: dict[TransportAddress, _Listening] = {}
        self._connections: dict[int, _Peer] = {}
        self._given: dict[int, tuple[GuestLine, Meter]] = {}
        self._connecting: dict[int, asyncio.Task[None]] = {}

    def listen(self, opened: OpenRelaySocket, meter: Meter) -> None:
        """Accept peers on a socket that listens; `meter` counts what they and clients send."""
        task = self._loop.create_task(self._accept(opened.relayed, opened.sock))
        self._listening[opened.relayed] = _Listening(opened.local, task, meter)

    def stop_listening(self, relayed: TransportAddress) -> None:
        """Close the listening socket of `relayed`. Unknown ones are ignored."""
        listening = self._listening.pop(relayed, None)
        if listening is not None:
            listening.task.cancel()

    def connect(self, connection: int, relayed: TransportAddress, peer: TransportAddress) -> None:
        """Connect to `peer` from `relayed`, and tell the machine."""
        task = self._loop.create_task(self._connect(connection, relayed, peer))
        self._connecting[connection] = task
        task.add_done_callback(lambda _: self._connecting.pop(connection, None))

    def join(self, connection: int, stream: ClientStream) -> None:
        """Let whatever either sends go to the other."""
        peer = self._connections.get(connection)
        if peer is None:
            stream.close()
        else:
            peer.join(stream)

    def give(self, connection: int, line: GuestLine) -> None:
        """Give a connection to the worker that has the client's stream."""
        peer = self._connections.pop(connection, None)
        if peer is None:
            line.close()
            return
        self._given[connection] = line, peer.meter
        line.join_peer(
            connection,
            peer.descriptor,
            peer.early,
            relayed=peer.meter.relayed,
            user=peer.meter.user,
        )
        peer.let_go()

    def account(self, connection: int, carried: Counters) -> None:
        """Count what a connection that was given away has carried where it is now."""
        _, meter = self._given.get(connection, (None, None))
        if meter is not None:
            meter.counters.add(carried)

    def take_over(self, visitor: Visitor, sock: socket.socket, stream: ClientStream) -> None:
        """Join a connection that another worker gives with a stream, which holds until then."""
        stream.hold()
        task = self._loop.create_task(self._take_over(visitor, sock, stream))
        self._connecting[visitor.connection] = task
        task.add_done_callback(lambda _: self._connecting.pop(visitor.connection, None))

    def joined_stream_closed(self, stream: Line) -> None:
        """Take that a client's connection has gone; the peer's goes with it."""
        for number, peer in list(self._connections.items()):
            if peer.stream is stream:
                self.close(number)
                self._tell_closed(number)

    def close(self, connection: int) -> None:
        """Close the peer's connection, and the client's that is joined to it."""
        task = self._connecting.pop(connection, None)
        if task is not None:
            task.cancel()
        peer, given = self._connections.pop(connection, None), self._given.pop(connection, None)
        if peer is not None:
            peer.close()
        if given is not None:
            given[0].close()

    def close_all(self) -> None:
        """Close everything."""
        for relayed in list(self._listening):
            self.stop_listening(relayed)
        for connection in [*self._connecting, *self._connections]:
            self.close(connection)

    def lost(self, peer: _Peer) -> None:
        """Take that a peer has closed."""
        if self._connections.get(peer.number) is peer:
            del self._connections[peer.number]
            self._tell_closed(peer.number)

    async def _connect(
        self, connection: int, relayed: TransportAddress, peer: TransportAddress
    ) -> None:
        try:
            listening = self._listening[relayed]
            async with asyncio.timeout(CONNECT_PATIENCE):
                sock = await self._connected(listening.local, peer)
                await self._serve(_Peer(connection, self, listening.meter), sock)
        except (OSError, KeyError, NatkitError) as error:
            self._server.peer_failed(connection, str(error), now=self._loop.time())
        else:
            self._server.peer_connected(connection, now=self._loop.time())
        self._settled(self._loop.time())

    async def _connected(self, local: TransportAddress, peer: TransportAddress) -> socket.socket:
        sock = shared_stream_socket(local)
        try:
            await self._loop.sock_connect(sock, to_socket(peer))
        except BaseException:
            sock.close()
            raise
        return sock

    async def _accept(self, relayed: TransportAddress, sock: socket.socket) -> None:
        with contextlib.closing(sock):
            while True:
                try:
                    accepted, source = await self._loop.sock_accept(sock)
                except OSError:  # it went away before it was accepted, or descriptors are short
                    await asyncio.sleep(0.1)
                    continue
                await self._welcome(relayed, accepted, from_socket(source))

    async def _welcome(
        self, relayed: TransportAddress, accepted: socket.socket, source: TransportAddress
    ) -> None:
        """Tell of a peer that has connected, once its connection can be joined: whoever is told
        may want that at once.
        """
        accepted.setblocking(False)
        peer = _Peer(_UNTOLD, self, self._listening[relayed].meter)
        try:
            await self._loop.connect_accepted_socket(lambda: peer, accepted)
        except asyncio.CancelledError:  # its allocation has ended
            peer.close()
            raise
        if peer.gone:
            return
        number = self._server.peer_accepted(relayed, source, now=self._loop.time())
        if number is None:
            peer.close()
        else:
            peer.number = number
            self._connections[number] = peer
        self._settled(self._loop.time())

    async def _serve(self, peer: _Peer, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._connections[peer.number] = peer
        await self._loop.connect_accepted_socket(lambda: peer, sock)

    async def _take_over(self, visitor: Visitor, sock: socket.socket, stream: ClientStream) -> None:
        peer = _Peer(visitor.connection, self, visitor.meter, visitor)
        peer.early = visitor.early
        await self._serve(peer, sock)
        if stream.closing:
            self.close(visitor.connection)
        else:
            peer.join(stream)

    def _tell_closed(self, connection: int) -> None:
        now = self._loop.time()
        self._server.peer_closed(connection, now=now)
        self._settled(now)


class _Valve:
    """Reading of one end: stopped for as long as anybody wants it so."""

    def __init__(self, pause: Callable[[bool], None]) -> None:
        self._pause = pause
        self._full = False
        self._owing = 0

    def full(self, full: bool) -> None:
        """The other end has enough, or wants more."""
        self._full = full
        self._set()

    def wait(self, seconds: Seconds) -> None:
        """A limit is reached: read no more for so long."""
        if seconds > 0:
            self._owing += 1
            self._set()
            asyncio.get_running_loop().call_later(seconds, self._waited)

    def _waited(self) -> None:
        self._owing -= 1
        self._set()

    def _set(self) -> None:
        self._pause(self._full or self._owing > 0)


class _Peer(asyncio.Protocol):
    """One connection with a peer.

    Args: visitor: it is another worker's; None: its allocation is here.
    """

    def __init__(
        self, number: int, owner: PeerConnections, meter: Meter, visitor: Visitor | None = None
    ) -> None:
        self.number = number
        self.stream: ClientStream | None = None
        self.early = b""  # uvloop reads once, though paused
        self.meter = meter
        self.visitor = visitor
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._over = False
        self.gone = False
        self._from_peer = _Valve(self._pause)
        self._from_client: _Valve

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._over:  # its allocation has ended before the event loop had it
            self._transport.abort()
            return
        keep_little_unsent(transport.get_extra_info("socket"))
        self._from_peer.full(True)

    def join(self, stream: ClientStream) -> None:
        self.stream = stream
        self._from_client = _Valve(stream.pause)
        stream.join(self._take_from_client, self._from_peer.full)
        if self.early:
            early, self.early = self.early, b""
            self._give_to_client(early)
        self._from_peer.full(False)

    def data_received(self, data: bytes) -> None:
        if self.stream is None:
            self.early += data
        else:
            self._give_to_client(data)

    def pause_writing(self) -> None:
        if self.stream is not None:
            self._from_client.full(True)

    def resume_writing(self) -> None:
        if self.stream is not None:
            self._from_client.full(False)

    def connection_lost(self, _: Exception | None) -> None:
        self.gone = True
        if self.stream is not None:
            self.stream.close()
        if self.visitor is not None:
            self.visitor.end()
        self._owner.lost(self)

    @property
    def descriptor(self) -> int:
        assert self._transport is not None  # noqa: S101 - bound connections have been made
        number: int = self._transport.get_extra_info("socket").fileno()
        return number

    def let_go(self) -> None:
        """Close the descriptor here; the connection lives on where a copy of it is."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        self._over = True
        if self._transport is not None:
            self._transport.close()
        if self.stream is not None:
            self.stream.close()

    def _take_from_client(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)
        self._from_client.wait(self.meter.sent(len(data), self._loop.time()))
        self._tell()

    def _give_to_client(self, data: bytes) -> None:
        if self.stream is not None:
            self.stream.send(data)
        self._from_peer.wait(self.meter.got(len(data), self._loop.time()))
        self._tell()

    def _tell(self) -> None:
        counters = self.meter.counters
        if self.visitor and counters.to_peers_bytes + counters.from_peers_bytes >= TELL_AFTER:
            self.visitor.tell()

    def _pause(self, paused: bool) -> None:
        transport = self._transport
        if transport is not None:
            with contextlib.suppress(RuntimeError):  # closing
                (transport.pause_reading if paused else transport.resume_reading)()
