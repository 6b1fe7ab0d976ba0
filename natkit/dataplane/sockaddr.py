"""Addresses as `recvfrom` gives them, which are the keys of the tables.

Scopes of IPv6 link-local addresses are kept by number: they never leave this machine.
"""

from __future__ import annotations

import ipaddress
import socket
from functools import lru_cache
from struct import Struct
from typing import Any

from natkit.wire import TransportAddress

_IPV4 = Struct("=H2s4s8x")
_IPV6 = Struct("=H2s4x16sI")
"""struct sockaddr_in and sockaddr_in6 of Linux."""

_as_pair = tuple.__new__
"""Makes a named tuple of a tuple; its own way to be made is a function in Python."""


def from_socket(source: Any) -> TransportAddress:
    """Return what `recvfrom` or `getsockname` gave, in canonical form."""
    if len(source) == 2:
        return _as_pair(TransportAddress, source)
    ip, port, _, scope = source
    text = _canonical(ip)
    return TransportAddress(f"{text}%{scope}" if scope else text, port)


def to_socket(address: TransportAddress) -> Any:
    """Return exactly what `recvfrom` would give for packets from `address`."""
    if ":" not in address.ip:
        return address  # a pair already
    ip, _, scope = address.ip.partition("%")
    text = socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, ip))
    return (text, address.port, 0, int(scope or 0))


def to_packed(address: Any) -> bytes:
    """Return what the socket module writes as `address` as the system writes it (sockaddr)."""
    ip, port = address[:2]
    if len(address) == 2:
        return _IPV4.pack(socket.AF_INET, port.to_bytes(2, "big"), socket.inet_aton(ip))
    packed = socket.inet_pton(socket.AF_INET6, ip)
    return _IPV6.pack(socket.AF_INET6, port.to_bytes(2, "big"), packed, address[3])


def from_packed(name: bytes) -> Any:
    """Return a sockaddr as the socket module writes it."""
    if len(name) == _IPV4.size:
        _, port, packed = _IPV4.unpack(name)
        return socket.inet_ntoa(packed), int.from_bytes(port, "big")
    _, port, packed, scope = _IPV6.unpack(name)
    return socket.inet_ntop(socket.AF_INET6, packed), int.from_bytes(port, "big"), 0, scope


@lru_cache(maxsize=4096)
def _canonical(ip: str) -> str:
    return str(ipaddress.IPv6Address(ip.partition("%")[0]))
