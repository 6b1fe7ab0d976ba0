"""What every STUN attribute is: a frozen value that knows its type number and its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self, TypeVar

REGISTRY: dict[int, type[Attribute]] = {}
"""Every attribute class that `Message.decode` knows, by type number."""

SAFE_HEADS: set[int] = set()
"""First words (type and length) of attributes that, being of this length, cannot be malformed."""

COMPREHENSION_OPTIONAL = 0x8000
"""Types from here up may be ignored by who does not know them (RFC 8489 §14)."""


class Attribute:
    """One attribute of a STUN message.

    A subclass is a frozen dataclass, carries its byte diagram, and is registered with `attribute`.

    Attributes:
        TYPE: its number on the wire.
        NAME: its name in the RFC.
        RFC:  the clause that defines it.
        MASKED: whether its bytes travel XORed with cookie and transaction ID.
    """

    __slots__ = ()
    TYPE: ClassVar[int]
    NAME: ClassVar[str]
    RFC: ClassVar[str]
    MASKED: ClassVar[bool] = False

    @classmethod
    def safe_size(cls) -> int | None:
        """Return the size at which no value can be malformed; None: `decode` has to look."""
        return None

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


A = TypeVar("A", bound=Attribute)


def attribute(kind: type[A]) -> type[A]:
    """Register an attribute class for decoding; a class decorator."""
    REGISTRY[kind.TYPE] = kind
    if (size := kind.safe_size()) is not None:
        SAFE_HEADS.add(kind.TYPE << 16 | size)
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
    MASKED: ClassVar[bool] = False

    @property
    def TYPE(self) -> int:
        return self.type

    def encode(self) -> bytes:
        """Return the value's bytes, without padding."""
        return self.value

    @property
    def is_required(self) -> bool:
        """True when the message must not be processed without understanding it."""
        return self.type < COMPREHENSION_OPTIONAL
