"""Where datagrams leave and where to, as the system reads it: at places in memory that stay."""

from __future__ import annotations

import ctypes
from mmap import mmap
from typing import TypeAlias

NAME_SIZE = 28
"""Bytes of sockaddr_in6. A sockaddr_in may say that it is so long."""


Memory: TypeAlias = bytearray | mmap


def address_of(data: Memory) -> int:
    """Return where `data` is, as long as nobody makes it grow."""
    return ctypes.addressof((ctypes.c_char * len(data)).from_buffer(data))


class Route:
    """A socket to send through, and where to.

    Args: packed: the receiver's sockaddr.

    Attributes:
        descriptor: the socket's.
        name:       where in memory the sockaddr is, with NAME_SIZE bytes that can be read.
    """

    __slots__ = ("_data", "descriptor", "name")

    def __init__(self, descriptor: int, packed: bytes) -> None:
        self.descriptor = descriptor
        self._data = bytearray(packed.ljust(NAME_SIZE, b"\0"))
        self.name = address_of(self._data)


NOWHERE = Route(-1, b"")
"""What nobody reads."""
