"""What travels in the simulated internet: UDP datagrams, TCP segments and ICMP errors."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from natkit.wire import TransportAddress

DEFAULT_TTL = 64

UNREACHABLE_PORT = {False: (3, 3), True: (1, 4)}
"""ICMP type and code by "is IPv6" (RFC 792, RFC 4443 §3.1)."""
TIME_EXCEEDED = {False: (11, 0), True: (3, 0)}
"""ICMP type and code by "is IPv6" (RFC 792, RFC 4443 §3.3)."""


class Proto(StrEnum):
    """What a packet carries. NATs keep one table for each of UDP and TCP."""

    UDP = "udp"
    TCP = "tcp"
    ICMP = "icmp"


class Flags(StrEnum):
    """What a TCP segment says besides its bytes."""

    SYN = "SYN"
    SYN_ACK = "SYN-ACK"
    ACK = "ACK"
    FIN = "FIN"
    RST = "RST"


class TcpHeader(NamedTuple):
    """The TCP header, as far as it is simulated. Numbers count bytes from 0 on each side."""

    flags: Flags
    sequence: int = 0
    acknowledged: int = 0


class Quote(NamedTuple):
    """What an ICMP error says, and about which packet (as its reporter saw that packet)."""

    kind: int
    code: int
    proto: Proto
    src: TransportAddress
    dst: TransportAddress


class Packet(NamedTuple):
    """An IP packet. An ICMP error has a `quote`, port 0 at both ends, and no data."""

    proto: Proto
    src: TransportAddress
    dst: TransportAddress
    data: bytes = b""
    ttl: int = DEFAULT_TTL
    tcp: TcpHeader | None = None
    quote: Quote | None = None

    @property
    def size(self) -> int:
        """Bytes on the wire: data, IP header, and 8 or 20 of transport header."""
        header = 40 if ":" in self.dst.ip else 20
        return len(self.data) + header + (20 if self.proto is Proto.TCP else 8)

    def between(self, src: TransportAddress, dst: TransportAddress) -> Packet:
        """Return the packet with other ends, as a NAT changes it."""
        return Packet(self.proto, src, dst, self.data, self.ttl, self.tcp, self.quote)

    def aged(self) -> Packet:
        """Return the packet after one router."""
        return self._replace(ttl=self.ttl - 1)


def icmp_error(about: Packet, kind: int, code: int, reporter: str) -> Packet | None:
    """Return the error that the node `reporter` sends to the source of `about`.

    Returns None for a packet that is an error itself (RFC 1122 §3.2.2).
    """
    if about.quote is not None:
        return None
    quote = Quote(kind, code, about.proto, about.src, about.dst)
    ends = TransportAddress(reporter, 0), TransportAddress(about.src.ip, 0)
    return Packet(Proto.ICMP, *ends, quote=quote)
