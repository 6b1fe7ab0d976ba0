"""Stream framing: cut TCP or TLS into STUN messages and ChannelData (RFC 8489 §6.2.2, 8656 §12.5).

Both say their own size in the first four bytes, so there is no framing beside them. The first byte
tells them apart: 0 .. 3 STUN, 64 .. 127 ChannelData; with any other the stream is beyond repair.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from natkit.errors import MalformedMessage
from natkit.wire.channel import ChannelData
from natkit.wire.header import HEADER_SIZE, MAGIC_COOKIE
from natkit.wire.message import Message

_PREFIX = Struct("!HH")
_COOKIE = MAGIC_COOKIE.to_bytes(4, "big")
_STUN_FIRST_BYTES = range(4)
_CHANNEL_FIRST_BYTES = range(0x40, 0x80)  # 0x50 and more come from RFC 5766 clients


class FrameReader:
    """Collects the bytes of one stream and hands out what is complete.

    It holds at most one unfinished frame (65,556 bytes) besides what was fed last.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def pending(self) -> int:
        """The number of bytes that wait for the rest of their frame; 0: a clean place to end."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[Message | ChannelData]:
        """Take the next bytes of the stream and return what they complete, one by one.

        The iterator raises MalformedMessage where the stream is neither STUN nor ChannelData, or a
        message in it is malformed. Close the stream then: where the next one begins is not known.
        """
        return self._decoded(self.cut(data))

    def cut(self, data: bytes) -> Iterator[bytes]:
        """Like `feed`, for who decodes himself or not at all: frames as bytes, padding included."""
        self._buffer += data
        return self._frames()

    def rest(self) -> bytes:
        """Take out what no frame has used yet: the stream goes on as something else."""
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    def _decoded(self, frames: Iterator[bytes]) -> Iterator[Message | ChannelData]:
        for frame in frames:
            is_stun = frame[0] in _STUN_FIRST_BYTES
            yield Message.decode(frame) if is_stun else ChannelData.decode(frame)

    def _frames(self) -> Iterator[bytes]:
        while (frame := self._next_frame()) is not None:
            yield frame

    def _next_frame(self) -> bytes | None:
        """Take one whole frame, padding included, out of the buffer; None: it is not there yet."""
        if not self._buffer:
            return None
        size = self._frame_size()
        if size is None or len(self._buffer) < size:
            return None
        frame = bytes(self._buffer[:size])
        del self._buffer[:size]
        return frame

    def _frame_size(self) -> int | None:
        """Return the size of the first frame; None: too little of it is there to tell.

        Raises: MalformedMessage: what is there already cannot begin a frame.
        """
        first = self._buffer[0]
        if first in _STUN_FIRST_BYTES:
            # Seen early, so that a stranger is not waited for up to 65 kB.
            cookie = bytes(self._buffer[4:8])
            if not _COOKIE.startswith(cookie):
                raise MalformedMessage("magic cookie", "RFC 8489 §5", cookie.hex())
        elif first not in _CHANNEL_FIRST_BYTES:
            why = f"{first:#04x} begins neither STUN nor ChannelData"
            raise MalformedMessage("first byte", "RFC 8489 §6.2.2", why)
        if len(self._buffer) < _PREFIX.size:
            return None
        length = _PREFIX.unpack_from(self._buffer)[1]
        if first in _STUN_FIRST_BYTES:
            if length % 4:
                raise MalformedMessage("message length", "RFC 8489 §5", f"{length} bytes")
            return HEADER_SIZE + int(length)
        return _PREFIX.size + (int(length) + 3 & ~3)
