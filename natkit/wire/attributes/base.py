"""What every STUN attribute is: a frozen value that knows its type number and its bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from struct import Struct
from typing import Any, ClassVar, Self, TypeAlias, TypeVar, cast

Reader: TypeAlias = "Callable[[bytes, int, int], Attribute]"
"""Takes a whole message, and where in it the attribute's value begins and ends."""

REGISTRY: dict[int, type[Attribute]] = {}
"""Every attribute class, by type number."""

READERS: dict[int, Reader] = {}
"""How to read each attribute that natkit knows, by type number."""

SafeReader: TypeAlias = "Callable[[bytes, int], Attribute]"
"""Takes a whole message, and where in it a value begins that is known to be there."""

SAFE_READERS: dict[int, SafeReader] = {}
"""How to read the attributes that have a SIZE, by their first word (type and length)."""

_TYPE_AND_LENGTH = Struct("!HH")
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")
"""By size modulo 4. Sent as zeros, never looked at (RFC 8489 §14)."""

COMPREHENSION_OPTIONAL = 0x8000
"""Types from here up may be ignored by who does not know them (RFC 8489 §14)."""


class Attribute:
    """One attribute of a STUN message.

    A subclass is a frozen dataclass, carries its byte diagram, and is registered with `attribute`.

    Attributes:
        TYPE: its number on the wire.
        NAME: its name in the RFC.
        RFC:  the clause that defines it.
        SIZE: bytes of its value, where every value of this size is valid and no other; else None.
        HEAD: type and SIZE, as bytes.
    """

    __slots__ = ()
    TYPE: ClassVar[int]
    NAME: ClassVar[str]
    RFC: ClassVar[str]
    SIZE: ClassVar[int | None] = None
    HEAD: ClassVar[bytes]

    @classmethod
    def reader(cls) -> Reader:
        """Return the function that decodes this attribute in its message."""

        def read(message: bytes, start: int, end: int) -> Attribute:
            return cls.decode(message[start:end])

        return read

    @classmethod
    def safe_reader(cls) -> SafeReader:
        """Return the function that decodes this attribute where its size is known to be SIZE."""
        raise NotImplementedError

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Return what `value` (without padding) says.

        Raises: MalformedMessage: it is not what `RFC` says it must be.
        """
        raise NotImplementedError

    def encode(self) -> bytes:
        """Return the value's bytes, without padding.

        Raises: ValueError: a field is larger than its place on the wire.
        """
        raise NotImplementedError

    def packed(self, _transaction_id: bytes) -> bytes:
        """Return the whole attribute: type, length, value and padding.

        Raises: ValueError or struct.error: a field is larger than its place on the wire.
        """
        return tlv(self.TYPE, self.encode())


def tlv(number: int, value: bytes) -> bytes:
    """Return type, length, value and padding.

        |         Type                  |            Length             |
        |                 Value, padded with zeros to 4 bytes          ...

    Raises: struct.error: the value is longer than 65535 bytes.
    """
    size = len(value)
    return _TYPE_AND_LENGTH.pack(number, size) + value + _PADDING[size & 3]


class Ready(Attribute):
    """An attribute that goes into many messages, encoded once; for sending alone.

    Args: attribute: one that is the same in every message, so none that travels under a mask.
    """

    __slots__ = ("_packed",)

    def __init__(self, attribute: Attribute) -> None:
        self._packed = attribute.packed(b"")

    def packed(self, _transaction_id: bytes) -> bytes:
        return self._packed


A = TypeVar("A", bound=Attribute)


def only_slot(kind: type[A]) -> Callable[[A, Any], None]:
    """Return the function that sets the only field of a new `kind`.

    A frozen dataclass sets its fields by object.__setattr__ and a look-up by name; its slots do
    the same in half the time.
    """
    (only,) = fields(cast(Any, kind))
    setter: Callable[[A, Any], None] = getattr(kind, only.name).__set__
    return setter


def attribute(kind: type[A]) -> type[A]:
    """Register an attribute class for decoding; a class decorator."""
    REGISTRY[kind.TYPE] = kind
    READERS[kind.TYPE] = kind.reader()
    if kind.SIZE is not None:
        kind.HEAD = _TYPE_AND_LENGTH.pack(kind.TYPE, kind.SIZE)
        SAFE_READERS[kind.TYPE << 16 | kind.SIZE] = kind.safe_reader()
    return kind


@dataclass(frozen=True, slots=True)
class Unrecognised:
    """An attribute that natkit has no class for, kept as it came.

        |         Type                  |            Length             |
        |                         Value (variable)                     ...

    Attributes:
        type:  its number on the wire.
        value: its bytes, without padding.
    """

    type: int
    value: bytes

    def packed(self, _transaction_id: bytes) -> bytes:
        """Return the whole attribute: type, length, value and padding."""
        return tlv(self.type, self.value)

    @property
    def is_required(self) -> bool:
        """True when the message must not be processed without understanding it."""
        return self.type < COMPREHENSION_OPTIONAL
