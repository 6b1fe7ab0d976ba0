"""Clients over TCP and TLS, told apart on one port by the first byte.

Rule of the file: nothing is buffered without end. Beyond MEDIA_BOUND relayed packets are
dropped, as on any busy link; a client that reads nothing at all is not read from either.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import cast

from natkit.aio.turn_door import Doorkeeper, StreamOwner
from natkit.aio.turn_tls import TlsSession
from natkit.dataplane.sockaddr import from_socket
from natkit.errors import MalformedMessage
from natkit.machine import Instant
from natkit.turn.forwarding import Path, Transport
from natkit.wire import FrameReader, TransportAddress

MEDIA_BOUND = 128 * 1024
"""Bytes waiting for a client's socket beyond which media is dropped: at 1 Mbit/s a second's worth,
which no call can use any more."""

_NOT_SENT_BOUND = 64 * 1024
"""Bytes that the kernel keeps unsent for a client; it would take megabytes."""

UNINVITED_BOUND = 4096
"""Bytes of an unfinished message that a connection without an allocation may leave here."""

_TLS_HANDSHAKE = 0x16  # content type of a ClientHello's record (RFC 8446 §5.1)


class ClientStream(asyncio.Protocol):
    """One client's connection.

    Args:
        tls:   context to speak TLS with; None: plain only.
        plain: plain TCP is spoken, too.
    """

    def __init__(
        self,
        owner: StreamOwner,
        door: Doorkeeper,
        *,
        tls: ssl.SSLContext | None,
        plain: bool,
    ) -> None:
        self.remote = self.local = TransportAddress("", 0)
        self.path: Path | None = None
        self._owner = owner
        self._door = door
        self._context = tls
        self._plain = plain
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._tls: TlsSession | None = None
        self._frames = FrameReader()
        self._forward: Callable[[bytes, Instant], None]
        self._pipe: Callable[[bytes], None] | None = None
        self._pause_source: Callable[[bool], None] = self.pause
        self._held: bytearray | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio: connected."""
        self._transport = cast(asyncio.Transport, transport)
        try:
            self.remote = from_socket(transport.get_extra_info("peername"))
            self.local = from_socket(transport.get_extra_info("sockname"))
        except (TypeError, ValueError):  # it has gone already
            self._transport.abort()
            return
        keep_little_unsent(transport.get_extra_info("socket"))
        if not self._door.let_in(self, self.remote.ip, self._loop.time()):
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Asyncio: bytes came in."""
        if self.path is None and not self._begin(data[0]):
            self.abort()
            return
        try:
            self._take(self._opened(data) if self._tls is not None else data)
        except (MalformedMessage, ssl.SSLError):
            self.abort()
            return
        if self._frames.pending > UNINVITED_BOUND and self._door.waits(self):
            self.abort()

    def eof_received(self) -> bool:
        """Asyncio: the client sends no more; the connection ends."""
        return False

    def connection_lost(self, _: Exception | None) -> None:
        """Asyncio: the connection is gone."""
        self._door.forget(self)
        if self.path is not None:
            self._owner.stream_closed(self)
        self._let_go()

    def pause_writing(self) -> None:
        """Asyncio: the client reads too slowly. Who does not listen is not listened to."""
        self._pause_source(True)

    def resume_writing(self) -> None:
        """Asyncio: it reads again."""
        self._pause_source(False)

    def send(self, data: bytes) -> None:
        """Send a STUN message; what a client does not read has been bounded by `pause_writing`."""
        if self._tls is not None:
            try:
                self._tls.send(data)
            except ssl.SSLError:
                self.abort()
                return
            data = self._tls.outgoing()
        self._transport.write(data)

    def send_media(self, frame: bytes) -> bool:
        """Send a relayed packet; False: too much waits already, it was dropped."""
        if self._transport.get_write_buffer_size() > MEDIA_BOUND:
            return False
        self.send(frame)
        return True

    def admit(self) -> None:
        """It has an allocation, or is joined to a peer: it may stay."""
        self._door.forget(self)

    def wait_again(self) -> None:
        """Its allocation has ended: it may make another one, soon."""
        if self._pipe is None and not self._door.let_in(self, self.remote.ip, self._loop.time()):
            self.close()

    def hold(self) -> None:
        """Keep what comes until `go_on` or `join`: another worker is asked whose it is."""
        if self._held is None:
            self._held = bytearray()
            self._pipe = self._held.extend
            self.pause(True)

    def go_on(self) -> None:
        """Take what was held, and what comes, as before."""
        if self._held is not None:
            data, self._held, self._pipe = bytes(self._held), None, None
            self.pause(False)
            try:
                self._take(data)
            except MalformedMessage:
                self.abort()

    def join(self, pipe: Callable[[bytes], None], pause: Callable[[bool], None]) -> None:
        """From now on hand all that comes to `pipe` (RFC 6062 §5.4), what waits already first.

        Args: pause: stops or goes on with what is sent here, as fast as the client reads.
        """
        self.admit()
        self._pipe = pipe
        self._pause_source = pause
        if self._held is not None:
            data, self._held = bytes(self._held), None
            pipe(data)
            self.pause(False)

    def pause(self, paused: bool) -> None:
        """Stop or go on reading: the peer this is joined with has enough, or wants more."""
        with contextlib.suppress(RuntimeError):  # closing
            (self._transport.pause_reading if paused else self._transport.resume_reading)()

    @property
    def closing(self) -> bool:
        """True once it has ended or is about to."""
        return self._transport.is_closing()

    def close(self) -> None:
        """End the connection once all is sent."""
        if self._tls is not None and not self._transport.is_closing():
            self._tls.end()
            self._transport.write(self._tls.outgoing())
        self._transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        self._door.forget(self)
        self._transport.abort()
        self._let_go()

    def _let_go(self) -> None:
        """Give back what is large. It would wait for the garbage collector: the stream and its
        callbacks are a ring.
        """
        self._tls = None
        self._frames = FrameReader()

    def _begin(self, first: int) -> bool:
        """Tell TLS from plain by the first byte; False: it is neither that is spoken here."""
        if first == _TLS_HANDSHAKE and self._context is not None:
            self._door.speaks_tls(self)
            self._tls = TlsSession(self._context)
        elif not self._plain:
            return False
        kind = Transport.TCP if self._tls is None else Transport.TLS
        self.path = Path(self.remote, self.local, kind)
        self._forward = self._owner.stream_ready(self)
        return True

    def _opened(self, data: bytes) -> bytes:
        assert self._tls is not None  # noqa: S101 - the caller has looked
        try:
            plain = self._tls.receive(data)
        finally:
            outgoing = self._tls.outgoing()
            if outgoing:
                self._transport.write(outgoing)
        if plain is None:
            self.close()
        return plain or b""

    def _take(self, data: bytes) -> None:
        if self._pipe is not None:
            self._pipe(data)
            return
        now = self._loop.time()
        for frame in self._frames.cut(data):
            if frame[0] < 4:
                self._owner.stream_message(frame, self, now)
            else:
                self._forward(frame, now)
            if self._pipe is not None:  # this message has joined it
                self._pipe(self._frames.rest())
                return


def keep_little_unsent(sock: socket.socket) -> None:
    """Bound what the kernel buffers for a slow reader, where it can."""
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if option is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, option, _NOT_SENT_BOUND)
