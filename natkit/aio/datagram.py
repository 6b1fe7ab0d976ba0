"""A UDP socket behind the `DatagramEndpoint` seam."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys

from natkit.aio import errqueue
from natkit.aio.sockaddr import Scopes
from natkit.network import DatagramReceiver, IcmpError
from natkit.wire import TransportAddress

LOOP_HAS_NO_READERS = sys.platform == "win32"
"""The proactor loop watches no sockets, and its datagram transport, before Python 3.12.4, never
reads again after one "port unreachable"; so on Windows a task of our own reads."""

_LARGEST_DATAGRAM = 65536
"""Bytes: one more than a UDP header can tell of (RFC 768)."""


class SocketDatagramEndpoint:
    """One bound UDP socket, read and written to directly.

    asyncio's transport would read into a buffer so large that the kernel maps new memory for every
    datagram, which takes longer than all else. It also queues what the kernel cannot take at once,
    and would send a queued datagram with another one's TTL.
    """

    def __init__(self, sock: socket.socket, receiver: DatagramReceiver, scopes: Scopes) -> None:
        self._sock = sock
        self._receiver = receiver
        self._scopes = scopes
        self._local = scopes.from_socket(sock.getsockname())
        self._reports_errors = errqueue.enable(sock, ipv6=sock.family == socket.AF_INET6)
        self._loop = asyncio.get_running_loop()
        self._reading: asyncio.Task[None] | None = None
        self._closed = False
        self._hops = (
            (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)
            if sock.family == socket.AF_INET6
            else (socket.IPPROTO_IP, socket.IP_TTL)
        )
        self._default_ttl = sock.getsockopt(*self._hops)

    def start(self) -> None:
        """Begin to read."""
        if LOOP_HAS_NO_READERS:
            self._reading = self._loop.create_task(self._read())
            self._reading.add_done_callback(lambda _: self._sock.close())
        else:
            self._loop.add_reader(self._sock, self._readable)

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
        if self._closed:
            return
        self._closed = True
        if self._reading is not None:
            self._reading.cancel()
        else:
            self._loop.remove_reader(self._sock)
            self._sock.close()

    def _readable(self) -> None:
        try:
            data, addr = self._sock.recvfrom(_LARGEST_DATAGRAM)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._failed(error)
        else:
            self._receiver.datagram_received(data, self._scopes.from_socket(addr))

    def _failed(self, error: OSError) -> None:
        """Hear why the socket failed, which for UDP means that an ICMP error came in."""
        if self._reports_errors:
            self._report(list(errqueue.drain(self._sock, self._scopes)))
        elif isinstance(error, ConnectionError):  # port unreachable; the system says no more
            kind, code = (1, 4) if self._sock.family == socket.AF_INET6 else (3, 3)
            self._report([IcmpError(kind, code, None, None)])

    async def _read(self) -> None:
        """Read until closed, whatever errors come in between."""
        with contextlib.suppress(asyncio.CancelledError):
            while not self._closed:
                try:
                    data, addr = await self._loop.sock_recvfrom(self._sock, _LARGEST_DATAGRAM)
                except OSError as error:
                    self._failed(error)
                    await asyncio.sleep(0)
                else:
                    self._receiver.datagram_received(data, self._scopes.from_socket(addr))

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
