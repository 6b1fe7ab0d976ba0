"""The value shapes that several attributes share: addresses, texts, octets and flags."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Any, ClassVar, Self, cast

from natkit.errors import MalformedMessage
from natkit.wire.address import TransportAddress, ip_bytes, ip_text
from natkit.wire.attributes.base import READERS, Attribute, Reader, SafeReader, only_slot, tlv
from natkit.wire.cursor import Cursor, unpack_all
from natkit.wire.header import HEADER_SIZE, MAGIC_COOKIE

TEXT_LIMIT = 763
"""Most bytes of a text of fewer than 128 characters, as RFC 8489 §14.8 to §14.14 reckon."""

_IPV4 = 1
_IPV6 = 2
_ADDRESS_SIZES = {_IPV4: 4, _IPV6: 16}
_ADDRESS_MASK = (MAGIC_COOKIE >> 16).to_bytes(4, "big") + MAGIC_COOKIE.to_bytes(4, "big")
"""For family, port and 32 bits of address; the transaction ID covers the rest of IPv6 (§14.2)."""

_FAMILY_AND_PORT = Struct("!xBH")
_MASKED_IPV4 = Struct("!BBHI")
_MASKED_IPV4_ATTRIBUTE = Struct("!HHxBHI")
_PORT_MASK = MAGIC_COOKIE >> 16


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
    IPv6, the transaction ID (RFC 8489 §14.2). `reader` takes the mask off, `packed` puts it on.
    """

    __slots__ = ()

    @classmethod
    def reader(cls) -> Reader:
        new, put = object.__new__, only_slot(cls)

        def read(message: bytes, start: int, end: int) -> Attribute:
            if end - start == _MASKED_IPV4.size <= len(message) - start:  # as it is in most packets
                _, family, port, number = _MASKED_IPV4.unpack_from(message, start)
                if family == _IPV4:
                    made = new(cls)
                    ip = ip_text((number ^ MAGIC_COOKIE).to_bytes(4, "big"))
                    put(made, TransportAddress(ip, port ^ _PORT_MASK))
                    return made
            return cls.decode(masked(message[start:end], message[8:HEADER_SIZE]))

        return read

    def packed(self, _transaction_id: bytes) -> bytes:
        ip, port = self.address
        packed = ip_bytes(ip)
        if len(packed) == 4:
            number = int.from_bytes(packed, "big") ^ MAGIC_COOKIE
            return _MASKED_IPV4_ATTRIBUTE.pack(self.TYPE, 8, _IPV4, port ^ _PORT_MASK, number)
        return tlv(self.TYPE, masked(self.encode(), _transaction_id))


def masked(value: bytes, transaction_id: bytes) -> bytes:
    """Put the mask on an address attribute's value, or take it off (RFC 8489 §14.2)."""
    size = len(value)
    mask = (_ADDRESS_MASK + transaction_id)[:size]
    return (int.from_bytes(value, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")


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
    def reader(cls) -> Reader:
        new, put = object.__new__, only_slot(cls)

        def read(message: bytes, start: int, end: int) -> Attribute:
            made = new(cls)
            try:
                put(made, message[start:end].decode())
            except UnicodeDecodeError as cause:
                raise MalformedMessage(cls.NAME, cls.RFC, f"not UTF-8: {cause.reason}") from None
            return made

        return read

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cast(Self, READERS[cls.TYPE](value, 0, len(value)))

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
    """Fields of fixed sizes.

    Attributes:
        LAYOUT: the fields in the letters of `struct`.
    """

    __slots__ = ()
    LAYOUT: ClassVar[Struct]

    @classmethod
    def fields(cls, value: bytes) -> tuple[Any, ...]:
        """Return the fields of `value`. Raises: MalformedMessage: its size is another."""
        return unpack_all(cls.LAYOUT, value, cls.NAME, cls.RFC)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls(*cls.fields(value))


class Scalar(Fixed):
    """One field that, with what is reserved beside it, fills whole words."""

    __slots__ = ()

    @classmethod
    def safe_reader(cls) -> SafeReader:
        new, put, unpack_from = object.__new__, only_slot(cls), cls.LAYOUT.unpack_from

        def read(message: bytes, start: int) -> Attribute:
            made = new(cls)
            put(made, unpack_from(message, start)[0])
            return made

        return read

    def packed(self, _transaction_id: bytes) -> bytes:
        return self.HEAD + self.encode()


@dataclass(frozen=True, slots=True)
class Flag(Fixed):
    """An attribute that says all by being there; its value is empty."""

    SIZE = 0
    LAYOUT = Struct("")

    @classmethod
    def safe_reader(cls) -> SafeReader:
        said = cls()
        return lambda _message, _start: said

    def encode(self) -> bytes:
        return b""

    def packed(self, _transaction_id: bytes) -> bytes:
        return self.HEAD


def limited(encoded: bytes, size: int, where: str) -> bytes:
    """Return `encoded`. Raises: ValueError: it is longer than `size` bytes."""
    if len(encoded) > size:
        raise ValueError(f"{where}: {len(encoded)} bytes, at most {size} may be sent")
    return encoded


def joined_code(hundreds: int, number: int, kind: type[Attribute]) -> int:
    """Return an error code from its class and number fields (RFC 8489 §14.8).

    Raises: MalformedMessage: it is not in 300 .. 699.
    """
    # Five reserved bits share the byte with the class.
    hundreds &= 7
    if not (3 <= hundreds <= 6 and number <= 99):
        raise MalformedMessage(kind.NAME, kind.RFC, f"class {hundreds}, number {number}")
    return hundreds * 100 + number


def split_code(code: int, where: str) -> tuple[int, int]:
    """Return class and number of an error code. Raises: ValueError: it is not in 300 .. 699."""
    if not 300 <= code <= 699:
        raise ValueError(f"{where}: {code} is not in 300 .. 699")
    return divmod(code, 100)


def sized(value: bytes, size: int, where: str) -> bytes:
    """Return `value`. Raises: ValueError: it is not `size` bytes long."""
    if len(value) != size:
        raise ValueError(f"{where}: {len(value)} bytes, not {size}")
    return value
