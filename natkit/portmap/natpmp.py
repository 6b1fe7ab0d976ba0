"""NAT-PMP (RFC 6886), PCP's forerunner: a gateway's external address, and mappings on it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from natkit.machine import Seconds
from natkit.portmap.pcp import Protocol, VersionRefused
from natkit.wire.address import ip_text
from natkit.wire.cursor import Cursor

VERSION = 0
_EXTERNAL_ADDRESS = 0
_MAP = {Protocol.UDP: 1, Protocol.TCP: 2}
_RESPONSE = 128


class ResultCode(IntEnum):
    """How a request went (RFC 6886 §3.5)."""

    SUCCESS = 0
    UNSUPPORTED_VERSION = 1
    NOT_AUTHORIZED = 2
    NETWORK_FAILURE = 3
    OUT_OF_RESOURCES = 4
    UNSUPPORTED_OPCODE = 5


@dataclass(frozen=True, slots=True)
class ExternalAddress:
    """The reply to `AskExternalAddress` (RFC 6886 §3.2).

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +---------------+---------------+-------------------------------+
    |  Version = 0  |  Opcode = 128 |      Result code (16 bits)    |
    +---------------+---------------+-------------------------------+
    |              Seconds since start of epoch (32 bits)           |
    +---------------------------------------------------------------+
    |              External IPv4 address (32 bits)                  |
    +---------------------------------------------------------------+

    Attributes:
        result: as on the wire; `result_name` gives the words.
        epoch:  seconds since the gateway lost its state.
        ip:     the gateway's outside address; None unless `result` is SUCCESS.
    """

    result: int
    epoch: int
    ip: str | None


@dataclass(frozen=True, slots=True)
class AskExternalAddress:
    """Asks a gateway for its external address, and changes nothing on it (RFC 6886 §3.2)."""

    def encode(self) -> bytes:
        """Return the datagram: version 0, opcode 0."""
        return bytes([VERSION, _EXTERNAL_ADDRESS])

    def answer(self, data: bytes) -> ExternalAddress | VersionRefused | None:
        """Return the reply to this request; None: it replies to another one.

        Raises: MalformedMessage.
        """
        return decode_reply(data)


@dataclass(frozen=True, slots=True)
class PortMapped:
    """The reply to `MapPort` (RFC 6886 §3.3).

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +---------------+---------------+-------------------------------+
    |  Version = 0  | Opcode=129/130|      Result code (16 bits)    |
    +---------------+---------------+-------------------------------+
    |              Seconds since start of epoch (32 bits)           |
    +-------------------------------+-------------------------------+
    |         Internal port         |    Mapped external port       |
    +-------------------------------+-------------------------------+
    |              Lifetime of the mapping, seconds (32 bits)       |
    +---------------------------------------------------------------+

    Attributes:
        result:        as on the wire.
        internal_port, external_port: 0 in an error that leaves them out.
        lifetime:      seconds; 0: the mapping is gone.
    """

    result: int
    internal_port: int
    external_port: int
    lifetime: Seconds


@dataclass(frozen=True, slots=True)
class MapPort:
    """Asks for a mapping, renews it, or with lifetime 0 deletes it (RFC 6886 §3.3, §3.4).

    Attributes:
        external_port: wished for; 0: any.
        lifetime:      whole seconds asked for.
    """

    protocol: Protocol
    internal_port: int
    external_port: int
    lifetime: int

    def encode(self) -> bytes:
        """Return the datagram: 12 bytes."""
        ports = self.internal_port.to_bytes(2, "big") + self.external_port.to_bytes(2, "big")
        head = bytes([VERSION, _MAP[self.protocol], 0, 0])
        return head + ports + self.lifetime.to_bytes(4, "big")

    def answer(self, data: bytes) -> PortMapped | VersionRefused | None:
        """Return the reply to this request; None: it replies to another one.

        Raises: MalformedMessage.
        """
        cursor = Cursor(data, "RFC 6886 §3.3")
        header = _header(cursor)
        if isinstance(header, VersionRefused):
            return header
        opcode, result = header
        if opcode != _RESPONSE | _MAP[self.protocol]:
            return None
        if result != ResultCode.SUCCESS:
            return PortMapped(result, 0, 0, 0)
        cursor.u32("seconds since start of epoch")
        internal, external = cursor.u16("internal port"), cursor.u16("external port")
        lifetime = cursor.u32("lifetime")
        # A late answer to the request that made the mapping does not confirm its deletion.
        ours = internal == self.internal_port and bool(lifetime) is bool(self.lifetime)
        return PortMapped(result, internal, external, lifetime) if ours else None


def decode_reply(data: bytes) -> ExternalAddress | VersionRefused | None:
    """Decode a gateway's datagram; None: a reply to another opcode. Raises: MalformedMessage."""
    cursor = Cursor(data, "RFC 6886 §3.2")
    header = _header(cursor)
    if isinstance(header, VersionRefused):
        return header
    opcode, result = header
    if opcode != _RESPONSE | _EXTERNAL_ADDRESS:
        return None
    epoch = cursor.u32("seconds since start of epoch")
    if result != ResultCode.SUCCESS:  # some gateways leave the address out of an error
        return ExternalAddress(result, epoch, None)
    return ExternalAddress(result, epoch, ip_text(cursor.take(4, "external address")))


def _header(cursor: Cursor) -> tuple[int, int] | VersionRefused:
    """Read opcode and result code, which all replies begin with. Raises: MalformedMessage."""
    version = cursor.u8("version")
    opcode = cursor.u8("opcode")
    result = cursor.u16("result code")
    if opcode < _RESPONSE:
        raise cursor.malformed("opcode", "a request, not a response")
    if version == VERSION:
        return opcode, result
    if result != ResultCode.UNSUPPORTED_VERSION:
        raise cursor.malformed("version", f"{version}, with result {result}")
    return VersionRefused(version)


def result_name(code: int) -> str:
    """Return the RFC's name of a result code, or its number where it has none."""
    return ResultCode(code).name if code in list(ResultCode) else f"result {code}"
