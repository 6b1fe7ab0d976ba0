"""Datagrams at places in memory that stay, from their arrival until they have left.

A datagram is received into a slot and leaves from there: no object is made of it, and nobody copies
it. A slot has room for ChannelData's header before what a peer sent:

    before  what io_uring says of a datagram
    name    the sender's sockaddr, as the system writes it
    beside  the ancillary data, with the mark (natkit.dataplane.marks)
    frame   4 bytes for a channel's header
    data    the datagram

Rule of the file: what waits to be sent lies in slots. Nothing else is received into these until
`Slots.flush`.
"""

from __future__ import annotations

import mmap
import sys
from collections.abc import Callable
from struct import Struct
from typing import Protocol, TypeAlias

from natkit.dataplane.departures import Departure, Departures, SingleDepartures
from natkit.dataplane.marks import BEFORE
from natkit.dataplane.reading import Owner
from natkit.dataplane.routes import Memory, address_of
from natkit.machine import Instant

NAME = 16
NAME_ROOM = 32  # sizeof sockaddr_in6 is 28
BESIDE = NAME + NAME_ROOM
BESIDE_ROOM = 32  # CMSG_SPACE(4) is 24 at the most; the frame's header is the last 4
DATA = BESIDE + BESIDE_ROOM
FRAME = DATA - 4
SLOT = DATA + 65536
"""Bytes of a slot, and where in it is what."""

FEW = 2
"""Datagrams that leave sooner by a call for each than by one for all, which is longer a way."""

Head: TypeAlias = Callable[[Memory, int], tuple[bytes, int, int, int]]
"""Reads a slot: the sender's sockaddr, the mark, and the first four bytes of the datagram as two
numbers, which are an earlier one's where it is shorter.
"""


def name_size(*, ipv6: bool) -> int:
    """Return the bytes of a sockaddr."""
    return 28 if ipv6 else 16


def _head(*, ipv6: bool) -> Head:
    size = name_size(ipv6=ipv6)
    to_mark = NAME_ROOM - size + BEFORE
    if ipv6 and sys.byteorder == "big":
        to_mark += 3  # IPv4 tells one byte, IPv6 an int
    rest = DATA - NAME - size - to_mark - 1
    return Struct(f">{NAME}x{size}s{to_mark}xB{rest}xHH").unpack_from


HEADS = {ipv6: _head(ipv6=ipv6) for ipv6 in (False, True)} if sys.platform == "linux" else {}


class SlotOwner(Owner, Protocol):
    """Whose socket is read. None of these may raise."""

    def received_many(
        self, slots: Slots, head: Head, at: int, lengths: list[int], now: Instant, /
    ) -> None:
        """Take datagrams of these `lengths` in bytes, the first one's slot at `at`."""


class Slots:
    """Slots, and what sends on what lies in them.

    Args: departures: take as many at once as there are slots.

    Attributes:
        data, view: the slots.
        address:    where they are.
        waiting:    the datagrams that wait to be sent. The list stays the same one.
    """

    def __init__(self, count: int, departures: Departures) -> None:
        self.data = mmap.mmap(-1, SLOT * count)  # pages that no datagram has reached take nothing
        self.view = memoryview(self.data)
        self.address = address_of(self.data)
        self.waiting: list[Departure] = []
        self._singly = SingleDepartures()
        self._departures = departures

    def flush(self) -> None:
        """Send all that waits."""
        if not self.waiting:
            return
        departures = self._departures if len(self.waiting) > FEW else self._singly
        failures = departures.send(self.waiting)
        self.waiting.clear()
        for whose, data, size, code in failures:
            at = data - self.address
            whose.missed(self.view[at : at + size], code)

    def close(self) -> None:
        """Give back what the system lent."""
        self._departures.close()
