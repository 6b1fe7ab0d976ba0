"""The attribute of TURN's TCP relaying (RFC 6062 §6.2)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from natkit.wire.attributes.base import attribute
from natkit.wire.attributes.shapes import Scalar


@attribute
@dataclass(frozen=True, slots=True)
class ConnectionId(Scalar):
    """Names a peer's TCP connection, until the client binds a connection of its own to it.

    |                     Connection id (32 bits)                   |
    """

    TYPE = 0x002A
    NAME = "CONNECTION-ID"
    RFC = "RFC 6062 §6.2.1"
    SIZE = 4
    LAYOUT = Struct("!I")

    value: int

    def encode(self) -> bytes:
        return self.LAYOUT.pack(self.value)
