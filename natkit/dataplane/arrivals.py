"""Datagrams by io_uring(7), Linux 6.1 and newer: what came is there when we are woken.

A socket is handed over once (RECVMSG, multishot). The kernel then receives whatever comes to it
into the next free slot and tells which one that is, and nobody is asked for anything.

Rules of the file:
1. Slots are lent to the kernel in a circle: it fills them in order, they are given back in order,
   and the place of one in the circle is its number for ever. What the kernel has told of is given
   back after all that waits has left, and never in part.
2. A socket is in the kernel's hands until it was taken back: closing it alone would leave it bound.
3. The kernel finishes its part while this thread is in a system call, whichever, so that between
   two of ours nothing changes under our hands.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import mmap
import socket
from collections.abc import Iterable
from struct import Struct
from typing import Any

from natkit.dataplane.departures import MESSAGE, Counted, RingDepartures
from natkit.dataplane.marks import marked_receive
from natkit.dataplane.ring import DONE, ENTRY_SIZE, Done, Ring
from natkit.dataplane.routes import Route, address_of
from natkit.dataplane.slots import (
    BESIDE_ROOM,
    DATA,
    HEADS,
    NAME_ROOM,
    SLOT,
    SlotOwner,
    Slots,
)
from natkit.dataplane.sockaddr import from_packed, to_packed

SLOTS = 128
"""Datagrams that may come between two wake-ups before the kernel keeps the others at their sockets:
for a packet each from more calls than one wake-up finds, and half a megabyte of pages."""

ROUNDS = 8
"""Times that more is looked for before the event loop gets its turn again: about a millisecond."""

_ENTRIES = 64
_DONE = 1024
"""A power of two, for SLOTS, and for sockets that ran out of slots all at once."""

_WITHOUT_INTERRUPTING = 1 << 8  # IORING_SETUP_COOP_TASKRUN

_ENTRY = Struct("=BBHiQQIIQH22x")
"""struct io_uring_sqe: operation, flags, priority, descriptor, unused, msghdr, its number, flags of
the message, what it is called, which circle of slots."""
_RECEIVE = (10, 1 << 5, 1 << 1)  # RECVMSG into a slot of the circle, again and again
_MORE = 1 << 1
"""More will come. The upper 16 bits have the number of the slot."""

_done, _DONE_SIZE = DONE.unpack_from, DONE.size

_LENT = Struct("=QIHH")
"""struct io_uring_buf: where a slot is, its size, its number; in the first one also the tail."""
_TAIL = 7
"""Where that is, counted in 16 bits."""
_CIRCLE = Struct("=QIHH24x")
"""struct io_uring_buf_reg: where the circle is, how many slots, its number, flags."""
_LEND = 22  # IORING_REGISTER_PBUF_RING
_CANCEL = Struct("=QiIqqB31x")
"""struct io_uring_sync_cancel_reg: what the entry is called, descriptor, flags, how long to wait
for it (-1: as long as it takes), operation."""
_TAKE_BACK = 24  # IORING_REGISTER_SYNC_CANCEL


class RingReader:
    """Reads a non-blocking socket until `stop`.

    Attributes:
        take: `SlotOwner.received_many` of its owner.
        head: reads a slot.
    """

    __slots__ = ("_number", "_way", "head", "owner", "sock", "take")

    def __init__(self, sock: socket.socket, owner: SlotOwner, way: InRing, *, ipv6: bool) -> None:
        self.sock = sock
        self._way = way
        self.owner = owner
        self.take = owner.received_many
        self.head = HEADS[ipv6]
        marked_receive(sock, ipv6=ipv6)
        self._number = way.add(self)

    def stop(self) -> None:
        """Read no more, and close the socket."""
        self._way.flush()  # before its descriptor may be another socket's
        self._way.remove(self._number)
        self.sock.close()


class InRing:
    """The way of sockets whose datagrams come and go through rings: see `Way`.

    Raises: OSError: there is none to be had here.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._time = loop.time
        self._ring = Ring(_ENTRIES, flags=_WITHOUT_INTERRUPTING, done=_DONE)
        self._departures = RingDepartures(SLOTS)
        self._slots = Slots(SLOTS, self._departures)
        self.flush = self._slots.flush
        self._readers: dict[int, RingReader] = {}
        self._numbers = itertools.count(1)
        self._message = bytearray(MESSAGE.pack(0, NAME_ROOM, 0, 0, 0, BESIDE_ROOM, 0, 0))
        self._lend()

    def _lend(self) -> None:
        """Lend all slots to the kernel."""
        circle = self._circle = mmap.mmap(-1, SLOTS * _LENT.size)
        for number in range(SLOTS):
            where = self._slots.address + number * SLOT
            _LENT.pack_into(circle, number * _LENT.size, where, SLOT, number, 0)
        self._tails = memoryview(circle).cast("H")
        self._tails[_TAIL] = self._lent = SLOTS
        self._ring.register(_LEND, _CIRCLE.pack(address_of(circle), SLOTS, 0, 0))

    def key(self, address: Any) -> Any:
        """Return its sockaddr."""
        return to_packed(address)

    def address(self, key: Any) -> Any:
        """Return what a sockaddr says."""
        return from_packed(key)

    def reader(self, sock: socket.socket, owner: SlotOwner, *, ipv6: bool) -> RingReader:
        """Read `sock` from now on."""
        return RingReader(sock, owner, self, ipv6=ipv6)

    def close(self) -> None:
        """Give back what the system lent."""
        self._ring.close()
        self._slots.close()

    def works(self) -> bool:
        """Tell whether a datagram goes and comes."""
        heard, said = _Heard(), bytearray(b"ring")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.bind(("127.0.0.1", 0))
            reader = self.reader(sock, heard, ipv6=False)
            route = Route(sock.fileno(), to_packed(sock.getsockname()))
            failed = self._departures.send([(route, address_of(said), len(said), heard)])
            self._wake()
            reader.stop()
        return not failed and heard.lengths == [len(said)]

    def add(self, reader: RingReader) -> int:
        """Have `reader` take what comes to its socket; return the number that it has here."""
        if not self._readers:
            self._loop.add_reader(self._ring.descriptor, self._wake)
        number = next(self._numbers)
        self._readers[number] = reader
        self._receive(number, reader.sock)
        return number

    def remove(self, number: int) -> None:
        """Have nobody take it. To be said before the socket is closed."""
        del self._readers[number]
        with contextlib.suppress(FileNotFoundError):  # it has let go of it by itself
            self._ring.register(_TAKE_BACK, _CANCEL.pack(number, -1, 0, -1, -1, 0))
        if not self._readers:
            self._loop.remove_reader(self._ring.descriptor)

    def _receive(self, number: int, sock: socket.socket) -> None:
        """Hand a socket over to the kernel."""
        ring, message = self._ring, address_of(self._message)
        at = (ring.next & ring.mask) * ENTRY_SIZE
        _ENTRY.pack_into(ring.entries, at, *_RECEIVE, sock.fileno(), 0, message, 1, 0, number, 0)
        ring.enter(1)

    def _wake(self) -> None:
        """Go on while the kernel has more: it takes in what comes while we send."""
        if not self._round():
            self._ring.make_room()
        for _ in range(ROUNDS):
            if not self._round():
                return

    def _round(self) -> bool:
        """Deliver what the kernel has received; False: there was nothing."""
        # One function, although long: a wake-up often brings one or two packets, and finds the
        # caches full of what others did. Every call less that it takes is seen (decision 15).
        ring, slots, readers, now = self._ring, self._slots, self._readers, self._time()
        words, memory, start, mask = ring.words, ring.memory, ring.done_at, ring.done_mask
        at, end = words[ring.done_first], words[ring.done_end]
        if at == end:
            return False
        spent, ended = 0, []
        try:
            while at != end:
                number, result, flags = done = _done(memory, start + (at & mask) * _DONE_SIZE)
                at = at + 1 & 0xFFFFFFFF
                if not flags & _MORE:
                    ended.append(done)
                if result < 0:
                    continue
                first, lengths = flags >> 16, [result - DATA]
                while at != end:  # others of that socket, which lie behind it
                    again, result, flags = done = _done(memory, start + (at & mask) * _DONE_SIZE)
                    if again != number or result < 0 or flags >> 16 != first + len(lengths):
                        break
                    at = at + 1 & 0xFFFFFFFF
                    lengths.append(result - DATA)
                    if not flags & _MORE:
                        ended.append(done)
                spent += len(lengths)
                reader = readers.get(number)
                if reader is not None:  # an earlier one may have ended this one's life
                    reader.take(slots, reader.head, first * SLOT, lengths, now)
        finally:  # whatever has gone wrong above: the next packets come
            words[ring.done_first] = at
            slots.flush()
            self._lent += spent
            self._tails[_TAIL] = self._lent & 0xFFFF
            if ended:
                self._go_on(ended)
        return True

    def _go_on(self, ended: Iterable[Done]) -> None:
        """Hand over again the sockets that the kernel let go of: no slot was free, or an error."""
        for number, result, _ in ended:
            reader = self._readers.get(number)
            if reader is None:
                continue
            if result < 0 and result != -errno.ENOBUFS:
                reader.owner.failed(self._time())
            if number in self._readers:  # the failure may have ended its life
                self._receive(number, reader.sock)


class _Heard(Counted):
    """Hears what a probe says."""

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def received_many(self, *found: Any) -> None:
        """Take what was received."""
        self.lengths += found[3]

    def received(self, *_: Any) -> None:
        """Nothing comes this way."""

    def failed(self, _: Any) -> None:
        """Nothing came, then."""


def open_rings(loop: asyncio.AbstractEventLoop) -> InRing | None:
    """Return a way that was seen to send and to receive; None: this system has none, or forbids it.

    Linux 5.19 makes a ring, but its SEND takes no address, and its RECVMSG ends after one.
    """
    try:
        way = InRing(loop)
    except (OSError, TypeError):
        return None
    if way.works():
        return way
    way.close()
    return None
