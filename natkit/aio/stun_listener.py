"""A Binding server over TCP and TLS, wherever real sockets can listen."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys

from natkit.aio.sockaddr import SocketAddress
from natkit.errors import NetworkUnreachable
from natkit.machine import Seconds
from natkit.network import Network
from natkit.stun.server import BindingServer
from natkit.wire import TransportAddress

STREAM_PATIENCE: Seconds = 39.5
"""A stream that is silent this long is closed: as long as a client waits (Ti, RFC 8489 §6.2.2)."""

STREAM_LIMIT = 500
"""Streams a listener serves at once: each holds a descriptor, of which 1024 is a usual limit."""

_HEADER_SIZE = 20


class StreamService:
    """A running TCP or TLS listener. Close it when done.

    Attributes: listening: the bound address.
    """

    def __init__(self, sock: socket.socket) -> None:
        name = sock.getsockname()
        self.listening = TransportAddress(name[0], name[1])
        self._sock = sock
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, tls: ssl.SSLContext | None) -> None:
        """Begin to accept."""
        self._server = await asyncio.start_server(self._accepted, sock=self._sock, ssl=tls)

    async def close(self) -> None:
        """Stop accepting, and end the streams that are open. Closing twice is harmless."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._tasks) >= STREAM_LIMIT:
            writer.close()
            return
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, TimeoutError, asyncio.CancelledError):
                await _serve_stream(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()


async def serve_binding_stream(
    network: Network, address: TransportAddress, *, tls: ssl.SSLContext | None = None
) -> StreamService:
    """Answer Binding requests over TCP, or TLS where `tls` is given, on `address`.

    RFC 5780 needs UDP, so the answers here are always plain ones.

    Raises: NetworkUnreachable: the address cannot be bound.
            Unsupported: the network is simulated.
    """
    service = StreamService(await network.in_thread(lambda: _listener(address)))
    await service.start(tls)
    return service


async def _serve_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer requests until the stream ends, falls silent, or says something that is not STUN."""
    server = BindingServer()
    source = TransportAddress(*writer.get_extra_info("peername")[:2])
    at = TransportAddress(*writer.get_extra_info("sockname")[:2])
    while True:
        async with asyncio.timeout(STREAM_PATIENCE):
            message = await _read_message(reader)
        if message is None:
            return
        reply = server.answer(message, source, at=at)
        if reply is not None:
            writer.write(reply.data)
            async with asyncio.timeout(STREAM_PATIENCE):
                await writer.drain()


async def _read_message(reader: asyncio.StreamReader) -> bytes | None:
    """Read one STUN message; None at the end, and where no STUN message can begin."""
    try:
        header = await reader.readexactly(_HEADER_SIZE)
        if header[0] >= 0x40:  # the two top bits of a STUN message are zero (RFC 8489 §5)
            return None
        return header + await reader.readexactly(int.from_bytes(header[2:4], "big"))
    except asyncio.IncompleteReadError:
        return None


def _listener(address: TransportAddress) -> socket.socket:
    family = socket.AF_INET6 if address.is_ipv6 else socket.AF_INET
    where: SocketAddress = (address.ip, address.port)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # there it would let another program take the port over
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address.is_ipv6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(where)
    except OSError as error:
        sock.close()
        raise NetworkUnreachable(f"cannot listen on {address}", why=str(error)) from error
    return sock
