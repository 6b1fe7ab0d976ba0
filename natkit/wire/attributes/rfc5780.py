"""The attributes of NAT behaviour discovery (RFC 5780 §7) and of its ancestor (RFC 3489 §11.2)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Self

from natkit.wire.attributes.base import Attribute, attribute
from natkit.wire.attributes.shapes import Fixed, PlainAddress, Scalar
from natkit.wire.cursor import Cursor

_CHANGE_IP = 0x4
_CHANGE_PORT = 0x2


@attribute
@dataclass(frozen=True, slots=True)
class ChangeRequest(Fixed):
    """Asks for the answer to come from the server's other IP, other port, or both.

    |0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 A B 0|

    A is change_ip, B is change_port; the other bits are ignored on receipt.
    """

    TYPE = 0x0003
    NAME = "CHANGE-REQUEST"
    RFC = "RFC 5780 §7.2"
    LAYOUT = Struct("!I")

    change_ip: bool
    change_port: bool

    @classmethod
    def decode(cls, value: bytes) -> Self:
        (flags,) = cls.fields(value)
        return cls(bool(flags & _CHANGE_IP), bool(flags & _CHANGE_PORT))

    def encode(self) -> bytes:
        return self.LAYOUT.pack(_CHANGE_IP * self.change_ip | _CHANGE_PORT * self.change_port)


@attribute
@dataclass(frozen=True, slots=True)
class Padding(Attribute):
    """Makes a message larger than the path's MTU, to see whether fragments arrive.

        |                     Zeros (`size` bytes)                     ...

    The content has no meaning, so only its size is kept.
    """

    TYPE = 0x0026
    NAME = "PADDING"
    RFC = "RFC 5780 §7.6"

    size: int

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls(len(value))

    def encode(self) -> bytes:
        return bytes(self.size)


@attribute
@dataclass(frozen=True, slots=True)
class ResponsePort(Attribute):
    """Asks for the answer to go to another port of the sender's address.

        |             Port              |  0 0 0 0 0 0 0 0 (or absent)  |

    The RFC says 2 bytes and padding; some clients count the padding in, so 4 are taken too.
    """

    TYPE = 0x0027
    NAME = "RESPONSE-PORT"
    RFC = "RFC 5780 §7.5"
    LAYOUT = Struct("!H")

    port: int

    @classmethod
    def decode(cls, value: bytes) -> Self:
        cursor = Cursor(value, cls.RFC)
        port = cursor.u16("port")
        if cursor.left:
            cursor.take(2, "padding")
        cursor.end(cls.NAME)
        return cls(port)

    def encode(self) -> bytes:
        return self.LAYOUT.pack(self.port)


@attribute
@dataclass(frozen=True, slots=True)
class CacheTimeout(Scalar):
    """How long the server remembers a transaction, in seconds.

    |                     Seconds (32 bits)                         |
    """

    TYPE = 0x8027
    NAME = "CACHE-TIMEOUT"
    RFC = "RFC 5780 §9.1"
    SIZE = 4
    LAYOUT = Struct("!I")

    seconds: int

    def encode(self) -> bytes:
        return self.LAYOUT.pack(self.seconds)


@attribute
class ResponseOrigin(PlainAddress):
    """The address that the server sent this answer from."""

    __slots__ = ()
    TYPE = 0x802B
    NAME = "RESPONSE-ORIGIN"
    RFC = "RFC 5780 §7.3"


@attribute
class OtherAddress(PlainAddress):
    """Where the server's answers come from when both IP and port are changed."""

    __slots__ = ()
    TYPE = 0x802C
    NAME = "OTHER-ADDRESS"
    RFC = "RFC 5780 §7.4"


@attribute
class SourceAddress(PlainAddress):
    """RFC 3489's name for RESPONSE-ORIGIN."""

    __slots__ = ()
    TYPE = 0x0004
    NAME = "SOURCE-ADDRESS"
    RFC = "RFC 3489 §11.2.5"


@attribute
class ChangedAddress(PlainAddress):
    """RFC 3489's name for OTHER-ADDRESS."""

    __slots__ = ()
    TYPE = 0x0005
    NAME = "CHANGED-ADDRESS"
    RFC = "RFC 3489 §11.2.3"
