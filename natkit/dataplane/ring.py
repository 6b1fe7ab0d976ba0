"""Datagrams that leave through many sockets in one system call: io_uring(7), Linux 6.1 and newer.

A ring is memory shared with the kernel. Entries that say what to send are written into it, one call
has all of them done, and of those that failed it says why. Nothing is under way after that call.
Containers and hardened systems often forbid it, and `open_ring` tries.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import sys
from collections.abc import Sequence
from struct import Struct

from natkit.dataplane.departures import Counted, Departure, Failure, last_error, system_call
from natkit.dataplane.routes import NAME_SIZE, Route, address_of
from natkit.dataplane.sockaddr import to_packed
from natkit.machine import Seconds

_SETUP, _ENTER = 425, 426
"""Numbers of the system calls, the same on all machines but alpha (asm-generic/unistd.h)."""

_SUBMIT_ALL, _SINGLE_ISSUER = 1 << 7, 1 << 12
"""Go on after an entry that fails; nobody else uses the ring."""

_PARAMETERS = Struct("=10I10I10I")
"""struct io_uring_params: how many entries, flags and the like; where in the memory is what of the
queue of entries, and of that of what is done.
"""
_ENTRIES_AT = 0x10000000
"""Offset to map for the entries themselves (IORING_OFF_SQES)."""

_ENTRY_SIZE = 64
_ENTRY = Struct("=BBHiQQIIQHHH18x")
"""struct io_uring_sqe: operation, flags, priority, descriptor, where to, data, size, flags of the
message, what a failure is called, two unused, size of the address."""
_CHANGING_AT = 4
_write = Struct("=iQQI").pack_into
"""What is different in each: descriptor, where to, data, size."""
_DONE = Struct("=Qii")
"""struct io_uring_cqe: what it is called, the result, flags."""

_PATIENCE: Seconds = 0.2
"""For a datagram on loopback, where it usually is at once."""

_SEND = 26
_ONLY_FAILURES = 1 << 6  # IOSQE_CQE_SKIP_SUCCESS
_DONT_WAIT = 0x40  # MSG_DONTWAIT


class Ring:
    """A ring for `size` datagrams at once, a power of two: see `Departures`.

    Raises: OSError: there is none to be had here.
    """

    def __init__(self, size: int) -> None:
        self._call = system_call("syscall")
        parameters = bytearray(_PARAMETERS.pack(0, 0, _SUBMIT_ALL | _SINGLE_ISSUER, *[0] * 27))
        where = (ctypes.c_char * len(parameters)).from_buffer(parameters)
        self._descriptor: int = self._call(_SETUP, size, where)
        if self._descriptor < 0:
            raise _error()
        told = _PARAMETERS.unpack(parameters)
        self._map(told[0], told[1], told[10:20], told[20:])
        self._next = 0
        """The first entry that is free, counted from the ring's beginning."""

    def _map(
        self, entries: int, done: int, waiting_at: Sequence[int], done_at: Sequence[int]
    ) -> None:
        """Map the memory, and write what is the same in every entry for ever."""
        array, self._done_at = waiting_at[6], done_at[5]
        size = max(array + entries * 4, self._done_at + done * _DONE.size)
        self._memory = mmap.mmap(self._descriptor, size)
        self._entries = mmap.mmap(self._descriptor, entries * _ENTRY_SIZE, offset=_ENTRIES_AT)
        self._words = memoryview(self._memory).cast("I")
        self._head, self._tail = waiting_at[0] // 4, waiting_at[1] // 4
        self._done_head, self._done_tail = done_at[0] // 4, done_at[1] // 4
        self._mask, self._done_mask = entries - 1, done - 1
        for number in range(entries):
            self._words[array // 4 + number] = number
            same = (_SEND, _ONLY_FAILURES, 0, -1, 0, 0, 0, _DONT_WAIT, number, 0, 0, NAME_SIZE)
            _ENTRY.pack_into(self._entries, number * _ENTRY_SIZE, *same)

    def send(self, waiting: Sequence[Departure]) -> list[Failure]:
        """Send them."""
        entries, mask, first = self._entries, self._mask, self._next
        end = first
        for route, data, size, _ in waiting:
            at = (end & mask) * _ENTRY_SIZE + _CHANGING_AT
            _write(entries, at, route.descriptor, route.name, data, size)
            end += 1
        self._next = end
        words, count = self._words, end - first
        words[self._tail] = end & 0xFFFFFFFF
        taken = self._call(_ENTER, self._descriptor, count, 0, 0, None, 0)
        if taken == count and words[self._done_head] == words[self._done_tail]:
            return []
        failed = [(number - first & mask, code) for number, code in self._done()]
        if taken != count:  # it has no memory, say
            taken = words[self._head] - first & 0xFFFFFFFF
            self._next = words[self._tail] = words[self._head]
            failed += [(place, errno.EAGAIN) for place in range(taken, count)]
        return [_failure(waiting[place], code) for place, code in failed]

    def close(self) -> None:
        """Give the ring back. Closing twice is harmless."""
        if self._memory.closed:
            return
        self._words.release()
        self._memory.close()
        self._entries.close()
        os.close(self._descriptor)

    def _done(self) -> list[tuple[int, int]]:
        """Return the numbers of the entries that failed, each with its errno."""
        words, failed = self._words, []
        done, end = words[self._done_head], words[self._done_tail]
        while done != end:
            at = self._done_at + (done & self._done_mask) * _DONE.size
            number, result, _ = _DONE.unpack_from(self._memory, at)
            failed.append((number, -result))
            done = done + 1 & 0xFFFFFFFF
        words[self._done_head] = done
        return failed


def _failure(departure: Departure, code: int) -> Failure:
    _, data, size, whose = departure
    return Failure(whose, data, size, code)


def open_ring(size: int) -> Ring | None:
    """Return a ring that was seen to send; None: this system has none, or forbids it."""
    if sys.platform != "linux":
        return None
    try:
        ring = Ring(size)
    except (OSError, AttributeError):
        return None
    if _sends(ring):
        return ring
    ring.close()
    return None


def _sends(ring: Ring) -> bool:
    """Tell whether a datagram leaves: Linux 5.19 makes a ring, but its SEND takes no address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(_PATIENCE)  # a busy machine delivers later, even to itself
        sock.bind(("127.0.0.1", 0))
        route = Route(sock.fileno(), to_packed(sock.getsockname()))
        data = bytearray(b"ring")
        try:
            departure = (route, address_of(data), len(data), Counted())
            return not ring.send([departure]) and sock.recv(len(data)) == data
        except TimeoutError:
            return False


def _error() -> OSError:
    code = last_error()
    return OSError(code, os.strerror(code))
