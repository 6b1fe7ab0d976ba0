"""UDP checksums: corrected by what has changed (RFC 1624 §3), where there are whole ones.

A packet of this machine's own making (a container's, over veth) may have only the sum of the
pseudo-header, since hardware is to do the rest (CHECKSUM_PARTIAL). XDP is not told, but can tell.
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
    Field,
)
from natkit.dataplane.kernel.places import (
    CHANNEL,
    CHUNKS,
    COMPLETES,
    CSUM_DIFF,
    DATA,
    DATA_END,
    DESTINATION,
    ENDS_SIZE,
    IPV4,
    KEPT,
    KEY,
    LENGTH,
    NEW_LENGTH,
    PAYLOAD,
    ROUTE,
    ROUTE_INTERFACE,
    SOURCE,
    SUM,
    UDP,
    UDP_HEADER,
    swapped,
)
from natkit.dataplane.kernel.words import Words


class Checksums(Words):
    """Tells what kind the checksum is, and makes the new one, in SUM."""

    def tell_partial(self) -> None:
        """Go to "partial" if the checksum is that of the pseudo-header alone: it equals that, and
        with it the sum over everything is not right.

        What looks so is passed up in a driver, where the way out does not complete it, and where by
        chance it is right as it is: then nobody can tell which it is.
        """
        a, f = self.a, self.family
        whole = self.named("whole")
        a.load(R0, STACK, LENGTH)
        a.swap(R0, 16)
        a.compute(R0, "+=", swapped(UDP))
        for word in range(2 * f.words):
            a.load(R1, R7, Field(f.source + 4 * word, 4))
            a.compute(R0, "+=", R1)
        self.fold(R0)
        a.load(R5, R7, Field(f.udp + 6, 2))
        if self.native:
            a.jump_if(R0, "==", R5, "pass")
            return
        a.jump_if(R0, "!=", R5, whole)
        # What is redirected is not asked for offloads any more, by whatever interface it leaves.
        self.look_up(self.maps.interfaces, ROUTE_INTERFACE.at(ROUTE).offset)
        a.jump_if(R0, "==", 0, "pass")
        a.load(R1, R0, COMPLETES)
        a.jump_if(R1, "==", 0, "pass")
        a.load(R5, R7, Field(f.udp + 6, 2))
        self._sum_datagram()
        a.jump_if(R5, "!=", 0xFFFF, self.named("partial"))
        a.goto("pass")
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
            self.need(size, skip)
            for argument, value in ((R1, 0), (R2, 0), (R3, R7), (R4, size)):
                a.set(argument, value)
            a.call(CSUM_DIFF)
            a.set(R5, R0)
            a.compute(R7, "+=", size)
            a.label(skip)
        for size in (2, 1):
            skip = a.fresh("skip")
            self.need(size, skip)
            a.load(R1, R7, Field(0, size))
            a.compute(R5, "+=", R1)
            a.compute(R7, "+=", size)
            a.label(skip)
        a.jump_if(R7, "!=", R8, "pass")  # it is longer than the chunks
        self.fold(R5)
        a.load(R8, STACK, KEPT)
        a.load(R7, R6, DATA)

    def sum_pseudo_header(self) -> None:
        a, f = self.a, self.family
        a.load(R0, STACK, NEW_LENGTH)
        a.swap(R0, 16)
        a.compute(R0, "+=", swapped(UDP))
        for begins in (SOURCE, DESTINATION):
            for word in range(16 - 4 * f.words, 16, 4):
                a.load(R1, R9, Field(begins + word, 4))
                a.compute(R0, "+=", R1)
        self.fold(R0)
        a.store(STACK, SUM, R0)

    def correct(self) -> None:
        a, f = self.a, self.family
        none, done = self.named("unchecked"), self.named("checked")
        self.reload(f.udp + UDP_HEADER, "pass")
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
        self.fold(R0)
        for length, sign in ((LENGTH, 0xFFFF), (NEW_LENGTH, 0)):  # in both headers, so twice
            a.load(R1, STACK, length)
            a.swap(R1, 16)
            a.compute(R1, "^=", sign)
            a.compute(R0, "+=", R1)
            a.compute(R0, "+=", R1)
        self._sum_channel_header()
        self.fold(R0)
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
        strips, done = self.named("takes"), self.named("summed")
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
