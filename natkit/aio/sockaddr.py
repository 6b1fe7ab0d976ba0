"""Transport addresses as the socket module writes them, and back."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

from natkit.network import Family
from natkit.wire import TransportAddress

SocketAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int]


def address_family(family: Family) -> socket.AddressFamily:
    """Return the socket module's name for an IP version."""
    return socket.AF_INET6 if family is Family.IPV6 else socket.AF_INET


def wildcard(family: Family) -> TransportAddress:
    """Return the address that binds every local address of `family`, on a port of its choice."""
    return TransportAddress("::" if family is Family.IPV6 else "0.0.0.0", 0)


@lru_cache(maxsize=4096)
def canonical_ip(text: str) -> str:
    """Return an IP literal in its one canonical spelling, scope kept. Raises: ValueError."""
    ip, percent, scope = text.partition("%")
    return f"{ipaddress.ip_address(ip)}{percent}{scope}"


class Scopes:
    """Names of network interfaces as the kernel numbers them.

    Interfaces belong to a network namespace, so every look-up goes through `run`, which calls
    it in a thread that lives in the right one.
    """

    def __init__(self, run: Callable[[Callable[[], Any]], Any]) -> None:
        self._run = run
        self._names: dict[int, str] = {}

    def index(self, scope: str) -> int:
        """Return the number of interface `scope` ("eth0" or "2"); 0: there is none."""
        if scope.isdigit():
            return int(scope)
        try:
            return int(self._run(lambda: socket.if_nametoindex(scope)))
        except OSError:
            return 0

    def name(self, index: int) -> str:
        """Return the name of interface number `index`, or the number where it has none."""
        if index not in self._names:
            try:
                self._names[index] = str(self._run(lambda: socket.if_indextoname(index)))
            except OSError:
                self._names[index] = str(index)
        return self._names[index]

    def to_socket(self, address: TransportAddress) -> SocketAddress:
        """Return what `bind`, `connect` and `sendto` take. The scope moves to its own field."""
        ip, _, scope = address.ip.partition("%")
        if scope:
            return (ip, address.port, 0, self.index(scope))
        return (ip, address.port)

    def from_socket(self, address: tuple[Any, ...]) -> TransportAddress:
        """Return what `recvfrom` and `getsockname` gave, in canonical form."""
        ip = str(address[0])
        if ":" in ip:
            ip = canonical_ip(ip.partition("%")[0])
            if len(address) == 4 and address[3]:
                ip = f"{ip}%{self.name(address[3])}"
        return TransportAddress(ip, address[1])
