"""Where things are: in packets, in maps, and on the program's stack; and the kernel's numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from natkit.dataplane.kernel.assembler import Field

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
SLOT, FLOW, ENTRY_SIZE = Field(40, 4), Field(44, 4), 48
"""Behind them: the place among the slots, and the flow label, as it stands in an IPv6 header."""

# A slot: what this process reads and writes while packets pass.
UNTIL, PACKETS, BYTES, SEEN = Field(0, 8), Field(8, 8), Field(16, 8), Field(24, 8)
CHECKED, SLOT_SIZE = Field(32, 8), 40
NEIGHBOUR_CHECK = 5
"""Seconds between two packets of an entry that go up, the first one being the first. A look-up of
routes takes a neighbour's Ethernet address for good, however old; sending from a socket, the slow
way, makes the kernel ask again. One packet in 250 of a call that sends 50 a second."""

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
NATIVE, COMPLETES, MAC_SIZE = Field(6, 1), Field(7, 1), 8
"""Behind an interface's Ethernet address: 1 where the program is in its driver, and 1 where it
completes checksums of what it sends."""


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
