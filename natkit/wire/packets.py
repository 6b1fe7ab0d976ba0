"""Packets on a stream: each behind its length in 16 bits (RFC 4571 §2), as ICE has them over TCP.

 0                   1
 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5
+-------------------------------+
|             LENGTH            |
+-------------------------------+
|   RTP, RTCP, STUN, or any     |
|   other packet, LENGTH bytes  |
+-------------------------------+
"""

from __future__ import annotations

from collections.abc import Iterator

LARGEST = 0xFFFF
"""Bytes of the largest packet."""

_PREFIX = 2


def framed(packet: bytes) -> bytes:
    """Return a packet with its length before it. Raises: ValueError: longer than `LARGEST`."""
    if len(packet) > LARGEST:
        raise ValueError(f"a packet of {len(packet)} bytes does not fit")
    return len(packet).to_bytes(_PREFIX, "big") + packet


class PacketReader:
    """Collects the bytes of one stream and hands out the packets that are complete.

    Any bytes are packets; it holds at most one that is not complete besides what was fed last.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes of the stream and return what they complete, one by one."""
        self._buffer += data
        while len(self._buffer) >= _PREFIX:
            end = _PREFIX + int.from_bytes(self._buffer[:_PREFIX], "big")
            if len(self._buffer) < end:
                return
            packet = bytes(self._buffer[_PREFIX:end])
            del self._buffer[:end]
            yield packet
