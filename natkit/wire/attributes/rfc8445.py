"""The attributes of ICE connectivity checks (RFC 8445 §7.1, §16.1)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from natkit.wire.attributes.base import attribute
from natkit.wire.attributes.shapes import Flag, Scalar


@attribute
@dataclass(frozen=True, slots=True)
class Priority(Scalar):
    """The priority that a candidate learnt from this check would have.

    |                     Priority (32 bits)                        |
    """

    TYPE = 0x0024
    NAME = "PRIORITY"
    RFC = "RFC 8445 §7.1.1"
    SIZE = 4
    LAYOUT = Struct("!I")

    value: int

    def encode(self) -> bytes:
        return self.LAYOUT.pack(self.value)


@attribute
class UseCandidate(Flag):
    """The controlling agent nominates the pair that this check runs on."""

    __slots__ = ()
    TYPE = 0x0025
    NAME = "USE-CANDIDATE"
    RFC = "RFC 8445 §7.1.2"


@dataclass(frozen=True, slots=True)
class _Role(Scalar):
    SIZE = 8
    LAYOUT = Struct("!Q")

    tie_breaker: int

    def encode(self) -> bytes:
        return self.LAYOUT.pack(self.tie_breaker)


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
