"""TCP connections between relayed addresses and peers, and their joining to clients (RFC 6062).

Until a client joins a connection nothing is read from it; after that, each side is read only as
fast as the other takes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import cast

from natkit.aio.turn_door import Line
from natkit.aio.turn_ports import shared_stream_socket
from natkit.aio.turn_siblings import GuestLine
from natkit.aio.turn_stream import ClientStream, keep_little_unsent
from natkit.dataplane.sockaddr import from_socket, to_socket
from natkit.errors import NatkitError
from natkit.machine import Instant, Seconds
from natkit.turn.server import TurnServer
from natkit.wire import TransportAddress

CONNECT_PATIENCE: Seconds = 30.0
"""How long a peer may take to accept; RFC 6062 §5.2 asks for at least as much."""


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
        self._listening: dict[TransportAddress, tuple[TransportAddress, asyncio.Task[None]]] = {}
        self._connections: dict[int, _Peer] = {}
        self._given: dict[int, GuestLine] = {}
        self._connecting: dict[int, asyncio.Task[None]] = {}

    def listen(
        self, relayed: TransportAddress, local: TransportAddress, sock: socket.socket
    ) -> None:
        """Accept peers on `sock`, which is bound to `local` and listens."""
        task = self._loop.create_task(self._accept(relayed, sock))
        self._listening[relayed] = (local, task)

    def stop_listening(self, relayed: TransportAddress) -> None:
        """Close the listening socket of `relayed`. Unknown ones are ignored."""
        _, task = self._listening.pop(relayed, (None, None))
        if task is not None:
            task.cancel()

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
        self._given[connection] = line
        line.join_peer(connection, peer.descriptor, peer.early)
        peer.let_go()

    def take_over(
        self, connection: int, sock: socket.socket, early: bytes, stream: ClientStream
    ) -> None:
        """Join a connection that another worker gives with a stream, which holds until then.

        Args: early: what the peer has sent already.
        """
        stream.hold()
        task = self._loop.create_task(self._take_over(connection, sock, early, stream))
        self._connecting[connection] = task
        task.add_done_callback(lambda _: self._connecting.pop(connection, None))

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
        peer, line = self._connections.pop(connection, None), self._given.pop(connection, None)
        if peer is not None:
            peer.close()
        if line is not None:
            line.close()

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
            local, _ = self._listening[relayed]
            async with asyncio.timeout(CONNECT_PATIENCE):
                sock = await self._connected(local, peer)
                await self._serve(connection, sock)
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
                number = self._server.peer_accepted(
                    relayed, from_socket(source), now=self._loop.time()
                )
                if number is None:
                    accepted.close()
                else:
                    await self._serve(number, accepted)
                self._settled(self._loop.time())

    async def _serve(self, connection: int, sock: socket.socket) -> None:
        sock.setblocking(False)
        peer = _Peer(connection, self)
        self._connections[connection] = peer
        await self._loop.connect_accepted_socket(lambda: peer, sock)

    async def _take_over(
        self, connection: int, sock: socket.socket, early: bytes, stream: ClientStream
    ) -> None:
        await self._serve(connection, sock)
        peer = self._connections[connection]
        peer.early = early + peer.early
        if stream.closing:
            self.close(connection)
        else:
            peer.join(stream)

    def _tell_closed(self, connection: int) -> None:
        now = self._loop.time()
        self._server.peer_closed(connection, now=now)
        self._settled(now)


class _Peer(asyncio.Protocol):
    """One connection with a peer."""

    def __init__(self, number: int, owner: PeerConnections) -> None:
        self.number = number
        self.stream: ClientStream | None = None
        self.early = b""  # uvloop reads once, though paused
        self._owner = owner
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        keep_little_unsent(transport.get_extra_info("socket"))
        self._transport.pause_reading()

    def join(self, stream: ClientStream) -> None:
        self.stream = stream
        stream.join(self._transport.write, self.pause)
        if self.early:
            stream.send(self.early)
            self.early = b""
        self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self.stream is None:
            self.early += data
            self.pause(True)
        else:
            self.stream.send(data)

    def pause(self, paused: bool) -> None:
        """Read no more, or again: the client has enough, or wants more."""
        with contextlib.suppress(RuntimeError):  # closing
            (self._transport.pause_reading if paused else self._transport.resume_reading)()

    def pause_writing(self) -> None:
        if self.stream is not None:
            self.stream.pause(True)

    def resume_writing(self) -> None:
        if self.stream is not None:
            self.stream.pause(False)

    def connection_lost(self, _: Exception | None) -> None:
        if self.stream is not None:
            self.stream.close()
        self._owner.lost(self)

    @property
    def descriptor(self) -> int:
        number: int = self._transport.get_extra_info("socket").fileno()
        return number

    def let_go(self) -> None:
        """Close the descriptor here; the connection lives on where a copy of it is."""
        self._transport.abort()

    def close(self) -> None:
        self._transport.close()
        if self.stream is not None:
            self.stream.close()
