"""The attributes of TURN (RFC 8656 §18) and of mobility with TURN (RFC 8016 §3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Self

from natkit.wire.attributes.base import Attribute, attribute
from natkit.wire.attributes.shapes import (
    TEXT_LIMIT,
    Fixed,
    Flag,
    Octets,
    Scalar,
    XorAddress,
    joined_code,
    limited,
    sized,
    split_code,
)
from natkit.wire.cursor import Cursor

_EVEN_PORT_RESERVE = 0x80


@attribute
@dataclass(frozen=True, slots=True)
class ChannelNumber(Scalar):
    """The channel to bind.

    |        Channel Number         |         RFFU = 0              |
    """

    TYPE = 0x000C
    NAME = "CHANNEL-NUMBER"
    RFC = "RFC 8656 §18.1"
    SIZE = 4
    LAYOUT = Struct("!Hxx")

    number: int

    def encode(self) -> bytes:
        return self.LAYOUT.pack(self.number)


@attribute
@dataclass(frozen=True, slots=True)
class Lifetime(Scalar):
    """How long an allocation lives without a refresh, in seconds; 0 deletes it.

    |                     Seconds (32 bits)                         |
    """

    TYPE = 0x000D
    NAME = "LIFETIME"
    RFC = "RFC 8656 §18.2"
    SIZE = 4
    LAYOUT = Struct("!I")

    seconds: int

    def encode(self) -> bytes:
        return self.LAYOUT.pack(self.seconds)


@attribute
class XorPeerAddress(XorAddress):
    """The peer as the server sees it."""

    __slots__ = ()
    TYPE = 0x0012
    NAME = "XOR-PEER-ADDRESS"
    RFC = "RFC 8656 §18.3"


@attribute
class Data(Octets):
    """What goes to the peer or came from it; may be empty."""

    __slots__ = ()
    TYPE = 0x0013
    NAME = "DATA"
    RFC = "RFC 8656 §18.4"


@attribute
class XorRelayedAddress(XorAddress):
    """The allocation's address on the server, where peers send to."""

    __slots__ = ()
    TYPE = 0x0016
    NAME = "XOR-RELAYED-ADDRESS"
    RFC = "RFC 8656 §18.5"


@dataclass(frozen=True, slots=True)
class _AddressFamily(Scalar):
    SIZE = 4
    LAYOUT = Struct("!Bxxx")

    family: int

    def encode(self) -> bytes:
        return self.LAYOUT.pack(self.family)


@attribute
class RequestedAddressFamily(_AddressFamily):
    """The address family wanted on the relay: 1 IPv4, 2 IPv6; others are answered by error 440.

    |     Family    |            Reserved                           |
    """

    __slots__ = ()
    TYPE = 0x0017
    NAME = "REQUESTED-ADDRESS-FAMILY"
    RFC = "RFC 8656 §18.6"


@attribute
@dataclass(frozen=True, slots=True)
class EvenPort(Fixed):
    """Asks for an even relayed port, and with `reserve` for the next one to be kept.

    |R|    RFFU     |
    """

    TYPE = 0x0018
    NAME = "EVEN-PORT"
    RFC = "RFC 8656 §18.7"
    LAYOUT = Struct("!B")

    reserve: bool

    @classmethod
    def decode(cls, value: bytes) -> Self:
        (flags,) = cls.fields(value)
        return cls(bool(flags & _EVEN_PORT_RESERVE))

    def encode(self) -> bytes:
        return self.LAYOUT.pack(_EVEN_PORT_RESERVE * self.reserve)


@attribute
@dataclass(frozen=True, slots=True)
class RequestedTransport(Scalar):
    """What the relay speaks with peers: an IP protocol number, 17 UDP or 6 TCP.

    |    Protocol   |                    RFFU                       |
    """

    TYPE = 0x0019
    NAME = "REQUESTED-TRANSPORT"
    RFC = "RFC 8656 §18.8"
    SIZE = 4
    LAYOUT = Struct("!Bxxx")

    protocol: int

    def encode(self) -> bytes:
        return self.LAYOUT.pack(self.protocol)


@attribute
class DontFragment(Flag):
    """Asks the server to set DF on what it sends to the peer."""

    __slots__ = ()
    TYPE = 0x001A
    NAME = "DONT-FRAGMENT"
    RFC = "RFC 8656 §18.9"


@attribute
@dataclass(frozen=True, slots=True)
class ReservationToken(Scalar):
    """Names a port that EVEN-PORT made the server keep.

    |                     Token (64 bits)                           |
    |                                                               |
    """

    TYPE = 0x0022
    NAME = "RESERVATION-TOKEN"
    RFC = "RFC 8656 §18.10"
    SIZE = 8
    LAYOUT = Struct("!8s")

    token: bytes

    def encode(self) -> bytes:
        return sized(self.token, 8, self.NAME)


@attribute
class AdditionalAddressFamily(_AddressFamily):
    """Asks for a second relayed address of this family, which is always IPv6 (2).

    |     Family    |            Reserved                           |
    """

    __slots__ = ()
    TYPE = 0x8000
    NAME = "ADDITIONAL-ADDRESS-FAMILY"
    RFC = "RFC 8656 §18.11"


@attribute
@dataclass(frozen=True, slots=True)
class AddressErrorCode(Attribute):
    """Why one of two address families could not be allocated.

        |  Family       |    Reserved             |Class|     Number    |
        |      Reason Phrase (variable)                                ..

    Attributes:
        family: 1 IPv4, 2 IPv6.
        code:   300 .. 699.
        reason: for people.
    """

    TYPE = 0x8001
    NAME = "ADDRESS-ERROR-CODE"
    RFC = "RFC 8656 §18.12"
    LAYOUT = Struct("!BxBB")

    family: int
    code: int
    reason: str = ""

    @classmethod
    def decode(cls, value: bytes) -> Self:
        cursor = Cursor(value, cls.RFC)
        family, hundreds, number = cursor.unpack(cls.LAYOUT, cls.NAME)
        code = joined_code(hundreds, number, cls)
        return cls(family, code, cursor.rest().decode(errors="replace"))

    def encode(self) -> bytes:
        reason = limited(self.reason.encode(), TEXT_LIMIT, self.NAME)
        return self.LAYOUT.pack(self.family, *split_code(self.code, self.NAME)) + reason


@attribute
@dataclass(frozen=True, slots=True)
class Icmp(Fixed):
    """An ICMP error that came back for something relayed to a peer.

    |            Reserved           |  ICMP Type  |    ICMP Code    |
    |                          Error Data                           |

    Type takes 7 bits, Code 9.

    Attributes:
        kind: ICMP or ICMPv6 type.
        code: ICMP or ICMPv6 code.
        data: for "packet too big" the MTU in its last two (IPv4) or all four (IPv6) bytes.
    """

    TYPE = 0x8004
    NAME = "ICMP"
    RFC = "RFC 8656 §18.13"
    LAYOUT = Struct("!xxH4s")

    kind: int
    code: int
    data: bytes = bytes(4)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        kind_and_code, data = cls.fields(value)
        return cls(kind_and_code >> 9, kind_and_code & 0x1FF, data)

    def encode(self) -> bytes:
        if not 0 <= self.code <= 0x1FF:
            raise ValueError(f"ICMP code {self.code} takes more than 9 bits")
        return self.LAYOUT.pack(self.kind << 9 | self.code, sized(self.data, 4, self.NAME))


@attribute
class MobilityTicket(Octets):
    """Keeps an allocation over a change of the client's address; empty when asking for one."""

    __slots__ = ()
    TYPE = 0x8030
    NAME = "MOBILITY-TICKET"
    RFC = "RFC 8016 §3.3"
