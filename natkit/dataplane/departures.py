"""Datagrams that wait to be sent together, from whichever sockets."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from struct import Struct
from typing import Any, NamedTuple, Protocol, TypeAlias

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


Departure: TypeAlias = tuple[Route, int, int, Counted]
"""A datagram that waits: where it leaves and where to, its address in memory, its size in bytes,
and who has counted it. A tuple is what Python makes fastest.
"""


class Departures(Protocol):
    """Sends datagrams that wait, as many at once as it was made for."""

    def send(self, waiting: Sequence[Departure], /) -> list[Failure]:
        """Send one or more; return those that could not be sent."""

    def close(self) -> None:
        """Give back what it took of the system."""


_libc: Any = ctypes.PyDLL(None) if sys.platform == "linux" else None


def system_call(name: str) -> Any:
    """Return a function of the C library; None: it has none such.

    Calls take half the time without `argtypes`, and a tenth less with the interpreter held, and
    with errno left where it is.
    """
    return getattr(_libc, name, None)


def last_error() -> int:
    """Return the errno of the system call that has just failed, by this thread."""
    return int(_errno_at()[0])


_errno_at = system_call("__errno_location")
if _errno_at is not None:
    _errno_at.restype = ctypes.POINTER(ctypes.c_int)
_sendmmsg = system_call("sendmmsg")
_sendto = system_call("sendto")
_pointer = ctypes.c_void_p


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


class SingleDepartures:
    """Sends with sendto(2), one after the other."""

    def send(self, waiting: Sequence[Departure]) -> list[Failure]:
        """Send them."""
        failed = []
        for route, data, size, whose in waiting:
            name = _pointer(route.name)
            sent = _sendto(route.descriptor, _pointer(data), size, DONT_WAIT, name, NAME_SIZE)
            if sent < 0:
                failed.append(Failure(whose, data, size, last_error()))
        return failed

    def close(self) -> None:
        """Nothing was taken."""


class MessageDepartures:
    """Sends with sendmmsg(2) what waits, neighbours from the same socket in one call."""

    def __init__(self, size: int) -> None:
        self._messages = Messages(size)
        for place in range(size):
            self._messages.write(place, 0, NAME_SIZE, 0, 0)

    def send(self, waiting: Sequence[Departure]) -> list[Failure]:
        """Send them."""
        headers, parts = self._messages.headers, self._messages.parts
        for place, (route, data, size, _) in enumerate(waiting):
            _write_name(headers, place * MESSAGE.size, route.name)
            PART.pack_into(parts, place * PART.size, data, size)
        pointers, failed = self._messages.pointers, []
        at, end = 0, len(waiting)
        while at < end:
            route, data, size, whose = waiting[at]
            until = at + 1
            while until < end and waiting[until][0].descriptor == route.descriptor:
                until += 1
            sent = _sendmmsg(route.descriptor, pointers[at], until - at, DONT_WAIT)
            if sent > 0:
                at += sent
            else:  # it is the first of them that cannot be sent
                failed.append(Failure(whose, data, size, last_error()))
                at += 1
        return failed

    def close(self) -> None:
        """Nothing was taken."""


_write_name = Struct("@P").pack_into
