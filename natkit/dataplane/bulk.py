"""Many datagrams in one system call: recvmmsg(2), and what sends many, in buffers that stay.

A datagram is received into a slot and leaves from there: no object is made of it, and nobody copies
it. A slot has room for ChannelData's header before what a peer sent:

    name    the sender's sockaddr, as the system writes it
    beside  the ancillary data, with the mark (natkit.dataplane.marks)
    frame   4 bytes for a channel's header
    data    the datagram

Rule of the file: what waits to be sent lies in slots that the inbox counts as used. These are free
again after `Inbox.flush`, and not before.
"""

from __future__ import annotations

import asyncio
import errno
import mmap
import socket
import sys
from collections.abc import Callable
from struct import Struct
from typing import Any, Protocol, TypeAlias

from natkit.dataplane.departures import (
    DONT_WAIT,
    PART,
    Departure,
    Departures,
    MessageDepartures,
    Messages,
    SingleDepartures,
    last_error,
    system_call,
)
from natkit.dataplane.marks import BEFORE, ROOM, marked_receive
from natkit.dataplane.reading import Owner
from natkit.dataplane.ring import open_ring
from natkit.dataplane.routes import Memory, address_of
from natkit.dataplane.sockaddr import from_packed, to_packed
from natkit.dataplane.watching import AT_ONCE, Epoll
from natkit.machine import Instant

BATCH = 32
"""Datagrams read from a socket before others get their turn: enough to spread what a wake-up costs,
and under a millisecond."""

_SLOTS = 2 * BATCH
"""Datagrams under way at once: those that wait to be sent, and those that are being read."""

FEW = 2
"""Datagrams that leave sooner by a call for each than by one for all, which is longer a way."""

_NAME = 32  # sizeof sockaddr_in6 is 28
_BESIDE = 24  # CMSG_SPACE(4), or more
FRAME = _NAME + _BESIDE + 4
DATA = FRAME + 4
SLOT = DATA + 65536
"""Bytes of a slot, and where in it the room for a frame's header and the datagram begin."""

_recvmmsg = system_call("recvmmsg")


def can_bulk() -> bool:
    """Tell whether this system has what it takes."""
    if _recvmmsg is None or system_call("sendmmsg") is None:
        return False
    _recvmmsg(-1, None, 0, 0, None)
    return last_error() == errno.EBADF  # ENOSYS: an emulation without them


def _name_size(*, ipv6: bool) -> int:
    return 28 if ipv6 else 16


Head: TypeAlias = Callable[[Memory, int], tuple[bytes, int, int, int]]
"""Reads a slot: the sender's sockaddr, the mark, and the first four bytes of the datagram as two
numbers, which are an earlier one's where it is shorter.
"""


def _head(*, ipv6: bool) -> Head:
    size = _name_size(ipv6=ipv6)
    to_mark = _NAME - size + BEFORE
    if ipv6 and sys.byteorder == "big":
        to_mark += 3  # IPv4 tells one byte, IPv6 an int
    return Struct(f">{size}s{to_mark}xB{DATA - size - to_mark - 1}xHH").unpack_from


_HEADS = {ipv6: _head(ipv6=ipv6) for ipv6 in (False, True)} if sys.platform == "linux" else {}


class BulkOwner(Owner, Protocol):
    """Whose socket is read. None of these may raise."""

    def received_many(
        self, inbox: Inbox, head: Head, at: int, lengths: list[int], now: Instant, /
    ) -> None:
        """Take datagrams of these `lengths` in bytes, the first one's slot at `at`. Those that are
        to wait are in slots up to `Inbox.used` after it.
        """


class Inbox:
    """Slots that datagrams are received into, and what sends them on from there.

    Attributes:
        data, view: the slots.
        address:    where they are.
        used:       how many of them hold what waits to be sent.
        waiting:    the datagrams that wait. The list stays the same one.
    """

    def __init__(self) -> None:
        self.data = mmap.mmap(-1, SLOT * _SLOTS)  # pages that nothing has reached take nothing
        self.view = memoryview(self.data)
        self.address = address_of(self.data)
        self.used = 0
        self.waiting: list[Departure] = []
        self._singly = SingleDepartures()
        self._departures: Departures = open_ring(_SLOTS) or MessageDepartures(_SLOTS)
        # Of every datagram the system tells how long its name and what is beside it are, in place
        # of how long they may be: the same each time, for one IP version.
        self._arrivals = {ipv6: self._describe(ipv6=ipv6) for ipv6 in (False, True)}

    def _describe(self, *, ipv6: bool) -> Messages:
        messages = Messages(_SLOTS)
        size = _name_size(ipv6=ipv6)
        for slot in range(_SLOTS):
            at = self.address + slot * SLOT
            messages.write(slot, at, size, at + _NAME, ROOM)
            PART.pack_into(messages.parts, slot * PART.size, at + DATA, SLOT - DATA)
        return messages

    def arrivals(self, *, ipv6: bool) -> Messages:
        """Return what describes the slots to recvmmsg."""
        return self._arrivals[ipv6]

    def flush(self) -> None:
        """Send all that waits."""
        self.used = 0
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


class BulkReader:
    """Reads a non-blocking socket until `stop`, a batch at a time.

    Attributes:
        take:     `BulkOwner.received_many` of its owner.
        head:     reads a slot.
        arrivals: what describes the slots to recvmmsg.
        lengths:  of what was received into each.
    """

    __slots__ = ("_sock", "_way", "arrivals", "head", "lengths", "owner", "take")

    def __init__(self, sock: socket.socket, owner: BulkOwner, way: InBulk, *, ipv6: bool) -> None:
        self._sock = sock
        self._way = way
        self.owner = owner
        self.take = owner.received_many
        self.head = _HEADS[ipv6]
        messages = way.inbox.arrivals(ipv6=ipv6)
        self.arrivals, self.lengths = messages.pointers, messages.lengths
        marked_receive(sock, ipv6=ipv6)
        way.add(sock.fileno(), self)

    def stop(self) -> None:
        """Read no more, and close the socket."""
        self._way.flush()  # before its descriptor may be another socket's
        self._way.remove(self._sock.fileno())
        self._sock.close()


class InBulk:
    """The way of sockets whose datagrams come and go in batches: see `Way`.

    Attributes: inbox: what all of them are received into.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.inbox = Inbox()
        self.flush = self.inbox.flush
        self._time = loop.time
        self._readers: dict[int, BulkReader] = {}
        self._epoll = Epoll(loop, self._wake, edges=True)

    def key(self, address: Any) -> Any:
        """Return its sockaddr."""
        return to_packed(address)

    def address(self, key: Any) -> Any:
        """Return what a sockaddr says."""
        return from_packed(key)

    def reader(self, sock: socket.socket, owner: BulkOwner, *, ipv6: bool) -> BulkReader:
        """Read `sock` from now on."""
        return BulkReader(sock, owner, self, ipv6=ipv6)

    def close(self) -> None:
        """Give back what the system lent."""
        self.inbox.close()

    def add(self, descriptor: int, reader: BulkReader) -> None:
        """Have `reader` take what comes to a socket."""
        self._epoll.add(descriptor)
        self._readers[descriptor] = reader

    def remove(self, descriptor: int) -> None:
        """Have nobody take it. To be said before the socket is closed."""
        del self._readers[descriptor]
        self._epoll.remove(descriptor)

    def _wake(self) -> None:
        # One function, although long: a wake-up often brings one or two packets, and finds the
        # caches full of what others did. Every call less that it takes is seen (decision 15).
        inbox, readers, now = self.inbox, self._readers, self._time()
        found = self._epoll.poll(0, AT_ONCE)
        try:
            for descriptor, _ in found:
                reader = readers.get(descriptor)
                if reader is None:
                    continue  # an earlier one has ended this one's life
                if inbox.used > BATCH:
                    inbox.flush()
                first = inbox.used
                count = _recvmmsg(descriptor, reader.arrivals[first], BATCH, DONT_WAIT, None)
                failed = count < 0 and last_error() != errno.EAGAIN
                if failed or count == BATCH:
                    self._epoll.again(descriptor)
                if count > 0:
                    lengths = reader.lengths[first : first + count].tolist()
                    reader.take(inbox, reader.head, first * SLOT, lengths, now)
                elif failed:
                    reader.owner.failed(now)
        except Exception:  # a bug above: we are told once more of the sockets behind it
            for descriptor, _ in found:
                if descriptor in readers:
                    self._epoll.again(descriptor)
            raise
        finally:
            inbox.flush()
