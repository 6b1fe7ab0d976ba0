"""The attributes of STUN itself (RFC 8489 §14)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Self

from natkit.wire.attributes.base import Attribute, attribute
from natkit.wire.attributes.shapes import (
    TEXT_LIMIT,
    PlainAddress,
    Scalar,
    Text,
    XorAddress,
    joined_code,
    limited,
    sized,
    split_code,
)
from natkit.wire.cursor import Cursor


@attribute
class MappedAddress(PlainAddress):
    """Where the server saw the request come from; for clients older than RFC 5389."""

    __slots__ = ()
    TYPE = 0x0001
    NAME = "MAPPED-ADDRESS"
    RFC = "RFC 8489 §14.1"


@attribute
class XorMappedAddress(XorAddress):
    """Where the server saw the request come from."""

    __slots__ = ()
    TYPE = 0x0020
    NAME = "XOR-MAPPED-ADDRESS"
    RFC = "RFC 8489 §14.2"


@attribute
class Username(Text):
    """Who asks: for ICE "theirs:ours", for TURN an account, prepared as OpaqueString."""

    __slots__ = ()
    TYPE = 0x0006
    NAME = "USERNAME"
    RFC = "RFC 8489 §14.3"
    MAX_BYTES = 508


@attribute
@dataclass(frozen=True, slots=True)
class UserHash(Scalar):
    """Who asks, without naming them: `integrity.user_hash(username, realm)`.

    |            SHA-256 of username ":" realm (32 bytes)           |
    """

    TYPE = 0x001E
    NAME = "USERHASH"
    RFC = "RFC 8489 §14.4"
    SIZE = 32
    LAYOUT = Struct("!32s")

    value: bytes

    def encode(self) -> bytes:
        return sized(self.value, 32, self.NAME)


@attribute
@dataclass(frozen=True, slots=True)
class ErrorCode(Attribute):
    """Why a request failed.

        |           Reserved, should be 0         |Class|     Number    |
        |      Reason Phrase (variable)                                ..

    Attributes:
        code:   300 .. 699: hundreds from Class, the rest from Number.
        reason: for people; bytes that are not UTF-8 are replaced, since nothing depends on them.
    """

    TYPE = 0x0009
    NAME = "ERROR-CODE"
    RFC = "RFC 8489 §14.8"
    LAYOUT = Struct("!xxBB")

    code: int
    reason: str = ""

    @classmethod
    def decode(cls, value: bytes) -> Self:
        cursor = Cursor(value, cls.RFC)
        hundreds, number = cursor.unpack(cls.LAYOUT, cls.NAME)
        code = joined_code(hundreds, number, cls)
        return cls(code, cursor.rest().decode(errors="replace"))

    def encode(self) -> bytes:
        reason = limited(self.reason.encode(), TEXT_LIMIT, self.NAME)
        return self.LAYOUT.pack(*split_code(self.code, self.NAME)) + reason


@attribute
class Realm(Text):
    """The server's name for the place that its accounts are good for."""

    __slots__ = ()
    TYPE = 0x0014
    NAME = "REALM"
    RFC = "RFC 8489 §14.9"
    MAX_BYTES = TEXT_LIMIT


@attribute
class Nonce(Text):
    """A word from the server that the client's next request must bear."""

    __slots__ = ()
    TYPE = 0x0015
    NAME = "NONCE"
    RFC = "RFC 8489 §14.10"
    MAX_BYTES = TEXT_LIMIT


@attribute
@dataclass(frozen=True, slots=True)
class PasswordAlgorithm(Attribute):
    """How the password becomes a key.

        |          Algorithm           |  Algorithm Parameters Length   |
        |                    Algorithm Parameters (variable)           ...

    Attributes:
        number:     1 MD5, 2 SHA-256 (`integrity.PasswordHash`), or one that we do not know.
        parameters: empty for both known algorithms.
    """

    TYPE = 0x001D
    NAME = "PASSWORD-ALGORITHM"
    RFC = "RFC 8489 §14.12"

    number: int
    parameters: bytes = b""

    @classmethod
    def read(cls, cursor: Cursor) -> Self:
        """Read one algorithm with its padding from `cursor`."""
        number = cursor.u16("algorithm")
        size = cursor.u16("algorithm parameters length")
        parameters = cursor.take(size, "algorithm parameters")
        # Whoever sends the last one without its padding has said all the same.
        cursor.take(min(-size % 4, cursor.left), "padding")
        return cls(number, parameters)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        cursor = Cursor(value, cls.RFC)
        algorithm = cls.read(cursor)
        cursor.end(cls.NAME)
        return algorithm

    def encode(self) -> bytes:
        size = len(self.parameters)
        return _TWO_U16.pack(self.number, size) + self.parameters + bytes(-size % 4)


_TWO_U16 = Struct("!HH")


@attribute
@dataclass(frozen=True, slots=True)
class PasswordAlgorithms(Attribute):
    """The algorithms that a server takes, best first: PASSWORD-ALGORITHM values in a row.

    |         Algorithm 1           | Algorithm 1 Parameters Length |
    |                    Algorithm 1 Parameters (variable)
    |         Algorithm 2           | Algorithm 2 Parameters Length |
    |                    Algorithm 2 Parameters (variable)        ...
    """

    TYPE = 0x8002
    NAME = "PASSWORD-ALGORITHMS"
    RFC = "RFC 8489 §14.11"

    algorithms: tuple[PasswordAlgorithm, ...]

    @classmethod
    def decode(cls, value: bytes) -> Self:
        cursor = Cursor(value, cls.RFC)
        algorithms = []
        while cursor.left:
            algorithms.append(PasswordAlgorithm.read(cursor))
        return cls(tuple(algorithms))

    def encode(self) -> bytes:
        return b"".join(algorithm.encode() for algorithm in self.algorithms)


@attribute
@dataclass(frozen=True, slots=True)
class UnknownAttributes(Attribute):
    """In an error 420: the types of the required attributes that the server does not know.

    |      Attribute 1 Type         |       Attribute 2 Type        |
    |      Attribute 3 Type         |       Attribute 4 Type       ...
    """

    TYPE = 0x000A
    NAME = "UNKNOWN-ATTRIBUTES"
    RFC = "RFC 8489 §14.13"

    types: tuple[int, ...]

    @classmethod
    def decode(cls, value: bytes) -> Self:
        cursor = Cursor(value, cls.RFC)
        types = []
        while cursor.left:
            types.append(cursor.u16("attribute type"))
        return cls(tuple(types))

    def encode(self) -> bytes:
        return Struct(f"!{len(self.types)}H").pack(*self.types)


@attribute
@dataclass(frozen=True, slots=True)
class Software(Attribute):
    """What runs at the other end, for people; what is not UTF-8 in it is replaced.

    |                     UTF-8 (variable)                         ...
    """

    TYPE = 0x8022
    NAME = "SOFTWARE"
    RFC = "RFC 8489 §14.14"

    text: str

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls(value.decode(errors="replace"))

    def encode(self) -> bytes:
        return limited(self.text.encode(), TEXT_LIMIT, self.NAME)


@attribute
class AlternateServer(PlainAddress):
    """In an error 300: the server to ask instead."""

    __slots__ = ()
    TYPE = 0x8023
    NAME = "ALTERNATE-SERVER"
    RFC = "RFC 8489 §14.15"


@attribute
class AlternateDomain(Text):
    """In an error 300: the name that the alternate server's certificate bears."""

    __slots__ = ()
    TYPE = 0x8003
    NAME = "ALTERNATE-DOMAIN"
    RFC = "RFC 8489 §14.16"
    MAX_BYTES = 255
