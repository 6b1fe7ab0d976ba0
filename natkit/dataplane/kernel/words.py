"""The words that the program is written in, above instructions.

R6 is the context, R7 where the packet begins; R0 to R5 are anybody's.
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
    STACK,
    Assembler,
    Field,
    Register,
)
from natkit.dataplane.kernel.places import (
    CSUM_DIFF,
    DATA,
    DATA_END,
    ETHERNET,
    IPV6,
    LOOK_UP,
    Family,
    Maps,
)


class Words:
    """What is said again and again while a program is written.

    Args:
        family: of the packets that this part of the program is for.
        native: it runs in a driver, before the kernel has made a packet of what came.
    """

    def __init__(self, a: Assembler, family: Family, maps: Maps, *, native: bool) -> None:
        self.a, self.family, self.maps, self.native = a, family, maps, native

    def need(self, size: int, otherwise: str = "pass") -> None:
        """Go on only if the packet has so many bytes."""
        a = self.a
        a.set(R2, R7)
        a.compute(R2, "+=", size)
        a.jump_if(R2, ">", R8, otherwise)

    def look_up(self, table: int, key: int) -> None:
        """R0 = where the value is that belongs to the key on the stack; 0: there is none."""
        a = self.a
        a.map(R1, table)
        a.set(R2, STACK)
        a.compute(R2, "+=", key)
        a.call(LOOK_UP)

    def reload(self, size: int, otherwise: str) -> None:
        """R7 = where the packet begins now, with at least so many bytes."""
        a = self.a
        a.load(R7, R6, DATA)
        a.load(R2, R6, DATA_END)
        a.set(R3, R7)
        a.compute(R3, "+=", size)
        a.jump_if(R3, ">", R2, otherwise)

    def sum_ipv4_header(self) -> None:
        """R0 = the sum of its words; 0xFFFF where its checksum is right."""
        a = self.a
        for argument, value in ((R1, 0), (R2, 0), (R3, R7), (R4, 20), (R5, 0)):
            a.set(argument, value)
        a.compute(R3, "+=", ETHERNET)
        a.call(CSUM_DIFF)
        self.fold(R0)

    def named(self, label: str) -> str:
        """Return a label that the other family has not."""
        return f"{self.family.name} {label}"

    def copy_address(
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

    def fold(self, value: Register) -> None:
        """Bring a sum of 16-bit words down to 16 bits (one's complement)."""
        a = self.a
        high = R2 if value is not R2 else R3
        for _ in range(3):
            a.set(high, value)
            a.compute(high, ">>=", 16)
            a.compute(value, "&=", 0xFFFF)
            a.compute(value, "+=", high)
