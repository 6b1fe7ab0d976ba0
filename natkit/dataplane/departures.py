"""Datagrams that wait to be sent together, from whichever sockets."""

from __future__ import annotations

import ctypes
import sys
from struct import Struct
from typing import Any, NamedTuple, Protocol

from natkit.dataplane.routes import NAME_SIZE, Route, address_of

MESSAGE = Struct("@PIPNPNi0PI0P")
"""struct mmsghdr: name and its size, parts and their number, ancillary data and its size, flags,
and how long the datagram is."""
_LENGTH_AT = Struct("@PIPNPNi0P").size
PART = Struct("@PN")
"""struct iovec."""
DONT_WAIT = 0x40  # MSG_DONTWAIT


class Counted:
    """Has counted a datagram as sent that has yet to be."""

    __slots__ = ()

    def missed(self, data: memoryview, code: int, /) -> None:
        """Take that it could not be, with this errno."""


class Failure(NamedTuple):
    """A datagram that could not be sent: whose, where it is in memory, its size, and errno."""

    whose: Counted
    data: int
    size: int
    code: int


class Departures(Protocol):
    """Takes datagrams that wait, as many at once as it was made for."""

    def add(self, route: Route, data: int, size: int, whose: Counted, /) -> None:
        """Have the `size` bytes at the address `data` wait, which stay there until `flush`."""

    def flush(self) -> list[Failure]:
        """Send what waits; return what could not be sent."""

    def close(self) -> None:
        """Give back what it took of the system."""


def system_call(name: str) -> Any:
    """Return a function of the C library; None: it has none such.

    Calls take half the time without `argtypes`, and a tenth less with the interpreter held.
    """
    if sys.platform != "linux":
        return None
    return getattr(ctypes.PyDLL(None, use_errno=True), name, None)


_sendmmsg = system_call("sendmmsg")


class Messages:
    """An array of `size` mmsghdr, each with one iovec.

    Attributes:
        headers, parts: the arrays.
        pointers:       to each mmsghdr.
        lengths:        of what was received into each.
    """

    def __init__(self, size: int) -> None:
        self.headers = bytearray(MESSAGE.size * size)
        self.parts = bytearray(PART.size * size)
        address = address_of(self.headers)
        places = range(address, address + len(self.headers), MESSAGE.size)
        self.pointers = [ctypes.c_void_p(place) for place in places]
        self._parts_at = address_of(self.parts)
        self.lengths = memoryview(self.headers).cast("I")[_LENGTH_AT // 4 :: MESSAGE.size // 4]

    def write(self, place: int, name: int, name_size: int, beside: int, beside_size: int) -> None:
        """Write an mmsghdr, where in memory what it names is."""
        part, at = self._parts_at + place * PART.size, place * MESSAGE.size
        MESSAGE.pack_into(self.headers, at, name, name_size, part, 1, beside, beside_size, 0, 0)


class MessageDepartures:
    """Sends with sendmmsg(2) what waits, neighbours from the same socket in one call."""

    def __init__(self, size: int) -> None:
        self._messages = Messages(size)
        for place in range(size):
            self._messages.write(place, 0, NAME_SIZE, 0, 0)
        self._waiting: list[tuple[int, Counted]] = []

    def add(self, route: Route, data: int, size: int, whose: Counted) -> None:
        """Have a datagram wait."""
        messages, place = self._messages, len(self._waiting)
        _write_name(messages.headers, place * MESSAGE.size, route.name)
        PART.pack_into(messages.parts, place * PART.size, data, size)
        self._waiting.append((route.descriptor, whose))

    def flush(self) -> list[Failure]:
        """Send what waits."""
        waiting, self._waiting = self._waiting, []
        pointers, failed = self._messages.pointers, []
        at, end = 0, len(waiting)
        while at < end:
            descriptor, whose = waiting[at]
            until = at + 1
            while until < end and waiting[until][0] == descriptor:
                until += 1
            sent = _sendmmsg(descriptor, pointers[at], until - at, DONT_WAIT)
            if sent > 0:
                at += sent
            else:  # it is the first of them that cannot be sent
                code = ctypes.get_errno()
                data, size = PART.unpack_from(self._messages.parts, at * PART.size)
                failed.append(Failure(whose, data, size, code))
                at += 1
        return failed

    def close(self) -> None:
        """Nothing was taken."""


_write_name = Struct("@P").pack_into
