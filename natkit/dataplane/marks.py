"""The mark of a datagram: the byte of its IP header that holds DSCP and ECN, 0 .. 255.

RFC 8656 §14 has a relay copy it (and §13.1, §13.3 between the IP versions). The system tells it
beside each datagram and takes it beside each datagram, which sockets' own settings could not do: a
listener serves many clients, and one client sends sound and pictures with different marks.
0, which is what nearly all have and what sockets send by themselves, is sent in the cheaper way.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from struct import pack
from typing import Any, TypeAlias

Buffer: TypeAlias = bytes | memoryview

Ancillary: TypeAlias = list[tuple[int, int, bytes]]

Receive: TypeAlias = Callable[[int, int], tuple[bytes, Ancillary, int, Any]]
"""`socket.recvmsg`, or what stands in for it."""

if sys.platform == "linux":
    ROOM = socket.CMSG_SPACE(4)
    """Bytes that the mark of a received datagram takes."""

    FIRST = 0 if sys.byteorder == "little" else -1
    """Where the mark is in what comes beside a datagram: IPv4 tells one byte, IPv6 an int."""

    BEFORE = socket.CMSG_LEN(0)
    """Bytes before that, in what comes beside it: the header of the ancillary data."""

    _MARKED = {
        socket.AF_INET: tuple(
            [(socket.IPPROTO_IP, socket.IP_TOS, pack("i", mark))] for mark in range(256)
        ),
        socket.AF_INET6: tuple(
            [(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, pack("i", mark))] for mark in range(256)
        ),
    }

    def marked_receive(sock: socket.socket, *, ipv6: bool) -> Receive:
        """Have the system tell the marks of what `sock` receives; returns what receives it."""
        if ipv6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        return sock.recvmsg

    def send_marked(sock: socket.socket, data: Buffer, remote: Any, mark: int) -> None:
        """Send one datagram with this mark. Raises: OSError."""
        sock.sendmsg((data,), _MARKED[sock.family][mark], 0, remote)

else:
    ROOM = FIRST = BEFORE = 0

    def marked_receive(sock: socket.socket, *, ipv6: bool) -> Receive:  # noqa: ARG001 - as above
        """Return what receives from `sock`, all with the mark 0."""

        def receive(size: int, _: int) -> tuple[bytes, Ancillary, int, Any]:
            data, source = sock.recvfrom(size)
            return data, [], 0, source

        return receive

    def send_marked(sock: socket.socket, data: Buffer, remote: Any, _: int) -> None:
        """Send one datagram; marks are not copied here. Raises: OSError."""
        sock.sendto(data, remote)
