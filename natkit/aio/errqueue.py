"""Linux's error queue: which ICMP error came back for which datagram, and from whom.

Without it an unconnected UDP socket hears nothing of ICMP errors. With it (IP_RECVERR) there are
two duties: the kernel fails the *next* send or receive with the old error, which says nothing
about that next datagram; and the socket stays readable until the queue has been emptied.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator

from natkit.aio.sockaddr import Scopes
from natkit.network import IcmpError
from natkit.wire.address import ip_text

_IP_RECVERR = 11  # linux/in.h; Python names neither of the two
_IPV6_RECVERR = 25  # linux/in6.h
_ORIGIN_ICMP = 2  # linux/errqueue.h
_ORIGIN_ICMP6 = 3
_WITH_MTU = {(_ORIGIN_ICMP, 3, 4), (_ORIGIN_ICMP6, 2, 0)}
"""Origin, type and code of the errors that tell an MTU (RFC 1191 §4, RFC 4443 §3.2)."""
_EXTENDED_ERROR = struct.Struct("=IBBBBII")  # struct sock_extended_err
_LARGEST_ANCILLARY = 512
"""Bytes: an error and its offender are 60 (ip(7)), and sockets may be told more of a datagram."""

_OFFENDER_OFFSET = {socket.AF_INET: (4, 4), socket.AF_INET6: (8, 16)}
"""Where in a sockaddr its IP begins, and how many bytes it has (netinet/in.h)."""


def enable(sock: socket.socket, *, ipv6: bool) -> bool:
    """Ask the kernel to keep ICMP errors for `sock`. Returns False where it cannot."""
    if sys.platform != "linux":
        return False
    if ipv6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
    return True


def drain(sock: socket.socket, scopes: Scopes) -> Iterator[IcmpError]:
    """Empty the error queue of `sock`, a non-blocking socket, giving the ICMP errors in it."""
    if sys.platform != "linux":
        return
    while True:
        try:
            _, ancillary, _, destination = sock.recvmsg(0, _LARGEST_ANCILLARY, socket.MSG_ERRQUEUE)
        except OSError:  # empty, or closed meanwhile
            return
        for _, _, data in ancillary:
            error = _parse(bytes(data), scopes, destination)
            if error is not None:
                yield error


def _parse(data: bytes, scopes: Scopes, destination: tuple[object, ...]) -> IcmpError | None:
    """Read one `sock_extended_err` and the offender's sockaddr behind it.

    Returns None for errors that this host made up itself (EMSGSIZE, no route).
    """
    if len(data) < _EXTENDED_ERROR.size:
        return None
    _, origin, kind, code, _, info, _ = _EXTENDED_ERROR.unpack_from(data)
    if origin not in (_ORIGIN_ICMP, _ORIGIN_ICMP6):
        return None
    to = scopes.from_socket(destination) if destination else None
    mtu = info if info and (origin, kind, code) in _WITH_MTU else None
    return IcmpError(kind, code, to, _offender(data[_EXTENDED_ERROR.size :]), mtu)


def _offender(sockaddr: bytes) -> str | None:
    """Return the IP in a kernel sockaddr; None where the kernel left it out (AF_UNSPEC)."""
    if len(sockaddr) < 2:
        return None
    offset, size = _OFFENDER_OFFSET.get(struct.unpack_from("=H", sockaddr)[0], (0, 0))
    packed = sockaddr[offset : offset + size]
    return ip_text(packed) if size and len(packed) == size else None
