"""The memory of an io_uring(7), and its system calls.

A ring is memory shared with the kernel: entries that say what to do, and what became of those that
are done. Containers and hardened systems often forbid it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Sequence
from struct import Struct

from natkit.dataplane.libc import as_error, last_error, system_call

_SETUP, _ENTER, _REGISTER = 425, 426, 427
"""Numbers of the system calls, the same on all machines but alpha (asm-generic/unistd.h)."""

_OWN_SIZE, _SUBMIT_ALL, _ONE_TASK = 1 << 3, 1 << 7, 1 << 12
"""What is done has a size of its own; go on after an entry that fails; nobody else uses it."""
_GET_EVENTS = 1

_PARAMETERS = Struct("=10I10I10I")
"""struct io_uring_params: how many entries, flags and the like; where in the memory is what of the
queue of entries, and of that of what is done.
"""
_ENTRIES_AT = 0x10000000
"""Offset to map for the entries themselves (IORING_OFF_SQES)."""

ENTRY_SIZE = 64
_DONE = Struct("=QiI")
"""struct io_uring_cqe: what the entry is called, the result, flags."""

Done = tuple[int, int, int]
"""What an entry was called, its result (negative: an errno), and flags."""


class Ring:
    """A ring of `size` entries, a power of two, that one thread uses.

    Args:
        flags: of io_uring_setup(2), beside those that are always there.
        done:  how much that is done is kept until `done` takes it; 0: twice the size.

    Attributes:
        entries: the entries' memory, ENTRY_SIZE bytes each.
        mask:    a count of entries & mask is which of them it is.
        next:    how many entries were handed over.

    Raises: OSError: there is none to be had here.
    """

    def __init__(self, size: int, *, flags: int = 0, done: int = 0) -> None:
        self._call = system_call("syscall")
        flags |= _SUBMIT_ALL | _ONE_TASK | (_OWN_SIZE if done else 0)
        parameters = bytearray(_PARAMETERS.pack(size, done, flags, *[0] * 27))
        where = (ctypes.c_char * len(parameters)).from_buffer(parameters)
        self.descriptor: int = self._call(_SETUP, size, where)
        if self.descriptor < 0:
            raise as_error(last_error())
        told = _PARAMETERS.unpack(parameters)
        self._map(told[0], told[1], told[10:20], told[20:])
        self.next = 0

    def _map(
        self, entries: int, done: int, waiting_at: Sequence[int], done_at: Sequence[int]
    ) -> None:
        array, self._done_at = waiting_at[6], done_at[5]
        size = max(array + entries * 4, self._done_at + done * _DONE.size)
        self._memory = mmap.mmap(self.descriptor, size)
        self.entries = mmap.mmap(self.descriptor, entries * ENTRY_SIZE, offset=_ENTRIES_AT)
        self._words = memoryview(self._memory).cast("I")
        self._head, self._tail = waiting_at[0] // 4, waiting_at[1] // 4
        self._done_head, self._done_tail = done_at[0] // 4, done_at[1] // 4
        self.mask, self._done_size = entries - 1, done
        for number in range(entries):
            self._words[array // 4 + number] = number

    def enter(self, count: int) -> int:
        """Hand over the `count` entries after `next`; return how many were taken."""
        words = self._words
        words[self._tail] = self.next = self.next + count & 0xFFFFFFFF
        taken: int = self._call(_ENTER, self.descriptor, count, 0, 0, None, 0)
        if taken != count:  # it has no memory, say
            first = self.next - count
            self.next = words[self._tail] = words[self._head]
            return self.next - first & 0xFFFFFFFF
        return count

    def done(self) -> list[Done]:
        """Return what is done, and forget it."""
        words = self._words
        head, tail = words[self._done_head], words[self._done_tail]
        if head == tail:
            return []
        words[self._done_head] = tail
        size, start = _DONE.size, self._done_at
        first, count = head & self._done_size - 1, tail - head & 0xFFFFFFFF
        here = min(count, self._done_size - first)
        at = start + first * size
        found = list(_DONE.iter_unpack(self._memory[at : at + here * size]))
        if here < count:
            found += _DONE.iter_unpack(self._memory[start : start + (count - here) * size])
        return found

    def make_room(self) -> None:
        """Have the kernel hand over what is done and found no room before."""
        self._call(_ENTER, self.descriptor, 0, 0, _GET_EVENTS, None, 0)

    def register(self, what: int, how: bytes) -> None:
        """Do io_uring_register(2) of one thing. Raises: OSError."""
        if self._call(_REGISTER, self.descriptor, what, how, 1) < 0:
            raise as_error(last_error())

    def close(self) -> None:
        """Give the ring back. Closing twice is harmless."""
        if self._memory.closed:
            return
        self._words.release()
        self._memory.close()
        self.entries.close()
        os.close(self.descriptor)
