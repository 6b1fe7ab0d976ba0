"""The Port Control Protocol (RFC 6887): its messages as frozen values, and back.

Requests are encoded, replies decoded; `answer` says whether a datagram replies to this very
request. A reply in another version is a `VersionRefused`: version 0 is how a NAT-PMP server says
that it knows nothing newer, and the moment to go on with natkit.portmap.natpmp (RFC 6887 §9).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from natkit.errors import MalformedMessage
from natkit.machine import Seconds
from natkit.wire.address import TransportAddress, ip_bytes, ip_text
from natkit.wire.cursor import Cursor

VERSION = 2
PORT = 5351
"""Where a PCP (and NAT-PMP) server listens (RFC 6887 §19.1)."""

LARGEST = 1100
"""Bytes in the longest PCP message; longer ones are to be ignored (RFC 6887 §7)."""

NONCE_SIZE = 12

ANY_IPV4 = TransportAddress("0.0.0.0", 0)
"""The suggested external address of somebody with no wishes (RFC 6887 §11.1)."""

_RESPONSE = 0x80
_MAPPED_PREFIX = bytes(10) + b"\xff\xff"


class Opcode(IntEnum):
    """What a message is about (RFC 6887 §19.2)."""

    ANNOUNCE = 0
    MAP = 1


class ResultCode(IntEnum):
    """How a request went (RFC 6887 §7.4)."""

    SUCCESS = 0
    UNSUPP_VERSION = 1
    NOT_AUTHORIZED = 2
    MALFORMED_REQUEST = 3
    UNSUPP_OPCODE = 4
    UNSUPP_OPTION = 5
    MALFORMED_OPTION = 6
    NETWORK_FAILURE = 7
    NO_RESOURCES = 8
    UNSUPP_PROTOCOL = 9
    USER_EX_QUOTA = 10
    CANNOT_PROVIDE_EXTERNAL = 11
    ADDRESS_MISMATCH = 12
    EXCESSIVE_REMOTE_PEERS = 13


class Protocol(IntEnum):
    """Transport protocols by IANA number."""

    TCP = 6
    UDP = 17


@dataclass(frozen=True, slots=True)
class VersionRefused:
    """The server answered in another version than it was asked in.

    Attributes:
        offered: the highest version it speaks; 0 is NAT-PMP.
    """

    offered: int


@dataclass(frozen=True, slots=True)
class Mapping:
    """The body of a MAP message, the same in requests and replies (RFC 6887 §11.1).

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                     Mapping nonce (96 bits)                   |
    +---------------+-----------------------------------------------+
    |   Protocol    |              Reserved (24 bits)               |
    +---------------+---------------+-------------------------------+
    |        Internal port          |        External port          |
    +-------------------------------+-------------------------------+
    |                External IP address (128 bits)                 |
    +---------------------------------------------------------------+

    Attributes:
        nonce:         12 bytes; a reply must repeat them, and only they can renew or delete.
        protocol:      IANA number.
        internal_port: of the client, 1 .. 65535.
        external:      suggested in a request (the wildcard and 0: any), assigned in a reply.
    """

    nonce: bytes
    protocol: int
    internal_port: int
    external: TransportAddress

    def encode(self) -> bytes:
        """Return the 36 bytes."""
        ports = self.internal_port.to_bytes(2, "big") + self.external.port.to_bytes(2, "big")
        return self.nonce + bytes([self.protocol, 0, 0, 0]) + ports + _wide(self.external.ip)

    @classmethod
    def read(cls, cursor: Cursor) -> Mapping:
        """Read the 36 bytes. Raises: MalformedMessage: fewer are left."""
        nonce = cursor.take(NONCE_SIZE, "mapping nonce")
        protocol = cursor.u8("protocol")
        cursor.take(3, "reserved")
        internal_port = cursor.u16("internal port")
        external_port = cursor.u16("external port")
        external_ip = _narrow(cursor.take(16, "external address"))
        return cls(nonce, protocol, internal_port, TransportAddress(external_ip, external_port))


@dataclass(frozen=True, slots=True)
class Reply:
    """A PCP response (RFC 6887 §7.2).

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +---------------+-+-------------+---------------+---------------+
    |  Version = 2  |1|   Opcode    |   Reserved    |  Result code  |
    +---------------+-+-------------+---------------+---------------+
    |                      Lifetime (32 bits)                       |
    +---------------------------------------------------------------+
    |                     Epoch time (32 bits)                      |
    +---------------------------------------------------------------+
    |                      Reserved (96 bits)                       |
    +---------------------------------------------------------------+
    |             Opcode-specific data, then options                |
    +---------------------------------------------------------------+

    Attributes:
        opcode:   as on the wire, without the response bit.
        result:   as on the wire; `result_name` gives the words.
        lifetime: seconds that the mapping, or the error, lasts.
        epoch:    seconds since the server lost its state.
        mapping:  of a MAP reply; None in others, and in errors that leave it out.
    """

    opcode: int
    result: int
    lifetime: Seconds
    epoch: int
    mapping: Mapping | None = None


@dataclass(frozen=True, slots=True)
class Announce:
    """Asks whether a server is there, and changes nothing on it (RFC 6887 §14.1).

    Attributes:
        client: the IP that this request is sent from; the server compares (§8.1).
    """

    client: str

    def encode(self) -> bytes:
        """Return the datagram."""
        return _request_header(Opcode.ANNOUNCE, 0, self.client)

    def answer(self, data: bytes) -> Reply | VersionRefused | None:
        """Return the reply to this request; None: it replies to another one.

        Raises: MalformedMessage.
        """
        reply = decode_reply(data)
        ours = isinstance(reply, VersionRefused) or reply.opcode == Opcode.ANNOUNCE
        return reply if ours else None


@dataclass(frozen=True, slots=True)
class Map:
    """Asks for a mapping, renews it, or with lifetime 0 deletes it (RFC 6887 §11, §15).

    Attributes:
        client:   the IP that this request is sent from.
        lifetime: whole seconds asked for, 0 .. 2**32-1.
        mapping:  what to map; the same nonce, protocol and internal port mean the same mapping.
    """

    client: str
    lifetime: int
    mapping: Mapping

    def encode(self) -> bytes:
        """Return the datagram."""
        return _request_header(Opcode.MAP, self.lifetime, self.client) + self.mapping.encode()

    def answer(self, data: bytes) -> Reply | VersionRefused | None:
        """Return the reply to this request; None: it replies to another one.

        Raises: MalformedMessage.
        """
        reply = decode_reply(data)
        if isinstance(reply, VersionRefused):
            return reply
        # A late answer to the request that made the mapping does not confirm its deletion.
        made = reply.result == ResultCode.SUCCESS and reply.lifetime > 0
        late = made and self.lifetime == 0
        ours = reply.opcode == Opcode.MAP and self._is_ours(reply.mapping)
        return reply if ours and not late else None

    def _is_ours(self, other: Mapping | None) -> bool:
        """Compare what identifies a mapping (RFC 6887 §11.4); an error may leave it out."""
        if other is None:
            return True
        mine = self.mapping
        return (mine.nonce, mine.protocol, mine.internal_port) == (
            other.nonce,
            other.protocol,
            other.internal_port,
        )


def decode_reply(data: bytes) -> Reply | VersionRefused:
    """Decode a datagram from a PCP server. Raises: MalformedMessage."""
    cursor = Cursor(data, "RFC 6887 §7.2")
    version = cursor.u8("version")
    opcode = cursor.u8("opcode")
    cursor.u8("reserved")
    result = cursor.u8("result code")
    if not opcode & _RESPONSE:
        raise cursor.malformed("opcode", "a request, not a response")
    if version != VERSION:
        return _version_refused(version, result)
    if len(data) > LARGEST or len(data) % 4:
        raise MalformedMessage("length", "RFC 6887 §8.3", f"{len(data)} bytes")
    lifetime = cursor.u32("lifetime")
    epoch = cursor.u32("epoch time")
    cursor.take(12, "reserved")
    mapping = None
    if opcode == _RESPONSE | Opcode.MAP and (result == ResultCode.SUCCESS or cursor.left >= 36):
        mapping = Mapping.read(cursor)
    return Reply(opcode & ~_RESPONSE, result, lifetime, epoch, mapping)


def result_name(code: int) -> str:
    """Return the RFC's name of a result code, or its number where it has none."""
    return ResultCode(code).name if code in list(ResultCode) else f"result {code}"


def _version_refused(version: int, result: int) -> VersionRefused:
    # NAT-PMP's 16-bit result ends in the byte that holds PCP's 8-bit one (RFC 6887 Appendix A).
    if result != ResultCode.UNSUPP_VERSION:
        raise MalformedMessage("version", "RFC 6887 §9", f"{version}, with result {result}")
    return VersionRefused(version)


def _request_header(opcode: Opcode, lifetime: int, client: str) -> bytes:
    """Return the 24 bytes every request begins with (RFC 6887 §7.1).

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +---------------+-+-------------+-------------------------------+
    |  Version = 2  |0|   Opcode    |      Reserved (16 bits)       |
    +---------------+-+-------------+-------------------------------+
    |                 Requested lifetime (32 bits)                  |
    +---------------------------------------------------------------+
    |                 Client's IP address (128 bits)                |
    +---------------------------------------------------------------+
    """
    return bytes([VERSION, opcode, 0, 0]) + lifetime.to_bytes(4, "big") + _wide(client)


def _wide(ip: str) -> bytes:
    """Return 16 bytes; an IPv4 address as an IPv4-mapped IPv6 one (RFC 6887 §5)."""
    packed = ip_bytes(ip)
    return packed if len(packed) == 16 else _MAPPED_PREFIX + packed


def _narrow(packed: bytes) -> str:
    """Undo `_wide`."""
    return ip_text(packed.removeprefix(_MAPPED_PREFIX))
