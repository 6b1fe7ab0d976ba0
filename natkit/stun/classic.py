"""RFC 3489's messages in today's clothes: the same layout, before there was a magic cookie.

A classic transaction id has 16 bytes where a modern message has the cookie and 12 bytes. Putting
the cookie in makes a classic request readable by today's codec, and putting the client's own four
bytes back makes the answer a classic one. Rule of the file: nothing here judges a message.
"""

from __future__ import annotations

_COOKIE = (0x2112A442).to_bytes(4, "big")  # RFC 8489 §5
_BINDING_REQUEST = b"\x00\x01"
_HEADER_SIZE = 20


def looks_classic(data: bytes) -> bool:
    """Tell whether `data` is a Binding request with an RFC 3489 header (§11.1)."""
    return (
        len(data) >= _HEADER_SIZE
        and data[:2] == _BINDING_REQUEST
        and int.from_bytes(data[2:4], "big") == len(data) - _HEADER_SIZE
        and data[4:8] != _COOKIE
    )


def modernised(data: bytes) -> bytes:
    """Return a classic message with the magic cookie in the place of its first four id bytes."""
    return data[:4] + _COOKIE + data[8:]


def classicised(data: bytes, request: bytes) -> bytes:
    """Return an answer with the first four id bytes of the classic `request` it answers."""
    return data[:4] + request[4:8] + data[8:]
