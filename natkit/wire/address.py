"""Transport addresses as values: an IP in canonical text form and a port."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import NamedTuple

from natkit.errors import MalformedMessage


class TransportAddress(NamedTuple):
    """An IP address and a port.

    Attributes:
        ip:   canonical text form ("192.0.2.1", "2001:db8::1"), so that equal addresses compare
              equal; an IPv6 link-local one may carry a scope ("fe80::1%eth0").
        port: 0 .. 65535.
    """

    ip: str
    port: int

    @property
    def is_ipv6(self) -> bool:
        """True for an IPv6 address."""
        return ":" in self.ip

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


def ip_text(packed: bytes) -> str:
    """Return the canonical text of 4 or 16 address bytes.

    Raises: MalformedMessage: neither 4 nor 16 bytes.
    """
    if len(packed) == 4:
        return "%d.%d.%d.%d" % tuple(packed)  # noqa: UP031 - a third faster than an f-string here
    if len(packed) == 16:
        return str(ipaddress.IPv6Address(packed))
    raise MalformedMessage("address", "RFC 8489 §14.1", f"{len(packed)} bytes")


@lru_cache(maxsize=1024)
def ip_bytes(ip: str) -> bytes:
    """Return the 4 or 16 bytes of an IP in text form; a scope id is left out.

    Raises: ValueError: not an IP address.
    """
    numbers = ip.split(".")
    if len(numbers) == 4:
        try:
            packed = bytes(map(int, numbers))
        except ValueError:
            packed = bytes(4)  # what ipaddress says about it is the error
        if "%d.%d.%d.%d" % tuple(packed) == ip:  # noqa: UP031 - as above
            return packed  # in half of the time that ipaddress takes
    return ipaddress.ip_address(ip.partition("%")[0]).packed
