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
DONE = Struct("=QiI")
"""struct io_uring_cqe: what the entry was called, its result (negative: an errno), flags."""

Done = tuple[int, int, int]
"""The same in Python."""


class Ring:
    """A ring of `size` entries, a power of two, that one thread uses.

    Args:
        flags: of io_uring_setup(2), beside those that are always there.
        done:  how much that is done is kept until `done` takes it; 0: twice the size.

    Attributes:
        entries:    the entries' memory, ENTRY_SIZE bytes each.
        mask:       a count of entries & mask is which of them it is.
        next:       how many entries were handed over.
        memory:     with what is done: each at `done_at` + DONE.size * (its count & `done_mask`).
        words:      the same memory in 32 bits.
        done_first: which of these counts what of it was taken; who takes some adds to it.
        done_end:   which of these counts what there is.

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
        array, self.done_at = waiting_at[6], done_at[5]
        size = max(array + entries * 4, self.done_at + done * DONE.size)
        self.memory = mmap.mmap(self.descriptor, size)
        self.entries = mmap.mmap(self.descriptor, entries * ENTRY_SIZE, offset=_ENTRIES_AT)
        self.words = memoryview(self.memory).cast("I")
        self._head, self._tail = waiting_at[0] // 4, waiting_at[1] // 4
        self.done_first, self.done_end = done_at[0] // 4, done_at[1] // 4
        self.mask, self.done_mask = entries - 1, done - 1
        for number in range(entries):
            self.words[array // 4 + number] = number

    def enter(self, count: int) -> int:
        """Hand over the `count` entries after `next`; return how many were taken."""
        words = self.words
        words[self._tail] = self.next = self.next + count & 0xFFFFFFFF
        taken: int = self._call(_ENTER, self.descriptor, count, 0, 0, None, 0)
        if taken != count:  # it has no memory, say
            first = self.next - count
            self.next = words[self._tail] = words[self._head]
            return self.next - first & 0xFFFFFFFF
        return count

    def done(self) -> list[Done]:
        """Return what is done, and forget it."""
        words, found = self.words, []
        first, end = words[self.done_first], words[self.done_end]
        while first != end:
            at = self.done_at + (first & self.done_mask) * DONE.size
            found.append(DONE.unpack_from(self.memory, at))
            first = first + 1 & 0xFFFFFFFF
        words[self.done_first] = first
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
        if self.memory.closed:
            return
        self.words.release()
        self.memory.close()
        self.entries.close()
        os.close(self.descriptor)
