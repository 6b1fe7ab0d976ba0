"""Which addresses mean something on the internet, and which only near their owner."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import TypeVar

from natkit.wire import TransportAddress

Server = TypeVar("Server")

CARRIER_GRADE = ipaddress.ip_network("100.64.0.0/10")
"""Shared address space between a carrier and its customers (RFC 6598)."""


def other_address_fault(primary: TransportAddress, other: TransportAddress) -> str:
    """Say why an announced OTHER-ADDRESS cannot be used; empty when it can.

    RFC 5780 §7.4 wants both the IP and the port to differ from the primary ones.
    """
    if other.ip == primary.ip or other.port == primary.port:
        return f"its OTHER-ADDRESS {other} does not differ in both address and port"
    if other.is_ipv6 != primary.is_ipv6:
        return f"its OTHER-ADDRESS {other} is of another IP version"
    if is_local(other.ip) and not is_local(primary.ip):
        return f"its OTHER-ADDRESS {other} is private: nobody outside its network can reach it"
    if other.port == 0:
        return f"its OTHER-ADDRESS {other} has no port"
    return ""


def from_outside(
    seen: Sequence[tuple[Server, TransportAddress]],
) -> Sequence[tuple[Server, TransportAddress]]:
    """Leave out servers on our side of the NAT, unless there are no others.

    Args: seen: each server with where it saw us; one that saw a private address stands inside.
    """
    return [(server, at) for server, at in seen if not is_local(at.ip)] or seen


def is_local(ip: str) -> bool:
    """True for an address that means something only near its owner.

    Private (RFC 1918, RFC 4193), shared (RFC 6598), loopback, link-local or unspecified ones;
    documentation addresses count as public, since labs are built from them.
    """
    address = ipaddress.ip_address(ip.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        unique_local = address in ipaddress.ip_network("fc00::/7")
    else:
        private = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
        unique_local = address in CARRIER_GRADE or any(
            address in ipaddress.ip_network(prefix) for prefix in private
        )
    return unique_local or address.is_loopback or address.is_link_local or address.is_unspecified
