"""The table that the program forwards by, and the slots that this process shares with it.

Rules of the file:
1. An entry never changes; what changes, its end and what it has carried, is in a slot: memory that
   the kernel and this process both see, so that prolonging and reading it ask the kernel nothing.
2. A slot that was given back is used again last: a packet on another CPU may still count in it.
"""

from __future__ import annotations

import ipaddress
import mmap
import os
from collections import deque
from struct import Struct
from typing import NamedTuple

from natkit.dataplane.kernel import places, syscalls
from natkit.dataplane.kernel.places import Maps
from natkit.dataplane.kernel.program import relay_program
from natkit.dataplane.kernel.syscalls import BpfRefused, MapKind
from natkit.machine import Instant
from natkit.wire import TransportAddress

CAPACITY = 65536
"""Entries, two for a channel: 12 MB of the kernel's memory when all are used, 2 MB when none is."""

_PORTS = Struct("!HHH2x")
_SLOT = Struct("=I4x")
_UNTIL = Struct("=Q")
_CARRIED = Struct("=QQQ")
_NANO = 1_000_000_000
_INDEX = Struct("=I")
_SPARSE = 1
"""Flag of a map that takes memory for what is in it."""
_INTERFACES = 64


class Ends(NamedTuple):
    """Between whom a datagram goes; `channel` is the one it comes or goes in, or 0."""

    source: TransportAddress
    destination: TransportAddress
    channel: int

    def packed(self) -> bytes:
        """Return it as the program looks it up."""
        return (
            _mapped(self.source.ip)
            + _mapped(self.destination.ip)
            + _PORTS.pack(self.source.port, self.destination.port, self.channel)
        )


class Carried(NamedTuple):
    """What an entry has carried.

    Attributes: seen_at: when it last did; 0: never.
    """

    packets: int
    size: int
    seen_at: Instant


class FastTable:
    """The maps, and the program that uses them.

    Raises: BpfRefused: the kernel does not take it.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._descriptors: list[int] = []
        self._free = deque(range(capacity))
        try:
            maps = Maps(
                self._map(MapKind.HASH, places.KEY_SIZE, places.ENTRY_SIZE, capacity, _SPARSE),
                self._map(MapKind.ARRAY, 4, places.SLOT_SIZE, capacity, syscalls.MMAPABLE),
                self._map(MapKind.PER_CPU_ARRAY, 4, places.SCRATCH_SIZE, 1),
                self._map(MapKind.HASH, 4, places.MAC_SIZE, _INTERFACES),
            )
            self._table, self._interfaces = maps.table, maps.interfaces
            code = relay_program(maps)
            self._program = self._keep(syscalls.load_program(code, "natkit_relay"))
        except BaseException:
            self._close_all()
            raise
        self._slots = mmap.mmap(maps.slots, _pages(capacity * places.SLOT_SIZE))

    def attach(self, interface: int, mac: bytes) -> None:
        """See what comes in on an interface, by its index, for its Ethernet address.

        Raises: BpfRefused: another program is there.
        """
        syscalls.update(self._interfaces, _INDEX.pack(interface), mac + bytes(2))
        self._keep(syscalls.attach(self._program, interface))

    def put(self, arriving: Ends, leaving: Ends, until: Instant) -> int | None:
        """Forward what arrives so, as what leaves so, until then; return the entry's slot.

        None: the table is full.
        """
        if not self._free:
            return None
        slot = self._free.popleft()
        start = slot * places.SLOT_SIZE
        self._slots[start : start + places.SLOT_SIZE] = bytes(places.SLOT_SIZE)
        self.prolong(slot, until)
        try:
            syscalls.update(self._table, arriving.packed(), leaving.packed() + _SLOT.pack(slot))
        except BpfRefused:
            self._free.append(slot)
            return None
        return slot

    def prolong(self, slot: int, until: Instant) -> None:
        """Let the entry end then."""
        at = slot * places.SLOT_SIZE + places.UNTIL.offset
        _UNTIL.pack_into(self._slots, at, max(0, int(until * _NANO)))

    def take(self, arriving: Ends, slot: int) -> Carried:
        """Take an entry out; return what it carried."""
        syscalls.delete(self._table, arriving.packed())
        self.prolong(slot, 0.0)
        self._free.append(slot)
        return self.carried(slot)

    def carried(self, slot: int) -> Carried:
        """Return what an entry has carried so far."""
        at = slot * places.SLOT_SIZE + places.PACKETS.offset
        packets, size, seen = _CARRIED.unpack_from(self._slots, at)
        return Carried(packets, size, seen / _NANO)

    def close(self) -> None:
        """Let the kernel forget it all."""
        self._slots.close()
        self._close_all()

    def _map(self, kind: MapKind, key: int, value: int, entries: int, flags: int = 0) -> int:
        return self._keep(syscalls.create_map(kind, key, value, entries, flags))

    def _keep(self, descriptor: int) -> int:
        self._descriptors.append(descriptor)
        return descriptor

    def _close_all(self) -> None:
        for descriptor in reversed(self._descriptors):
            os.close(descriptor)
        self._descriptors.clear()


def _mapped(ip: str) -> bytes:
    address = ipaddress.ip_address(ip)
    if address.version == 6:
        return address.packed
    return bytes(10) + b"\xff\xff" + address.packed


def _pages(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
