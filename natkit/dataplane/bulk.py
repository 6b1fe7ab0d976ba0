"""Many datagrams in one system call: recvmmsg(2), and sendmmsg(2)."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any

from natkit.dataplane.departures import DONT_WAIT, PART, MessageDepartures, Messages
from natkit.dataplane.libc import last_error, system_call
from natkit.dataplane.marks import ROOM, marked_receive
from natkit.dataplane.slots import (
    BESIDE,
    DATA,
    HEADS,
    NAME,
    SLOT,
    SlotOwner,
    Slots,
    name_size,
)
from natkit.dataplane.sockaddr import from_packed, to_packed
from natkit.dataplane.watching import AT_ONCE, Epoll

BATCH = 32
"""Datagrams read from a socket before others get their turn: enough to spread what a wake-up costs,
and under a millisecond."""

SLOTS = 2 * BATCH
"""Datagrams under way at once: those that wait to be sent, and those that are being read."""

_recvmmsg = system_call("recvmmsg")


def can_bulk() -> bool:
    """Tell whether this system has what it takes."""
    if _recvmmsg is None or system_call("sendmmsg") is None:
        return False
    _recvmmsg(-1, None, 0, 0, None)
    return last_error() == errno.EBADF  # ENOSYS: an emulation without them


def described(slots: Slots, *, ipv6: bool) -> Messages:
    """Return what describes the slots to recvmmsg.

    Of every datagram the system tells how long its name and what is beside it are, in place of how
    long they may be: the same each time, for one IP version.
    """
    messages = Messages(SLOTS)
    size = name_size(ipv6=ipv6)
    for slot in range(SLOTS):
        at = slots.address + slot * SLOT
        messages.write(slot, at + NAME, size, at + BESIDE, ROOM)
        PART.pack_into(messages.parts, slot * PART.size, at + DATA, SLOT - DATA)
    return messages


class BulkReader:
    """Reads a non-blocking socket until `stop`, a batch at a time.

    Attributes:
        take:     `SlotOwner.received_many` of its owner.
        head:     reads a slot.
        arrivals: what describes the slots to recvmmsg.
        lengths:  of what was received into each.
    """

    __slots__ = ("_sock", "_way", "arrivals", "head", "lengths", "owner", "take")

    def __init__(self, sock: socket.socket, owner: SlotOwner, way: InBulk, *, ipv6: bool) -> None:
        self._sock = sock
        self._way = way
        self.owner = owner
        self.take = owner.received_many
        self.head = HEADS[ipv6]
        messages = way.arrivals[ipv6]
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

    Attributes: arrivals: what describes the slots, for IPv4 and for IPv6.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._slots = Slots(SLOTS, MessageDepartures(SLOTS))
        self.arrivals = [described(self._slots, ipv6=ipv6) for ipv6 in (False, True)]
        self.flush = self._slots.flush
        self._time = loop.time
        self._readers: dict[int, BulkReader] = {}
        self._epoll = Epoll(loop, self._wake, edges=True)

    def key(self, address: Any) -> Any:
        """Return its sockaddr."""
        return to_packed(address)

    def address(self, key: Any) -> Any:
        """Return what a sockaddr says."""
        return from_packed(key)

    def reader(self, sock: socket.socket, owner: SlotOwner, *, ipv6: bool) -> BulkReader:
        """Read `sock` from now on."""
        return BulkReader(sock, owner, self, ipv6=ipv6)

    def close(self) -> None:
        """Give back what the system lent."""
        self._slots.close()

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
        slots, readers, now = self._slots, self._readers, self._time()
        used, found = 0, self._epoll.poll(0, AT_ONCE)
        try:
            for descriptor, _ in found:
                reader = readers.get(descriptor)
                if reader is None:
                    continue  # an earlier one has ended this one's life
                if used > BATCH:
                    slots.flush()
                    used = 0
                count = _recvmmsg(descriptor, reader.arrivals[used], BATCH, DONT_WAIT, None)
                failed = count < 0 and last_error() != errno.EAGAIN
                if failed or count == BATCH:
                    self._epoll.again(descriptor)
                if count > 0:
                    lengths = reader.lengths[used : used + count].tolist()
                    reader.take(slots, reader.head, used * SLOT, lengths, now)
                    used += count
                elif failed:
                    reader.owner.failed(now)
        except Exception:  # a bug above: we are told once more of the sockets behind it
            for descriptor, _ in found:
                if descriptor in readers:
                    self._epoll.again(descriptor)
            raise
        finally:
            slots.flush()
