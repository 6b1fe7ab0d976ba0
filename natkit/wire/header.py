"""The STUN header: what a message is for and about (RFC 8489 §5)."""

from __future__ import annotations

from enum import IntEnum
from struct import Struct

from natkit.errors import MalformedMessage

HEADER_SIZE = 20
"""Bytes before the first attribute; the length field does not count them."""

TRANSACTION_ID_SIZE = 12

MAGIC_COOKIE = 0x2112A442
"""Second word of every message since RFC 5389; before, there was no fixed value there."""

HEADER = Struct("!HHI12s")
"""Type, length, magic cookie, transaction ID."""

_CHECKED = Struct("!HHI")


class MessageClass(IntEnum):
    """What a message is for; the values are the class bits in the type field (§5)."""

    REQUEST = 0x000
    INDICATION = 0x010
    SUCCESS = 0x100
    ERROR = 0x110


class Method(IntEnum):
    """What a message is about (IANA "STUN Methods"); all below 0x10, so bits need no shuffling."""

    BINDING = 0x001
    ALLOCATE = 0x003
    REFRESH = 0x004
    SEND = 0x006
    DATA = 0x007
    CREATE_PERMISSION = 0x008
    CHANNEL_BIND = 0x009
    CONNECT = 0x00A
    CONNECTION_BIND = 0x00B
    CONNECTION_ATTEMPT = 0x00C


_INDICATIONS = {Method.SEND, Method.DATA, Method.CONNECTION_ATTEMPT}


def _allowed(method: Method, kind: MessageClass) -> bool:
    """Tell whether an RFC defines the pair: a message of any other is discarded (§6.3)."""
    if method is Method.BINDING:
        return True
    return (kind is MessageClass.INDICATION) == (method in _INDICATIONS)


_TYPES = {
    method | kind: (method, kind)
    for method in Method
    for kind in MessageClass
    if _allowed(method, kind)
}


def decode_header(data: bytes) -> tuple[Method, MessageClass]:
    """Check the header of the message that is all of `data`, and say what it is.

        |0 0|     STUN Message Type     |         Message Length        |
        |                         Magic Cookie                          |
        |                     Transaction ID (96 bits)                  |

    Raises: MalformedMessage: the header is not that of a STUN message of this size.
    """
    following = len(data) - HEADER_SIZE
    if following < 0:
        raise MalformedMessage("header", "RFC 8489 §5", f"{len(data)} bytes")
    number, length, cookie = _CHECKED.unpack_from(data)
    if cookie != MAGIC_COOKIE:
        raise MalformedMessage("magic cookie", "RFC 8489 §5", f"{cookie:#010x}")
    if length != following or length % 4:
        why = f"says {length} where {following} bytes follow the header"
        raise MalformedMessage("message length", "RFC 8489 §5", why)
    if number not in _TYPES:
        raise MalformedMessage("message type", "RFC 8489 §6.3", f"{number:#06x}")
    return _TYPES[number]
