"""ChannelData: the four-byte envelope that relayed packets travel in (RFC 8656 §12.4)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Self

from natkit.wire.cursor import Cursor

CHANNEL_MIN = 0x4000
CHANNEL_MAX = 0x4FFF
"""Bounds of what a client may bind; 0x5000 .. 0xFFFF are reserved (RFC 8656 §12)."""

OLD_CHANNEL_MAX = 0x7FFE
"""A server takes what RFC 5766 §11 allowed as well: coturn's clients still draw from there."""

_HEADER = Struct("!HH")
_RFC = "RFC 8656 §12.4"


@dataclass(frozen=True, slots=True)
class ChannelData:
    """A packet to or from the peer that a channel is bound to.

        |         Channel Number        |            Length             |
        |                       Application Data                       ...

    Attributes:
        channel: 0x4000 .. 0x4FFF, from old clients .. 0x7FFE.
        data:    0 .. 65535 bytes.
    """

    channel: int
    data: bytes

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the ChannelData in a datagram or frame; padding behind it is ignored.

        Raises: MalformedMessage: it is not ChannelData, or shorter than it says.
        """
        cursor = Cursor(data, _RFC)
        channel = cursor.u16("channel number")
        if not CHANNEL_MIN <= channel <= OLD_CHANNEL_MAX:
            raise cursor.malformed("channel number", f"{channel:#06x}")
        return cls(channel, cursor.take(cursor.u16("length"), "application data"))

    def encode(self, *, padded: bool = False) -> bytes:
        """Return the bytes; `padded` to a multiple of 4, as TCP and TLS need (§12.5).

        Raises: ValueError: the channel is out of range or the data too long.
        """
        size = len(self.data)
        if not CHANNEL_MIN <= self.channel <= OLD_CHANNEL_MAX or size > 0xFFFF:
            raise ValueError(f"channel {self.channel:#06x} with {size} bytes")
        return _HEADER.pack(self.channel, size) + self.data + bytes(-size % 4 if padded else 0)
