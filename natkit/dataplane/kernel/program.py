"""What the kernel does with a relayed packet, in the order in which the packet meets it.

A datagram with an entry in the table is rewritten and sent on; everything else is passed up
untouched, and the portable plane takes it. Passed up, never guessed: fragments, options and
extension headers, VLAN tags, lengths that do not fit, unknown channels, expired ones, packets that
grow too large, TTL 1, and whatever the kernel has no route or no neighbour's address for.

Client to peer, the 4 bytes of the ChannelData header are taken out, peer to client put in; the
headers before them are written anew. Rules of the file:
1. R6 is the context, R7 where the packet begins, R8 the slot, R9 the entry.
2. Nothing of the packet is written before it is certain that it can be sent on.
3. A checksum is corrected by what has changed (RFC 1624 §3), and the headers move by 4 bytes.
4. A packet of this machine's own making (a container's, over veth) may have only the sum of the
   pseudo-header, since hardware is to do the rest (CHECKSUM_PARTIAL), and the kernel remembers
   where its UDP header is. So that stays where it is, and the payload moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from natkit.dataplane.kernel.assembler import (
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
    STACK,
    Assembler,
    Field,
    Register,
)

DROP, PASS, SEND_BACK = 1, 2, 3
"""XDP_DROP, XDP_PASS, XDP_TX; XDP_REDIRECT is what the helper returns."""

LOOK_UP, NOW, RANDOM, SEND_TO, CSUM_DIFF, MOVE_HEAD, MOVE_TAIL, FIND_ROUTE = (
    1,
    5,
    7,
    23,
    28,
    44,
    65,
    69,
)
LOAD_BYTES, STORE_BYTES = 189, 190
"""Helpers (linux/bpf.h)."""

# The context (struct xdp_md).
DATA, DATA_END, CAME_BY = Field(0, 4), Field(4, 4), Field(12, 4)

# A key of the table, and the first 36 bytes of an entry: addresses IPv4-mapped, ports.
SOURCE, DESTINATION = 0, 16
SOURCE_PORT, DESTINATION_PORT, CHANNEL = Field(32, 2), Field(34, 2), Field(36, 2)
KEY_SIZE, ENDS_SIZE = 40, 36
SLOT, ENTRY_SIZE = Field(40, 4), 48

# A slot: what this process reads and writes while packets pass.
UNTIL, PACKETS, BYTES, SEEN = Field(0, 8), Field(8, 8), Field(16, 8), Field(24, 8)
SLOT_SIZE = 32

# The stack, from its end.
KEY, ROUTE = -48, -112
NOW_AT, SUM, LENGTH, SLOT_AT = Field(-120, 8), Field(-124, 4), Field(-128, 4), Field(-132, 4)
FIRST, LIFE, NEW_LENGTH = Field(-136, 4), Field(-140, 4), Field(-144, 4)
PAYLOAD, BEGINS, KEPT = Field(-148, 4), Field(-152, 4), Field(-160, 8)

# struct bpf_fib_lookup, on the stack.
ROUTE_SIZE = 64
ROUTE_FAMILY, ROUTE_PROTOCOL = Field(0, 1).at(ROUTE), Field(1, 1).at(ROUTE)
ROUTE_PORTS, ROUTE_LENGTH, ROUTE_INTERFACE = Field(2, 4).at(ROUTE), Field(6, 2), Field(8, 4)
ROUTE_TOS, ROUTE_SOURCE, ROUTE_DESTINATION = Field(12, 1).at(ROUTE), ROUTE + 16, ROUTE + 32
OUR_MAC, NEXT_MAC = ROUTE + 52, ROUTE + 58
LOOPBACK = 1
"""Packets that this machine makes itself are routed as if they came from here, as the relay's are.
The kernel finds routes for an interface that forwards: net.ipv4.conf.lo.forwarding."""

ETHERNET, UDP_HEADER, CHANNEL_HEADER = 14, 8, 4
UDP = 17
CHUNKS = (*[256] * 6, 128, 64, 32, 16, 8, 4)
"""How what a datagram of up to 1,536 bytes has is summed up, but for the last 3 bytes."""
SCRATCH_SIZE = 2048
MAC_SIZE = 8
"""An Ethernet address and 2 bytes of nothing."""


@dataclass(frozen=True, slots=True)
class Family:
    """Where things are in a packet of one IP version, from its first byte."""

    name: str
    number: int
    ethertype: int
    header: int
    life: Field
    protocol: Field
    length: Field
    source: int
    destination: int
    words: int

    @property
    def udp(self) -> int:
        """Where the UDP header begins."""
        return ETHERNET + self.header


IPV4 = Family("ipv4", 2, 0x0800, 20, Field(22, 1), Field(23, 1), Field(16, 2), 26, 30, 1)
IPV6 = Family("ipv6", 10, 0x86DD, 40, Field(21, 1), Field(20, 1), Field(18, 2), 22, 38, 4)


class Change(NamedTuple):
    """What becomes of a datagram.

    Attributes:
        longer: by how many bytes.
        begins: where the payload is, from the UDP header on, before.
    """

    longer: int
    begins: int


TAKEN_OUT = Change(-CHANNEL_HEADER, UDP_HEADER + CHANNEL_HEADER)
PUT_IN = Change(CHANNEL_HEADER, UDP_HEADER)


def swapped(value: int) -> int:
    """Return 16 bits of the network's order as the machine loads them."""
    return int.from_bytes(value.to_bytes(2, "big"), "little")


class Maps(NamedTuple):
    """The maps' descriptors.

    Attributes:
        table:      entries by key.
        slots:      an array that each entry has its place in.
        scratch:    one value of SCRATCH_SIZE for each CPU.
        interfaces: Ethernet addresses of this machine, by the interface's index.
    """

    table: int
    slots: int
    scratch: int
    interfaces: int


def relay_program(maps: Maps) -> bytes:
    """Return the program's code."""
    a = Assembler()
    a.set(R6, R1)
    a.load(R7, R6, DATA)
    a.load(R8, R6, DATA_END)
    _need(a, ETHERNET)
    _check_destination(a, maps.interfaces)
    a.load(R3, R7, Field(12, 2))
    a.jump_if(R3, "==", swapped(IPV4.ethertype), IPV4.name)
    a.jump_if(R3, "==", swapped(IPV6.ethertype), IPV6.name)
    a.goto("pass")
    for family in (IPV4, IPV6):
        a.label(family.name)
        _Way(a, family, maps).build()
    a.label("pass")
    a.leave(PASS)
    a.label("drop")
    a.leave(DROP)
    return a.assemble()


def _check_destination(a: Assembler, interfaces: int) -> None:
    """Go on only with a frame for this machine: others come in as well where somebody listens."""
    a.load(R1, R6, CAME_BY)
    a.store(STACK, SLOT_AT, R1)
    _look_up(a, interfaces, SLOT_AT.offset)
    a.jump_if(R0, "==", 0, "pass")
    for part in (Field(0, 4), Field(4, 2)):
        a.load(R1, R7, part)
        a.load(R2, R0, part)
        a.jump_if(R1, "!=", R2, "pass")


def _look_up(a: Assembler, table: int, key: int) -> None:
    """R0 = where the value is that belongs to the key on the stack; 0: there is none."""
    a.map(R1, table)
    a.set(R2, STACK)
    a.compute(R2, "+=", key)
    a.call(LOOK_UP)


def _need(a: Assembler, size: int, otherwise: str = "pass") -> None:
    """Go on only if the packet has so many bytes."""
    a.set(R2, R7)
    a.compute(R2, "+=", size)
    a.jump_if(R2, ">", R8, otherwise)


class _Way:
    """The way of a packet of one IP version."""

    def __init__(self, a: Assembler, family: Family, maps: Maps) -> None:
        self.a, self.family, self.maps = a, family, maps

    def build(self) -> None:
        self._check_shape()
        self._find_entry()
        self._find_slot()
        self._keep_header()
        self._find_route()
        self._tell_partial()
        self._correct_checksum()
        self._move_headers()
        self.a.goto(self._named("write"))
        self.a.label(self._named("partial"))
        self._sum_pseudo_header()
        self._move_payload()
        self.a.label(self._named("write"))
        self._write_headers()
        self._count()
        self._send()

    # Is it one of ours?

    def _check_shape(self) -> None:
        a, f = self.a, self.family
        _need(a, f.udp + UDP_HEADER)
        a.load(R3, R7, f.protocol)
        a.jump_if(R3, "!=", UDP, "pass")
        a.load(R3, R7, f.life)
        a.jump_if(R3, "<=", 1, "pass")
        a.load(R3, R7, Field(ETHERNET, 1))
        if f is IPV4:
            a.jump_if(R3, "!=", 0x45, "pass")  # no options
            a.load(R3, R7, Field(20, 2))
            a.jump_if(R3, "&", swapped(0xBFFF), "pass")  # a fragment; DF alone may be set
            self._sum_ipv4_header()
            a.jump_if(R0, "!=", 0xFFFF, "pass")
        else:
            a.compute(R3, "&=", 0xF0)
            a.jump_if(R3, "!=", 0x60, "pass")
        a.load(R3, R7, f.length)
        a.swap(R3, 16)
        a.load(R4, R7, Field(f.udp + 4, 2))
        a.swap(R4, 16)
        a.jump_if(R4, "<", UDP_HEADER, "pass")
        a.store(STACK, LENGTH, R4)
        a.set(R5, R4)
        a.compute(R5, "+=", f.header if f is IPV4 else 0)
        a.jump_if(R5, "!=", R3, "pass")
        a.set(R5, R8)  # how long the packet is, which may be padded
        a.compute(R5, "-=", R7)
        a.compute(R4, "+=", f.udp)
        a.jump_if(R5, "<", R4, "pass")

    def _find_entry(self) -> None:
        a, f = self.a, self.family
        for at in range(0, KEY_SIZE, 8):
            a.store(STACK, Field(KEY + at, 8), 0)
        for ours, theirs in ((SOURCE, f.source), (DESTINATION, f.destination)):
            self._copy_address(STACK, KEY + ours, R7, theirs, mapped=True)
        a.load(R3, R7, Field(f.udp, 4))
        a.store(STACK, Field(SOURCE_PORT.offset, 4).at(KEY), R3)
        _look_up(a, self.maps.table, KEY)
        found = self._named("found")
        a.jump_if(R0, "!=", 0, found)
        # Nobody's data from a peer: is it a client's ChannelData?
        _need(a, f.udp + UDP_HEADER + CHANNEL_HEADER)
        a.load(R3, R7, Field(f.udp + UDP_HEADER, 1))
        a.compute(R3, "&=", 0xF0)
        a.jump_if(R3, "!=", 0x40, "pass")
        a.load(R3, R7, Field(f.udp + UDP_HEADER + 2, 2))
        a.swap(R3, 16)
        a.compute(R3, "+=", UDP_HEADER + CHANNEL_HEADER)
        a.load(R4, STACK, LENGTH)
        a.jump_if(R3, "!=", R4, "pass")  # padded, or too short
        a.load(R3, R7, Field(f.udp + UDP_HEADER, 2))
        a.store(STACK, CHANNEL.at(KEY), R3)
        _look_up(a, self.maps.table, KEY)
        a.jump_if(R0, "==", 0, "pass")
        a.label(found)
        a.set(R9, R0)

    def _find_slot(self) -> None:
        a = self.a
        a.load(R1, R9, SLOT)
        a.store(STACK, SLOT_AT, R1)
        _look_up(a, self.maps.slots, SLOT_AT.offset)
        a.jump_if(R0, "==", 0, "pass")
        a.set(R8, R0)
        a.call(NOW)
        a.store(STACK, NOW_AT, R0)
        a.load(R1, R8, UNTIL)
        a.jump_if(R0, ">=", R1, "pass")

    # Where does it go?

    def _keep_header(self) -> None:
        """Keep what the headers are written from when the old ones are gone, and what changes."""
        a, f = self.a, self.family
        a.load(R1, R7, Field(ETHERNET, 4))
        a.store(STACK, FIRST, R1)
        a.load(R1, R7, f.life)
        a.compute(R1, "-=", 1)
        a.store(STACK, LIFE, R1)
        strips, done = self._named("strips"), self._named("kept")
        a.load(R2, STACK, LENGTH)
        a.load(R1, R9, CHANNEL)
        a.jump_if(R1, "==", 0, strips)
        self._keep_sizes(PUT_IN)
        a.goto(done)
        a.label(strips)
        self._keep_sizes(TAKEN_OUT)
        a.label(done)

    def _keep_sizes(self, change: Change) -> None:
        a = self.a
        for where, more in ((NEW_LENGTH, change.longer), (PAYLOAD, -change.begins)):
            a.set(R3, R2)
            a.compute(R3, "+=", more)
            a.store(STACK, where, R3)
        a.store(STACK, BEGINS, self.family.udp + change.begins)

    def _find_route(self) -> None:
        a, f = self.a, self.family
        for at in range(0, ROUTE_SIZE, 8):
            a.store(STACK, Field(ROUTE + at, 8), 0)
        a.store(STACK, ROUTE_FAMILY, f.number)
        a.store(STACK, ROUTE_PROTOCOL, UDP)
        a.load(R1, R9, Field(SOURCE_PORT.offset, 4))
        a.store(STACK, Field(ROUTE_PORTS.offset, 2), R1)
        a.compute(R1, ">>=", 16)
        a.store(STACK, Field(ROUTE_PORTS.offset + 2, 2), R1)
        a.load(R1, STACK, NEW_LENGTH)
        a.compute(R1, "+=", f.header)
        a.store(STACK, ROUTE_LENGTH.at(ROUTE), R1)
        a.store(STACK, ROUTE_INTERFACE.at(ROUTE), LOOPBACK)
        if f is IPV4:
            a.load(R1, R7, Field(15, 1))
            a.store(STACK, ROUTE_TOS, R1)
        self._copy_address(STACK, ROUTE_SOURCE, R9, SOURCE, mapped=False)
        self._copy_address(STACK, ROUTE_DESTINATION, R9, DESTINATION, mapped=False)
        a.set(R1, R6)
        a.set(R2, STACK)
        a.compute(R2, "+=", ROUTE)
        a.set(R3, ROUTE_SIZE)
        a.set(R4, 0)
        a.call(FIND_ROUTE)
        a.jump_if(R0, "!=", 0, "pass")

    # What is its checksum?

    def _tell_partial(self) -> None:
        """Go to "partial" if the checksum is that of the pseudo-header alone: it equals that, and
        with it the sum over everything is not right.
        """
        a, f = self.a, self.family
        whole = self._named("whole")
        a.load(R0, STACK, LENGTH)
        a.swap(R0, 16)
        a.compute(R0, "+=", swapped(UDP))
        for word in range(2 * f.words):
            a.load(R1, R7, Field(f.source + 4 * word, 4))
            a.compute(R0, "+=", R1)
        self._fold(R0)
        a.load(R5, R7, Field(f.udp + 6, 2))
        a.jump_if(R0, "!=", R5, whole)
        self._sum_datagram()
        a.jump_if(R5, "!=", 0xFFFF, self._named("partial"))
        a.label(whole)

    def _sum_datagram(self) -> None:
        """R5 = the sum of R5, the UDP header and all that follows it, where the packet must end."""
        a, f = self.a, self.family
        a.store(STACK, KEPT, R8)
        a.load(R8, R6, DATA_END)
        a.set(R3, R8)
        a.compute(R3, "-=", R7)
        a.load(R4, STACK, LENGTH)
        a.compute(R4, "+=", f.udp)
        a.jump_if(R3, "!=", R4, "pass")
        a.compute(R7, "+=", f.udp)
        for size in CHUNKS:
            skip = a.fresh("skip")
            _need(a, size, skip)
            for argument, value in ((R1, 0), (R2, 0), (R3, R7), (R4, size)):
                a.set(argument, value)
            a.call(CSUM_DIFF)
            a.set(R5, R0)
            a.compute(R7, "+=", size)
            a.label(skip)
        for size in (2, 1):
            skip = a.fresh("skip")
            _need(a, size, skip)
            a.load(R1, R7, Field(0, size))
            a.compute(R5, "+=", R1)
            a.compute(R7, "+=", size)
            a.label(skip)
        a.jump_if(R7, "!=", R8, "pass")  # it is longer than the chunks
        self._fold(R5)
        a.load(R8, STACK, KEPT)
        a.load(R7, R6, DATA)

    def _sum_pseudo_header(self) -> None:
        a, f = self.a, self.family
        a.load(R0, STACK, NEW_LENGTH)
        a.swap(R0, 16)
        a.compute(R0, "+=", swapped(UDP))
        for begins in (SOURCE, DESTINATION):
            for word in range(16 - 4 * f.words, 16, 4):
                a.load(R1, R9, Field(begins + word, 4))
                a.compute(R0, "+=", R1)
        self._fold(R0)
        a.store(STACK, SUM, R0)

    def _correct_checksum(self) -> None:
        a, f = self.a, self.family
        none, done = self._named("unchecked"), self._named("checked")
        self._reload(f.udp + UDP_HEADER, "pass")
        a.load(R5, R7, Field(f.udp + 6, 2))
        a.set(R0, 0)
        a.jump_if(R5, "==", 0, none if f is IPV4 else "pass")
        a.compute(R5, "^=", 0xFFFF)
        a.set(R1, STACK)
        a.compute(R1, "+=", KEY)
        a.set(R2, ENDS_SIZE)
        a.set(R3, R9)
        a.set(R4, ENDS_SIZE)
        a.call(CSUM_DIFF)
        self._fold(R0)
        for length, sign in ((LENGTH, 0xFFFF), (NEW_LENGTH, 0)):  # in both headers, so twice
            a.load(R1, STACK, length)
            a.swap(R1, 16)
            a.compute(R1, "^=", sign)
            a.compute(R0, "+=", R1)
            a.compute(R0, "+=", R1)
        self._sum_channel_header()
        self._fold(R0)
        a.compute(R0, "^=", 0xFFFF)
        a.jump_if(R0, "!=", 0, done)
        a.set(R0, 0xFFFF)  # 0 would say that there is none
        a.label(done)
        if f is IPV4:
            a.label(none)
        a.store(STACK, SUM, R0)

    def _sum_channel_header(self) -> None:
        """Take the ChannelData header out of the sum in R0, or into it."""
        a = self.a
        strips, done = self._named("takes"), self._named("summed")
        a.load(R1, R9, CHANNEL)
        a.jump_if(R1, "==", 0, strips)
        a.compute(R0, "+=", R1)
        a.load(R1, STACK, PAYLOAD)
        a.swap(R1, 16)
        a.compute(R0, "+=", R1)
        a.goto(done)
        a.label(strips)
        a.load(R1, STACK, CHANNEL.at(KEY))
        a.compute(R1, "^=", 0xFFFF)
        a.compute(R0, "+=", R1)
        a.load(R1, STACK, PAYLOAD)
        a.swap(R1, 16)
        a.compute(R1, "^=", 0xFFFF)
        a.compute(R0, "+=", R1)
        a.label(done)

    # Off it goes.

    def _move_headers(self) -> None:
        a = self.a
        a.load(R1, STACK, LENGTH)
        a.load(R2, STACK, NEW_LENGTH)
        a.compute(R1, "-=", R2)
        a.set(R2, R1)
        a.set(R1, R6)
        a.call(MOVE_HEAD)
        a.jump_if(R0, "!=", 0, "pass")

    def _move_payload(self) -> None:
        """Have the payload begin 4 bytes later, or earlier, by way of the scratch memory."""
        a = self.a
        empty, moved = self._named("empty"), self._named("moved")
        a.store(STACK, SLOT_AT, 0)
        _look_up(a, self.maps.scratch, SLOT_AT.offset)
        a.jump_if(R0, "==", 0, "pass")
        a.store(STACK, KEPT, R0)
        a.load(R4, STACK, PAYLOAD)
        a.jump_if(R4, "==", 0, empty)
        a.load(R2, STACK, BEGINS)
        self._exchange(LOAD_BYTES, "pass")
        self._change_size()
        a.load(R4, STACK, PAYLOAD)
        a.jump_if(R4, "==", 0, "drop")
        a.set(R2, 2 * self.family.udp + TAKEN_OUT.begins + PUT_IN.begins)
        a.load(R1, STACK, BEGINS)
        a.compute(R2, "-=", R1)
        self._exchange(STORE_BYTES, "drop")
        a.goto(moved)
        a.label(empty)
        self._change_size()
        a.label(moved)

    def _exchange(self, helper: int, otherwise: str) -> None:
        """Copy R4 bytes between the packet, from R2 on, and the scratch memory."""
        a = self.a
        a.jump_if(R4, ">", SCRATCH_SIZE, otherwise)
        a.load(R3, STACK, KEPT)
        a.set(R1, R6)
        a.call(helper)
        a.jump_if(R0, "!=", 0, otherwise)

    def _change_size(self) -> None:
        a = self.a
        a.load(R2, STACK, NEW_LENGTH)
        a.load(R1, STACK, LENGTH)
        a.compute(R2, "-=", R1)
        a.set(R1, R6)
        a.call(MOVE_TAIL)
        a.jump_if(R0, "!=", 0, "pass")

    def _reload(self, size: int, otherwise: str) -> None:
        """R7 = where the packet begins now, with at least so many bytes."""
        a = self.a
        a.load(R7, R6, DATA)
        a.load(R2, R6, DATA_END)
        a.set(R3, R7)
        a.compute(R3, "+=", size)
        a.jump_if(R3, ">", R2, otherwise)

    def _write_headers(self) -> None:
        a, f = self.a, self.family
        self._reload(f.udp + UDP_HEADER, "drop")
        for to, source in ((0, NEXT_MAC), (6, OUR_MAC)):
            for at in range(0, 6, 2):
                a.load(R1, STACK, Field(source + at, 2))
                a.store(R7, Field(to + at, 2), R1)
        a.store(R7, Field(12, 2), swapped(f.ethertype))
        a.load(R1, STACK, FIRST)
        a.store(R7, Field(ETHERNET, 4), R1)
        a.load(R1, STACK, NEW_LENGTH)
        a.compute(R1, "+=", f.header if f is IPV4 else 0)
        a.swap(R1, 16)
        a.store(R7, f.length, R1)
        a.load(R1, STACK, LIFE)
        a.store(R7, f.life, R1)
        a.store(R7, f.protocol, UDP)
        self._copy_address(R7, f.source, R9, SOURCE, mapped=False)
        self._copy_address(R7, f.destination, R9, DESTINATION, mapped=False)
        if f is IPV4:
            self._finish_ipv4()
        a.load(R1, R9, Field(SOURCE_PORT.offset, 4))
        a.store(R7, Field(f.udp, 4), R1)
        a.load(R1, STACK, NEW_LENGTH)
        a.swap(R1, 16)
        a.store(R7, Field(f.udp + 4, 2), R1)
        a.load(R1, STACK, SUM)
        a.store(R7, Field(f.udp + 6, 2), R1)
        self._write_channel_header()

    def _finish_ipv4(self) -> None:
        a = self.a
        # Fragments are allowed again, so that an identification is needed (RFC 8656 §15, RFC 6864).
        a.call(RANDOM)
        a.store(R7, Field(18, 2), R0)
        a.store(R7, Field(20, 2), 0)
        a.store(R7, Field(24, 2), 0)
        self._sum_ipv4_header()
        a.compute(R0, "^=", 0xFFFF)
        a.store(R7, Field(24, 2), R0)

    def _sum_ipv4_header(self) -> None:
        """R0 = the sum of its words; 0xFFFF where its checksum is right."""
        a = self.a
        for argument, value in ((R1, 0), (R2, 0), (R3, R7), (R4, 20), (R5, 0)):
            a.set(argument, value)
        a.compute(R3, "+=", ETHERNET)
        a.call(CSUM_DIFF)
        self._fold(R0)

    def _write_channel_header(self) -> None:
        a, f = self.a, self.family
        done = self._named("plain")
        a.load(R4, R9, CHANNEL)
        a.jump_if(R4, "==", 0, done)
        self._reload(f.udp + UDP_HEADER + CHANNEL_HEADER, "drop")
        a.store(R7, Field(f.udp + UDP_HEADER, 2), R4)
        a.load(R1, STACK, PAYLOAD)
        a.swap(R1, 16)
        a.store(R7, Field(f.udp + UDP_HEADER + 2, 2), R1)
        a.label(done)

    def _count(self) -> None:
        a = self.a
        a.load(R1, STACK, PAYLOAD)
        a.atomic_add(R8, BYTES, R1)
        a.set(R1, 1)
        a.atomic_add(R8, PACKETS, R1)
        a.load(R1, STACK, NOW_AT)
        a.store(R8, SEEN, R1)

    def _send(self) -> None:
        a = self.a
        a.load(R1, STACK, ROUTE_INTERFACE.at(ROUTE))
        a.load(R2, R6, CAME_BY)
        elsewhere = self._named("elsewhere")
        a.jump_if(R1, "!=", R2, elsewhere)
        a.leave(SEND_BACK)
        a.label(elsewhere)
        a.set(R2, 0)
        a.call(SEND_TO)
        a.leave()

    # Words.

    def _named(self, label: str) -> str:
        return f"{self.family.name} {label}"

    def _copy_address(
        self, to: Register, at: int, source: Register, begins: int, *, mapped: bool
    ) -> None:
        """Copy an address; IPv4-mapped in tables: `mapped` says that `to` is one."""
        a = self.a
        if self.family is IPV6:
            for word in range(0, 16, 4):
                a.load(R1, source, Field(begins + word, 4))
                a.store(to, Field(at + word, 4), R1)
            return
        if mapped:
            a.store(to, Field(at + 10, 2), 0xFFFF)
        a.load(R1, source, Field(begins + (0 if mapped else 12), 4))
        a.store(to, Field(at + (12 if mapped else 0), 4), R1)

    def _fold(self, value: Register) -> None:
        """Bring a sum of 16-bit words down to 16 bits (one's complement)."""
        a = self.a
        high = R2 if value is not R2 else R3
        for _ in range(3):
            a.set(high, value)
            a.compute(high, ">>=", 16)
            a.compute(value, "&=", 0xFFFF)
            a.compute(value, "+=", high)
