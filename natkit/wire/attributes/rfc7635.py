"""The attributes of third-party authorization, OAuth for TURN (RFC 7635 §6)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Self

from natkit.wire.attributes.base import Attribute, attribute
from natkit.wire.attributes.shapes import TEXT_LIMIT, Text
from natkit.wire.cursor import Cursor


@attribute
@dataclass(frozen=True, slots=True)
class AccessToken(Attribute):
    """A token that the authorization server sealed for the TURN server.

        |           Nonce length        |        Nonce (variable)      ...
        |     Encrypted block: key length, key, timestamp, lifetime    ...

    Attributes:
        nonce:  of the authenticated encryption (not the NONCE attribute).
        sealed: the encrypted block with its tag, for the holder of the long-term key.
    """

    TYPE = 0x001B
    NAME = "ACCESS-TOKEN"
    RFC = "RFC 7635 §6.2"
    LENGTH = Struct("!H")

    nonce: bytes
    sealed: bytes

    @classmethod
    def decode(cls, value: bytes) -> Self:
        cursor = Cursor(value, cls.RFC)
        nonce = cursor.take(cursor.u16("nonce length"), "nonce")
        return cls(nonce, cursor.rest())

    def encode(self) -> bytes:
        return self.LENGTH.pack(len(self.nonce)) + self.nonce + self.sealed


@attribute
class ThirdPartyAuthorization(Text):
    """The name of the authorization server to get a token from."""

    __slots__ = ()
    TYPE = 0x802E
    NAME = "THIRD-PARTY-AUTHORIZATION"
    RFC = "RFC 7635 §6.1"
    MAX_BYTES = TEXT_LIMIT
