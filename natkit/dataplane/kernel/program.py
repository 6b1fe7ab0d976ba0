"""What the kernel does with a relayed packet, in the order in which the packet meets it.

A datagram with an entry in the table is rewritten and sent on; everything else is passed up
untouched, and the portable plane takes it. Passed up, never guessed: fragments, options and
extension headers, VLAN tags, lengths that do not fit, unknown channels, expired ones, packets that
grow too large, TTL 1, and whatever the kernel has no route or no neighbour's address for. One
packet of each entry goes up every few seconds, so that neighbours are asked whether they are there.

Client to peer, the 4 bytes of the ChannelData header are taken out, peer to client put in; the
headers before them are written anew. Rules of the file:
1. R6 is the context, R7 where the packet begins, R8 the slot, R9 the entry.
2. Nothing of the packet is written before it is certain that it can be sent on.
3. A checksum is corrected by what has changed (RFC 1624 §3), and the headers move by 4 bytes.
4. A packet of this machine's own making (a container's, over veth) may have only the sum of the
   pseudo-header, since hardware is to do the rest (CHECKSUM_PARTIAL), and the kernel remembers
   where its UDP header is. So that stays where it is, and the payload moves. In a driver nobody
   remembers it any more, and not every interface completes what it is given to send: there, such
   a packet is passed up.
"""

from __future__ import annotations

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
)
from natkit.dataplane.kernel.checksums import Checksums
from natkit.dataplane.kernel.places import (
    BEGINS,
    BYTES,
    CAME_BY,
    CHANNEL,
    CHANNEL_HEADER,
    CHECKED,
    DATA,
    DATA_END,
    DESTINATION,
    DROP,
    ETHERNET,
    FIND_ROUTE,
    FIRST,
    FLOW,
    IPV4,
    IPV6,
    KEPT,
    KEY,
    KEY_SIZE,
    LENGTH,
    LIFE,
    LOAD_BYTES,
    LOOPBACK,
    MOVE_HEAD,
    MOVE_TAIL,
    NATIVE,
    NEIGHBOUR_CHECK,
    NEW_LENGTH,
    NEXT_MAC,
    NOW,
    NOW_AT,
    OUR_MAC,
    PACKETS,
    PASS,
    PAYLOAD,
    PUT_IN,
    RANDOM,
    ROUTE,
    ROUTE_DESTINATION,
    ROUTE_FAMILY,
    ROUTE_INTERFACE,
    ROUTE_LENGTH,
    ROUTE_PORTS,
    ROUTE_PROTOCOL,
    ROUTE_SIZE,
    ROUTE_SOURCE,
    ROUTE_TOS,
    SCRATCH_SIZE,
    SEEN,
    SEND_BACK,
    SEND_TO,
    SLOT,
    SLOT_AT,
    SOURCE,
    SOURCE_PORT,
    STORE_BYTES,
    SUM,
    TAKEN_OUT,
    UDP,
    UDP_HEADER,
    UNTIL,
    Change,
    Family,
    Maps,
    swapped,
)
from natkit.dataplane.kernel.words import Words


def relay_program(maps: Maps, *, native: bool = False) -> bytes:
    """Return the code of the program; `native`: of the one that runs in a driver."""
    a = Assembler()
    a.set(R6, R1)
    a.load(R7, R6, DATA)
    a.load(R8, R6, DATA_END)
    ways = [_Way(a, family, maps, native=native) for family in (IPV4, IPV6)]
    ways[0].check_frame()
    for way in ways:
        a.jump_if(R3, "==", swapped(way.family.ethertype), way.family.name)
    a.goto("pass")
    for way in ways:
        a.label(way.family.name)
        way.build()
    a.label("pass")
    a.leave(PASS)
    a.label("drop")
    a.leave(DROP)
    return a.assemble()


class _Way(Words):
    """The way of a packet of one IP version."""

    def __init__(self, a: Assembler, family: Family, maps: Maps, *, native: bool) -> None:
        super().__init__(a, family, maps, native=native)
        self.sums = Checksums(a, family, maps, native=native)

    def check_frame(self) -> None:
        """R3 = what the frame is of, if it is for this machine: where somebody listens on the
        interface, others come in as well.
        """
        a = self.a
        self.need(ETHERNET)
        a.load(R1, R6, CAME_BY)
        a.store(STACK, SLOT_AT, R1)
        self.look_up(self.maps.interfaces, SLOT_AT.offset)
        a.jump_if(R0, "==", 0, "pass")
        for part in (Field(0, 4), Field(4, 2)):
            a.load(R1, R7, part)
            a.load(R2, R0, part)
            a.jump_if(R1, "!=", R2, "pass")
        a.load(R3, R7, Field(12, 2))

    def build(self) -> None:
        self._check_shape()
        self._find_entry()
        self._find_slot()
        self._keep_header()
        self._find_route()
        self.sums.tell_partial()
        self.sums.correct()
        self._move_headers()
        if not self.native:
            self.a.goto(self.named("write"))
            self.a.label(self.named("partial"))
            self.sums.sum_pseudo_header()
            self._move_payload()
            self.a.label(self.named("write"))
        self._write_headers()
        self._count()
        self._send()

    # Is it one of ours?

    def _check_shape(self) -> None:
        a, f = self.a, self.family
        self.need(f.udp + UDP_HEADER)
        a.load(R3, R7, f.protocol)
        a.jump_if(R3, "!=", UDP, "pass")
        a.load(R3, R7, f.life)
        a.jump_if(R3, "<=", 1, "pass")
        a.load(R3, R7, Field(ETHERNET, 1))
        if f is IPV4:
            a.jump_if(R3, "!=", 0x45, "pass")  # no options
            a.load(R3, R7, Field(20, 2))
            a.jump_if(R3, "&", swapped(0xBFFF), "pass")  # a fragment; DF alone may be set
            self.sum_ipv4_header()
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
            self.copy_address(STACK, KEY + ours, R7, theirs, mapped=True)
        a.load(R3, R7, Field(f.udp, 4))
        a.store(STACK, Field(SOURCE_PORT.offset, 4).at(KEY), R3)
        self.look_up(self.maps.table, KEY)
        found = self.named("found")
        a.jump_if(R0, "!=", 0, found)
        # Nobody's data from a peer: is it a client's ChannelData? Up to 0x7FFF, as in RFC 5766 §11.
        self.need(f.udp + UDP_HEADER + CHANNEL_HEADER)
        a.load(R3, R7, Field(f.udp + UDP_HEADER, 1))
        a.compute(R3, "&=", 0xC0)
        a.jump_if(R3, "!=", 0x40, "pass")
        a.load(R3, R7, Field(f.udp + UDP_HEADER + 2, 2))
        a.swap(R3, 16)
        a.compute(R3, "+=", UDP_HEADER + CHANNEL_HEADER)
        a.load(R4, STACK, LENGTH)
        a.jump_if(R3, "!=", R4, "pass")  # padded, or too short
        a.load(R3, R7, Field(f.udp + UDP_HEADER, 2))
        a.store(STACK, CHANNEL.at(KEY), R3)
        self.look_up(self.maps.table, KEY)
        a.jump_if(R0, "==", 0, "pass")
        a.label(found)
        a.set(R9, R0)

    def _find_slot(self) -> None:
        a = self.a
        a.load(R1, R9, SLOT)
        a.store(STACK, SLOT_AT, R1)
        self.look_up(self.maps.slots, SLOT_AT.offset)
        a.jump_if(R0, "==", 0, "pass")
        a.set(R8, R0)
        a.call(NOW)
        a.store(STACK, NOW_AT, R0)
        a.load(R1, R8, UNTIL)
        a.jump_if(R0, ">=", R1, "pass")
        checked = self.named("neighbour")
        a.set(R2, NEIGHBOUR_CHECK * 1000)
        a.compute(R2, "*=", 1_000_000)
        a.load(R1, R8, CHECKED)
        a.compute(R1, "+=", R2)
        a.jump_if(R0, "<", R1, checked)
        a.store(R8, CHECKED, R0)
        a.goto("pass")
        a.label(checked)

    # Where does it go?

    def _keep_header(self) -> None:
        """Keep what the headers are written from when the old ones are gone, and what changes."""
        a, f = self.a, self.family
        a.load(R1, R7, Field(ETHERNET, 4))
        if f is IPV6:  # the flow label is not the client's, or the peer's (RFC 8656 §13)
            a.compute(R1, "&=", 0xF0FF)
            a.load(R2, R9, FLOW)
            a.compute(R1, "|=", R2)
        a.store(STACK, FIRST, R1)
        a.load(R1, R7, f.life)
        a.compute(R1, "-=", 1)
        a.store(STACK, LIFE, R1)
        strips, done = self.named("strips"), self.named("kept")
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
        self.copy_address(STACK, ROUTE_SOURCE, R9, SOURCE, mapped=False)
        self.copy_address(STACK, ROUTE_DESTINATION, R9, DESTINATION, mapped=False)
        a.set(R1, R6)
        a.set(R2, STACK)
        a.compute(R2, "+=", ROUTE)
        a.set(R3, ROUTE_SIZE)
        a.set(R4, 0)
        a.call(FIND_ROUTE)
        a.jump_if(R0, "!=", 0, "pass")
        if self.native:
            self._check_way_out()

    def _check_way_out(self) -> None:
        """From driver to driver a packet goes only where the other is set up for that; anywhere
        else it would be lost without a word.
        """
        a = self.a
        back = self.named("back")
        a.load(R1, STACK, ROUTE_INTERFACE.at(ROUTE))
        a.load(R2, R6, CAME_BY)
        a.jump_if(R1, "==", R2, back)
        self.look_up(self.maps.interfaces, ROUTE_INTERFACE.at(ROUTE).offset)
        a.jump_if(R0, "==", 0, "pass")
        a.load(R1, R0, NATIVE)
        a.jump_if(R1, "==", 0, "pass")
        a.label(back)

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
        empty, moved = self.named("empty"), self.named("moved")
        a.store(STACK, SLOT_AT, 0)
        self.look_up(self.maps.scratch, SLOT_AT.offset)
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

    def _write_headers(self) -> None:
        a, f = self.a, self.family
        self.reload(f.udp + UDP_HEADER, "drop")
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
        self.copy_address(R7, f.source, R9, SOURCE, mapped=False)
        self.copy_address(R7, f.destination, R9, DESTINATION, mapped=False)
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
        self.sum_ipv4_header()
        a.compute(R0, "^=", 0xFFFF)
        a.store(R7, Field(24, 2), R0)

    def _write_channel_header(self) -> None:
        a, f = self.a, self.family
        done = self.named("plain")
        a.load(R4, R9, CHANNEL)
        a.jump_if(R4, "==", 0, done)
        self.reload(f.udp + UDP_HEADER + CHANNEL_HEADER, "drop")
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
        elsewhere = self.named("elsewhere")
        a.jump_if(R1, "!=", R2, elsewhere)
        a.leave(SEND_BACK)
        a.label(elsewhere)
        a.set(R2, 0)
        a.call(SEND_TO)
        a.leave()
