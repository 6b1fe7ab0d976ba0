"""The attributes of ICE connectivity checks (RFC 8445 §7.1, §16.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from natkit.wire.attributes.base import Attribute, attribute
from natkit.wire.attributes.shapes import Flag
from natkit.wire.cursor import Exactly


@attribute
@dataclass(frozen=True, slots=True)
class Priority(Attribute):
    """The priority that a candidate learnt from this check would have.

    |                     Priority (32 bits)                        |
    """

    TYPE = 0x0024
    NAME = "PRIORITY"
    RFC = "RFC 8445 §7.1.1"
    LAYOUT: ClassVar = Exactly("!I", NAME, RFC)

    value: int

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls(*cls.LAYOUT.read(value))

    def encode(self) -> bytes:
        return self.LAYOUT.write(self.value)


@attribute
class UseCandidate(Flag):
    """The controlling agent nominates the pair that this check runs on."""

    __slots__ = ()
    TYPE = 0x0025
    NAME = "USE-CANDIDATE"
    RFC = "RFC 8445 §7.1.2"


@dataclass(frozen=True, slots=True)
class _Role(Attribute):
    LAYOUT: ClassVar = Exactly("!Q", "tie-breaker", "RFC 8445 §7.1.3")

    tie_breaker: int

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls(*cls.LAYOUT.read(value))

    def encode(self) -> bytes:
        return self.LAYOUT.write(self.tie_breaker)


@attribute
class IceControlled(_Role):
    """The sender thinks that it is controlled; the tie-breaker settles a role conflict.

    |                                                               |
    |                     Tie-breaker (64 bits)                     |
    """

    __slots__ = ()
    TYPE = 0x8029
    NAME = "ICE-CONTROLLED"
    RFC = "RFC 8445 §7.1.3"


@attribute
class IceControlling(_Role):
    """The sender thinks that it is controlling; the tie-breaker settles a role conflict.

    |                                                               |
    |                     Tie-breaker (64 bits)                     |
    """

    __slots__ = ()
    TYPE = 0x802A
    NAME = "ICE-CONTROLLING"
    RFC = "RFC 8445 §7.1.3"
