"""The value shapes that several attributes share: addresses, texts, octets and flags."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Any, ClassVar, Self

from natkit.errors import MalformedMessage
from natkit.wire.address import TransportAddress, ip_bytes, ip_text
from natkit.wire.attributes.base import Attribute
from natkit.wire.cursor import Cursor, unpack_all

_IPV4 = 1
_IPV6 = 2
_ADDRESS_SIZES = {_IPV4: 4, _IPV6: 16}
_FAMILY_AND_PORT = Struct("!xBH")


@dataclass(frozen=True, slots=True)
class PlainAddress(Attribute):
    """An IP address and a port.

        |0 0 0 0 0 0 0 0|    Family     |             Port              |
        |                 Address (32 bits or 128 bits)                 |

    Family is 1 for IPv4, 2 for IPv6. The first byte is ignored on receipt.
    """

    address: TransportAddress

    @classmethod
    def decode(cls, value: bytes) -> Self:
        cursor = Cursor(value, cls.RFC)
        family, port = cursor.unpack(_FAMILY_AND_PORT, "address")
        if family not in _ADDRESS_SIZES:
            raise cursor.malformed("address family", f"{family}")
        packed = cursor.take(_ADDRESS_SIZES[family], "address")
        cursor.end("address")
        return cls(TransportAddress(ip_text(packed), port))

    def encode(self) -> bytes:
        packed = ip_bytes(self.address.ip)
        family = _IPV4 if len(packed) == 4 else _IPV6
        return _FAMILY_AND_PORT.pack(family, self.address.port) + packed


class XorAddress(PlainAddress):
    """An address that travels under a mask, since some NATs rewrite addresses in payloads.

        |0 0 0 0 0 0 0 0|    Family     |            X-Port             |
        |                X-Address (32 bits or 128 bits)                |

    X-Port is the port XOR the cookie's upper half, X-Address the address XOR the cookie and, for
    IPv6, the transaction ID (RFC 8489 §14.2). The message puts the mask on and takes it off.
    """

    __slots__ = ()
    MASKED = True


@dataclass(frozen=True, slots=True)
class Text(Attribute):
    """UTF-8 text that something depends on, so bytes that are not UTF-8 are malformed.

        |                     UTF-8 (variable)                         ...

    Attributes:
        MAX_BYTES: what may be sent. More is accepted from others, for the receiver to judge.
    """

    MAX_BYTES: ClassVar[int]
    text: str

    @classmethod
    def decode(cls, value: bytes) -> Self:
        try:
            return cls(value.decode())
        except UnicodeDecodeError as cause:
            raise MalformedMessage(cls.NAME, cls.RFC, f"not UTF-8: {cause.reason}") from None

    def encode(self) -> bytes:
        return limited(self.text.encode(), self.MAX_BYTES, self.NAME)


@dataclass(frozen=True, slots=True)
class Octets(Attribute):
    """Bytes that only their user can read.

    |                     Value (variable)                         ...
    """

    value: bytes

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls(value)

    def encode(self) -> bytes:
        return self.value


class Fixed(Attribute):
    """Fields of fixed sizes, every combination of bits allowed: only the size can be wrong.

    Attributes:
        LAYOUT: the fields in the letters of `struct`; no letters: the attribute is a flag.
    """

    __slots__ = ()
    LAYOUT: ClassVar[Struct]

    @classmethod
    def safe_size(cls) -> int:
        return cls.LAYOUT.size

    @classmethod
    def fields(cls, value: bytes) -> tuple[Any, ...]:
        """Return the fields of `value`. Raises: MalformedMessage: its size is another."""
        return unpack_all(cls.LAYOUT, value, cls.NAME, cls.RFC)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls(*cls.fields(value))


@dataclass(frozen=True, slots=True)
class Flag(Fixed):
    """An attribute that says all by being there; its value is empty."""

    LAYOUT = Struct("")

    def encode(self) -> bytes:
        return b""


def limited(encoded: bytes, size: int, where: str) -> bytes:
    """Return `encoded`. Raises: ValueError: it is longer than `size` bytes."""
    if len(encoded) > size:
        raise ValueError(f"{where}: {len(encoded)} bytes, at most {size} may be sent")
    return encoded


def sized(value: bytes, size: int, where: str) -> bytes:
    """Return `value`. Raises: ValueError: it is not `size` bytes long."""
    if len(value) != size:
        raise ValueError(f"{where}: {len(value)} bytes, not {size}")
    return value
