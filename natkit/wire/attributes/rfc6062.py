"""The attribute of TURN's TCP relaying (RFC 6062 §6.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from natkit.wire.attributes.base import Attribute, attribute
from natkit.wire.cursor import Exactly


@attribute
@dataclass(frozen=True, slots=True)
class ConnectionId(Attribute):
    """Names a peer's TCP connection, until the client binds a connection of its own to it.

    |                     Connection id (32 bits)                   |
    """

    TYPE = 0x002A
    NAME = "CONNECTION-ID"
    RFC = "RFC 6062 §6.2.1"
    LAYOUT: ClassVar = Exactly("!I", NAME, RFC)

    value: int

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls(*cls.LAYOUT.read(value))

    def encode(self) -> bytes:
        return self.LAYOUT.write(self.value)
