"""Capabilities that a process needs to load the program, and gives up when it has.

Loading takes CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON. After that descriptors are enough: since Linux
5.19 the kernel asks whoever puts an entry into a map for its descriptor alone, also where
kernel.unprivileged_bpf_disabled is set. An older one asks for CAP_BPF, which is kept there.
"""

from __future__ import annotations

import ctypes
import errno
import os
from struct import Struct

from natkit.dataplane.kernel import places, syscalls
from natkit.dataplane.kernel.syscalls import BpfRefused

NET_ADMIN, SYS_ADMIN, PERFMON, BPF = 12, 21, 38, 39
"""Numbers of capabilities (linux/capability.h). CAP_SYS_ADMIN, which root has, contains CAP_BPF and
CAP_PERFMON."""

_VERSION_3 = 0x20080522
_HEADER = Struct("=Ii")
_SETS = Struct("=6I")
"""Effective, permitted and inheritable: their lower halves, then their upper ones."""
_PR_CAPBSET_DROP = 24


def give_up(table: int | None) -> bool:
    """Give up, for this thread and what it starts, what loading took; threads before keep theirs.

    Args:    table: the descriptor of the map that entries are put into; None: there is none.
    Returns: whether CAP_BPF was kept, since this kernel asks for it with every entry.
    Raises:  OSError: this process may not (a filter of system calls).
    """
    effective, permitted, inheritable = _capabilities()
    lost = 1 << NET_ADMIN | 1 << SYS_ADMIN | 1 << PERFMON
    if not permitted & (lost | 1 << BPF):
        return False  # there is nothing to give up
    _set(effective & ~(lost | 1 << BPF), permitted & ~lost, inheritable & ~lost)
    kept = table is not None and bool(permitted >> BPF & 1) and not _may_put(table)
    if not kept:
        lost |= 1 << BPF
    _set(effective & ~lost, permitted & ~lost, inheritable & ~lost)
    libc = ctypes.CDLL(None, use_errno=True)
    for number in (NET_ADMIN, SYS_ADMIN, PERFMON, *(() if kept else (BPF,))):
        # Root gets all of these back with every program that it starts. Who is not root may not do
        # this, and does not need to.
        libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
    return kept


def _may_put(table: int) -> bool:
    """Tell whether the table can be changed, by taking out what is not there."""
    try:
        syscalls.delete(table, bytes(places.KEY_SIZE))
    except BpfRefused as error:
        if error.code == errno.EPERM:
            return False
        raise
    return True


def _capabilities() -> tuple[int, int, int]:
    header, sets = _header(), ctypes.create_string_buffer(_SETS.size)
    _call("capget", header, sets)
    low, high = _SETS.unpack(sets.raw)[:3], _SETS.unpack(sets.raw)[3:]
    effective, permitted, inheritable = (a | b << 32 for a, b in zip(low, high, strict=True))
    return effective, permitted, inheritable


def _set(*sets: int) -> None:
    packed = _SETS.pack(*(one & 0xFFFFFFFF for one in sets), *(one >> 32 for one in sets))
    _call("capset", _header(), ctypes.create_string_buffer(packed, len(packed)))


def _header() -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(_HEADER.pack(_VERSION_3, 0), _HEADER.size)


def _call(name: str, *arguments: ctypes.Array[ctypes.c_char]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc[name](*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
