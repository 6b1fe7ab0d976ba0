"""The table that the program forwards by, and the slots that this process shares with it.

Rules of the file:
1. An entry never changes; what changes, its end and what it has carried, is in a slot: memory that
   the kernel and this process both see, so that prolonging and reading it ask the kernel nothing.
2. Workers share the table, and divide the slots; whose slot it is, his is the entry.
3. A slot that was given back is used again last: a packet on another CPU may still count in it.
"""

from __future__ import annotations

import errno
import ipaddress
import mmap
import os
import secrets
from collections import deque
from struct import Struct
from typing import NamedTuple

from natkit.dataplane.kernel import places, syscalls
from natkit.dataplane.kernel.offloads import completes_checksums
from natkit.dataplane.kernel.places import Maps
from natkit.dataplane.kernel.program import relay_program
from natkit.dataplane.kernel.syscalls import BpfRefused, MapKind
from natkit.machine import Instant
from natkit.wire import TransportAddress

CAPACITY = 65536
"""Entries, two for a channel: 13 MB of the kernel's memory when all are used, 4 MB when none is."""

_PORTS = Struct("!HHH2x")
_SLOT = Struct("=I")
_FLOW = Struct("!I")
_FLOWS = 1 << 20
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


class Entries:
    """What one process forwards by: the entries that it makes, each with a slot of its part.

    Args:
        table, slots: descriptors of the maps; owned.
        capacity:     how many slots there are.
        part:         those of this process.
    """

    def __init__(self, table: int, slots: int, capacity: int, part: range) -> None:
        self._descriptors = [table, slots]
        self._table = table
        self._free = deque(part)
        self._slots = mmap.mmap(slots, _pages(capacity * places.SLOT_SIZE))

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
        # Of all values alike, but not 0, which says that there is no flow (RFC 6437 §3).
        flow = 1 + secrets.randbelow(_FLOWS - 1)
        entry = leaving.packed() + _SLOT.pack(slot) + _FLOW.pack(flow)
        try:
            syscalls.update(self._table, arriving.packed(), entry)
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
        """Let go of the maps, and of all else. Closing twice is harmless."""
        self._slots.close()
        _close(self._descriptors)


class FastTable(Entries):
    """The maps, with the program that uses them: where this is closed, the kernel forgets it.

    Raises: BpfRefused: the kernel does not take it.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        made: list[int] = []

        def create(kind: MapKind, key: int, value: int, entries: int, flags: int = 0) -> int:
            made.append(syscalls.create_map(kind, key, value, entries, flags))
            return made[-1]

        try:
            maps = Maps(
                create(MapKind.HASH, places.KEY_SIZE, places.ENTRY_SIZE, capacity, _SPARSE),
                create(MapKind.ARRAY, 4, places.SLOT_SIZE, capacity, syscalls.MMAPABLE),
                create(MapKind.PER_CPU_ARRAY, 4, places.SCRATCH_SIZE, 1),
                create(MapKind.HASH, 4, places.MAC_SIZE, _INTERFACES),
            )
            self._program = syscalls.load_program(relay_program(maps), "natkit_relay")
        except BaseException:
            _close(made)
            raise
        super().__init__(maps.table, maps.slots, capacity, range(capacity))
        self._interfaces, self._capacity = maps.interfaces, capacity
        self._maps = maps
        self._native: int | None = None
        self._descriptors += [maps.scratch, maps.interfaces, self._program]

    @property
    def shared(self) -> tuple[int, int]:
        """The descriptors that `open_part` takes in another process."""
        return self._descriptors[0], self._descriptors[1]

    def attach(self, interface: int, mac: bytes, *, native: bool = False) -> bool:
        """See what comes in on an interface, by its index, for its Ethernet address.

        Args:    native: in its driver, if that takes the program.
        Returns: whether it is in the driver.
        Raises:  BpfRefused: another program is there.
        """
        key, completes = _INDEX.pack(interface), completes_checksums(interface)
        syscalls.update(self._interfaces, key, mac + bytes((False, completes)))
        if native and self._attach_native(interface):
            syscalls.update(self._interfaces, key, mac + bytes((True, completes)))
            return True
        self._descriptors.append(syscalls.attach(self._program, interface))
        return False

    def _attach_native(self, interface: int) -> bool:
        try:
            if self._native is None:
                self._native = syscalls.load_program(
                    relay_program(self._maps, native=True), "natkit_native"
                )
                self._descriptors.append(self._native)
            self._descriptors.append(syscalls.attach(self._native, interface, driver=True))
        except BpfRefused as error:
            if error.code in (errno.EBUSY, errno.EEXIST):
                raise
            return False
        return True

    def end(self, number: int, workers: int) -> None:
        """Take out every entry of a worker that is gone."""
        part = part_of(self._capacity, number, workers)
        size = places.SLOT_SIZE
        # With its slot each of them ends at once; then nothing of them is to be found.
        self._slots[part.start * size : part.stop * size] = bytes(len(part) * size)
        for key, value in syscalls.entries(self._table, places.KEY_SIZE, places.ENTRY_SIZE):
            if _SLOT.unpack_from(value, places.SLOT.offset)[0] in part:
                syscalls.delete(self._table, key)


def open_part(
    table: int, slots: int, number: int, workers: int, capacity: int = CAPACITY
) -> Entries:
    """Return one worker's part of a table that another process has made."""
    return Entries(table, slots, capacity, part_of(capacity, number, workers))


def part_of(capacity: int, number: int, workers: int) -> range:
    """Return a worker's slots."""
    return range(capacity * number // workers, capacity * (number + 1) // workers)


def _close(descriptors: list[int]) -> None:
    for descriptor in reversed(descriptors):
        os.close(descriptor)
    descriptors.clear()


def _mapped(ip: str) -> bytes:
    address = ipaddress.ip_address(ip)
    if address.version == 6:
        return address.packed
    return bytes(10) + b"\xff\xff" + address.packed


def _pages(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
