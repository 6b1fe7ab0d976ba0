"""Candidates as values, and as the text that signalling carries (RFC 8839 §5.1, RFC 6544 §4.5).

    foundation component transport priority address port "typ" type
        ["raddr" address "rport" port] *(name value)

What is not understood is kept and given on: "network-cost", "ufrag" and the like.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from natkit.errors import MalformedMessage
from natkit.machine import Instant, Seconds
from natkit.wire import TransportAddress

_RFC = "RFC 8839 §5.1"
_COMPONENTS = range(1, 257)  # RFC 8839 §5.1; the priority has room for no more
_PRIORITIES = range(2**32)
_PORTS = range(65536)
_MOST_BYTES = 2048
"""Candidates come from strangers; no honest one is a fifth as long."""


class CandidateType(StrEnum):
    """What kind of address a candidate is; the value is SDP's word."""

    HOST = "host"
    PEER_REFLEXIVE = "prflx"
    SERVER_REFLEXIVE = "srflx"
    RELAYED = "relay"


class TcpType(StrEnum):
    """Which side of a TCP candidate opens the connection (RFC 6544 §3); the value is SDP's word."""

    ACTIVE = "active"
    """The one that has it."""
    PASSIVE = "passive"
    """The other one."""
    SIMULTANEOUS_OPEN = "so"
    """Both at once, each from the port that it told the other."""


_OPPOSITES: dict[str | None, TcpType] = {
    TcpType.ACTIVE: TcpType.PASSIVE,
    TcpType.PASSIVE: TcpType.ACTIVE,
    TcpType.SIMULTANEOUS_OPEN: TcpType.SIMULTANEOUS_OPEN,
}

DISCARD_PORT = 9
"""What an active candidate tells for its port: each of its connections has another one (§4.5)."""


class MalformedCandidate(MalformedMessage, ValueError):
    """A text that is no candidate."""


@dataclass(frozen=True, slots=True, repr=False)
class Candidate:
    """A candidate as both sides know it.

    Attributes:
        foundation: 1 .. 32 characters, equal for candidates that share their fate.
        component:  1 .. 256; 1 is RTP or all there is, 2 is RTCP.
        transport:  "udp" or "tcp", as it came.
        priority:   0 .. 2**32-1, the higher the better.
        host:       an IP address, or a name that ends in ".local".
        type:       a `CandidateType`; what came in may be another one, which is of no use.
        related_address, related_port: the base of a reflexive, the mapped address of a relayed one.
        tcptype:    "active", "passive" or "so": which side opens the connection (RFC 6544 §4.5).
        generation: counts ICE restarts, where whoever sent it does.
        extensions: what else was said, in order.
    """

    foundation: str
    component: int
    transport: str
    priority: int
    host: str
    port: int
    type: str
    related_address: str | None = None
    related_port: int | None = None
    tcptype: str | None = None
    generation: int | None = None
    extensions: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_sdp(cls, sdp: str) -> Candidate:
        """Read the text of a candidate, with or without "candidate:" before it.

        Raises: MalformedCandidate (a ValueError): it is none.
        """
        if len(sdp) > _MOST_BYTES:
            raise MalformedCandidate("candidate", _RFC, f"{len(sdp)} characters")
        words = sdp.strip().removeprefix("a=").removeprefix("candidate:").split()
        if len(words) < 8 or words[6] != "typ":
            raise MalformedCandidate("candidate", _RFC, "SDP does not have enough properties")
        foundation, component, transport, priority, host, port, _, kind = words[:8]
        if not (host.isascii() and host.isprintable()):  # people are shown it
            raise MalformedCandidate(
                "address", _RFC, f"{host!r} has characters that no address has"
            )
        base = cls(
            foundation,
            _number(component, "component", _COMPONENTS),
            transport,
            _number(priority, "priority", _PRIORITIES),
            host,
            _number(port, "port", _PORTS),
            kind,
        )
        return base._with(list(zip(words[8::2], words[9::2], strict=False)))

    def _with(self, said: list[tuple[str, str]]) -> Candidate:
        known = {"raddr", "rport", "tcptype", "generation"}
        first = dict(reversed(said))
        rport, generation = first.get("rport"), first.get("generation")
        return replace(
            self,
            related_address=first.get("raddr"),
            related_port=None if rport is None else _number(rport, "rport", _PORTS),
            tcptype=first.get("tcptype"),
            generation=None
            if generation is None
            else _number(generation, "generation", _PRIORITIES),
            extensions=tuple((name, value) for name, value in said if name not in known),
        )

    def to_sdp(self) -> str:
        """Return the text, without "candidate:"."""
        return " ".join(self._words())

    def _words(self) -> Iterator[str]:
        yield from (self.foundation, str(self.component), self.transport, str(self.priority))
        yield from (self.host, str(self.port), "typ", str(self.type))
        named = {
            "raddr": self.related_address,
            "rport": self.related_port,
            "tcptype": self.tcptype,
            "generation": self.generation,
        }
        for name, value in (*named.items(), *self.extensions):
            if value is not None:
                yield from (name, str(value))

    @property
    def address(self) -> TransportAddress | None:
        """Where it is, the IP in canonical form; None: a name stands for it."""
        try:
            return TransportAddress(str(ipaddress.ip_address(self.host)), self.port)
        except ValueError:
            return None

    @property
    def is_name(self) -> bool:
        """True for an address that is hidden behind an mDNS name."""
        return self.host.lower().endswith(".local")

    @property
    def is_relayed(self) -> bool:
        """True when a relay stands at this address."""
        return self.type == CandidateType.RELAYED

    @property
    def opposite(self) -> TcpType | None:
        """What a candidate over TCP pairs with (RFC 6544 §6.2); None: nothing, or it is none."""
        return _OPPOSITES.get(self.tcptype)

    @property
    def is_tcp(self) -> bool:
        """True when packets go over a TCP connection."""
        return self.transport.lower() == "tcp"

    def can_pair_with(self, other: Candidate) -> bool:
        """Tell whether component, transport and IP version are the same (RFC 8445 §6.1.2.2)."""
        ours, theirs = self.address, other.address
        return (
            self.component == other.component
            and self.transport.lower() == other.transport.lower()
            and ours is not None
            and theirs is not None
            and ours.is_ipv6 == theirs.is_ipv6
        )

    def __repr__(self) -> str:
        return f"Candidate({self.to_sdp()})"

    def __str__(self) -> str:
        where = TransportAddress(self.host, self.port)
        if self.transport.lower() == "udp":
            return f"{self.type} {where}"
        return f"{self.type} {where} {self.transport.upper()} {self.tcptype or ''}".rstrip()


@dataclass(frozen=True, slots=True)
class Origin:
    """How a candidate of ours was found.

    Attributes:
        at:         when.
        interface:  the interface of its base, where that is known.
        server:     who told it; None: nobody had to.
        round_trip: seconds the server took; None: nobody was asked, or more than once.
    """

    at: Instant
    interface: str | None = None
    server: str | None = None
    round_trip: Seconds | None = None


@dataclass(frozen=True, slots=True)
class Local:
    """A candidate of ours with what the peer is not told.

    Attributes: base: where packets that leave from it really leave from; names the endpoint.
    """

    candidate: Candidate
    base: TransportAddress
    origin: Origin


@dataclass(slots=True)
class Remote:
    """A candidate of the peer's.

    Attributes:
        candidate: as signalled; a peer-reflexive one is replaced when it is signalled later.
        address:   where it is, also when a name hides it.
        since:     when it became known.
        relayed:   a relay of the peer's is at this IP. A peer-reflexive candidate may be one, where
                   a NAT of ours has given what comes from it another port.
    """

    candidate: Candidate
    address: TransportAddress
    since: Instant
    relayed: bool = False


def _number(text: str, what: str, allowed: range) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20) or int(text) not in allowed:
        raise MalformedCandidate(what, _RFC, f"{text!r} is not in {allowed[0]} .. {allowed[-1]}")
    return int(text)
