"""A UDP socket behind the `DatagramEndpoint` seam."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from typing import Any

from natkit.aio import errqueue
from natkit.aio.sockaddr import Scopes
from natkit.network import DatagramReceiver, IcmpError
from natkit.wire import TransportAddress

LOOP_STOPS_ON_ERRORS = sys.platform == "win32"
"""The proactor loop's transport, before Python 3.12.4, never reads a UDP socket again after one
"port unreachable"; so on Windows a task of our own reads."""

_LARGEST_DATAGRAM = 65536


class SocketDatagramEndpoint(asyncio.DatagramProtocol):
    """One bound UDP socket, read by the event loop and written to directly.

    Sending bypasses asyncio's transport: that one queues what the kernel cannot take at once,
    and would send a queued datagram with another one's TTL.
    """

    def __init__(self, sock: socket.socket, receiver: DatagramReceiver, scopes: Scopes) -> None:
        self._sock = sock
        self._receiver = receiver
        self._scopes = scopes
        self._local = scopes.from_socket(sock.getsockname())
        self._reports_errors = errqueue.enable(sock, ipv6=sock.family == socket.AF_INET6)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.BaseTransport | None = None
        self._reading: asyncio.Task[None] | None = None
        self._closed = False
        self._hops = (
            (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)
            if sock.family == socket.AF_INET6
            else (socket.IPPROTO_IP, socket.IP_TTL)
        )
        self._default_ttl = sock.getsockopt(*self._hops)

    async def start(self) -> None:
        """Begin to read."""
        if LOOP_STOPS_ON_ERRORS:
            self._reading = self._loop.create_task(self._read())
            self._reading.add_done_callback(lambda _: self._sock.close())
        else:
            await self._loop.create_datagram_endpoint(lambda: self, sock=self._sock)

    @property
    def local(self) -> TransportAddress:
        """The address it is bound to."""
        return self._local

    def send(self, data: bytes, destination: TransportAddress, *, ttl: int | None = None) -> None:
        """Send one datagram, or drop it as a network would: never blocks, never raises."""
        if self._closed:
            return
        if ttl is None:
            self._send(data, destination)
        elif self._set_ttl(ttl):
            self._send(data, destination)
            self._set_ttl(self._default_ttl)

    def close(self) -> None:
        """Release the socket. Closing twice is harmless."""
        self._closed = True
        if self._transport is not None:
            self._transport.close()
        if self._reading is not None:
            self._reading.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio: reading has begun."""
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """Asyncio: a datagram came in."""
        self._receiver.datagram_received(data, self._scopes.from_socket(addr))

    def error_received(self, exc: Exception) -> None:
        """Asyncio: the socket failed, which for UDP means that an ICMP error came in."""
        if self._reports_errors:
            self._report(list(errqueue.drain(self._sock, self._scopes)))
        elif isinstance(exc, ConnectionError):  # port unreachable; the system says no more
            kind, code = (1, 4) if self._sock.family == socket.AF_INET6 else (3, 3)
            self._report([IcmpError(kind, code, None, None)])

    async def _read(self) -> None:
        """Read until closed, whatever errors come in between."""
        with contextlib.suppress(asyncio.CancelledError):
            while not self._closed:
                try:
                    data, addr = await self._loop.sock_recvfrom(self._sock, _LARGEST_DATAGRAM)
                except OSError as error:
                    self.error_received(error)
                    await asyncio.sleep(0)
                else:
                    self.datagram_received(data, addr)

    def _send(self, data: bytes, destination: TransportAddress) -> None:
        if self._sent(data, destination) or not self._reports_errors:
            return
        # The failure may be an earlier datagram's ICMP error: hear it, then try this one again.
        errors = list(errqueue.drain(self._sock, self._scopes))
        if errors:
            self._loop.call_soon(self._report, errors)  # not from inside the caller's send
            self._sent(data, destination)

    def _sent(self, data: bytes, destination: TransportAddress) -> bool:
        """Hand the datagram to the kernel; False where it failed with an error of any kind."""
        try:
            self._sock.sendto(data, self._scopes.to_socket(destination))
        except BlockingIOError:  # the send buffer is full: dropped, as on any busy link
            return True
        except (OSError, OverflowError):
            return False
        return True

    def _set_ttl(self, ttl: int) -> bool:
        try:
            self._sock.setsockopt(*self._hops, ttl)
        except OSError:
            return False
        return True

    def _report(self, errors: list[IcmpError]) -> None:
        for error in errors:
            if not self._closed:
                self._receiver.error_received(error)
