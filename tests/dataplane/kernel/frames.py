"""Frames written byte by byte, right or wrong as a test wants them, and read again."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass, replace
from random import Random
from typing import Any

UDP = 17
SENDERS_FLOW = 0x12345
"""The flow label of whoever sends IPv6."""


@dataclass(frozen=True)
class Frame:
    """A UDP datagram in Ethernet; what is None is right.

    Attributes:
        macs:     destination's, source's.
        checksum: the UDP checksum: "right", "wrong", "none" or "pseudo".
        extra:    options (IPv4), or an extension header (IPv6).
        flow:     the flow label (IPv6).
        tail:     what follows the datagram in the frame.
    """

    macs: tuple[bytes, bytes]
    source: tuple[str, int]
    destination: tuple[str, int]
    payload: bytes
    tos: int = 0
    life: int = 64
    protocol: int = UDP
    fragment: int = 0x4000
    ip_length: int | None = None
    udp_length: int | None = None
    header_sum: int | None = None
    checksum: str = "right"
    extra: bytes = b""
    vlan: bytes = b""
    flow: int = SENDERS_FLOW
    tail: bytes = b""

    def packed(self) -> bytes:
        """Return it as it is on the wire."""
        ipv6 = ":" in self.source[0]
        kind = b"\x86\xdd" if ipv6 else b"\x08\x00"
        head = self._ipv6() if ipv6 else self._ipv4()
        frame = b"".join((*self.macs, self.vlan, kind, head, self._udp(), self.tail))
        return frame

    def _udp(self) -> bytes:
        size = 8 + len(self.payload) if self.udp_length is None else self.udp_length
        head = struct.pack("!HHH", self.source[1], self.destination[1], size)
        pseudo = self._addresses() + struct.pack("!HH", UDP, size)
        total = summed(pseudo + head + b"\0\0" + self.payload)
        sums = {
            "right": ~total & 0xFFFF or 0xFFFF,
            "wrong": (~total & 0xFFFF) ^ 0x1234,
            "none": 0,
            "pseudo": summed(pseudo),
        }
        return head + struct.pack("!H", sums[self.checksum]) + self.payload

    def _addresses(self) -> bytes:
        both = (self.source[0], self.destination[0])
        return b"".join(ipaddress.ip_address(ip).packed for ip in both)

    def _ipv4(self) -> bytes:
        size = 20 + len(self.extra)
        length = size + 8 + len(self.payload) if self.ip_length is None else self.ip_length
        first = struct.pack(
            "!BBHHHBB",
            0x40 | size // 4,
            self.tos,
            length,
            7,
            self.fragment,
            self.life,
            self.protocol,
        )
        rest = self._addresses() + self.extra
        right = ~summed(first + b"\0\0" + rest) & 0xFFFF
        return first + struct.pack("!H", right ^ (self.header_sum or 0)) + rest

    def _ipv6(self) -> bytes:
        length = len(self.extra) + 8 + len(self.payload)
        length = length if self.ip_length is None else self.ip_length
        first = struct.pack(
            "!IHBB",
            6 << 28 | self.tos << 20 | self.flow,
            length,
            0 if self.extra else self.protocol,
            self.life,
        )
        return first + self._addresses() + self.extra


def summed(data: bytes) -> int:
    """Return the one's complement sum of 16-bit words."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@dataclass(frozen=True)
class Seen:
    """A UDP datagram as a capture shows it.

    Attributes:
        state: of the checksum: "right", "wrong", "none" or "pseudo".
        flow:  the flow label; 0: none, as ever with IPv4.
    """

    source: tuple[str, int]
    payload: bytes
    tos: int
    life: int
    may_fragment: bool
    header_right: bool
    state: str
    flow: int = 0


def read(frame: bytes) -> Seen | None:
    """Read a frame; None: it is no whole UDP datagram."""
    flow = 0
    if frame[12:14] == b"\x08\0" and frame[23] == UDP and not frame[20] & 0x3F and not frame[21]:
        head, addresses, tos, life = 20, frame[26:34], frame[15], frame[22]
        right = summed(frame[14:34]) == 0xFFFF
        may_fragment = not frame[20] & 0x40
    elif frame[12:14] == b"\x86\xdd" and frame[20] == UDP:
        head, addresses, life, right = 40, frame[22:54], frame[21], True
        tos, may_fragment = int.from_bytes(frame[14:16], "big") >> 4 & 0xFF, False
        flow = int.from_bytes(frame[14:18], "big") & 0xFFFFF
    else:
        return None
    udp = frame[14 + head :]
    port, _, size, found = struct.unpack_from("!4H", udp)
    pseudo = addresses + struct.pack("!HH", UDP, size)
    if found == 0:
        state = "none"
    elif summed(pseudo + udp[:size]) == 0xFFFF:
        state = "right"
    else:
        state = "pseudo" if found == summed(pseudo) else "wrong"
    ip = str(ipaddress.ip_address(addresses[: len(addresses) // 2]))
    return Seen((ip, port), udp[8:size], tos, life, may_fragment, right, state, flow)


def odd(frame: Frame, random: Random) -> Frame:
    """Return `frame` with something about it that is unusual, or hostile."""
    ipv6 = ":" in frame.source[0]
    size = len(frame.payload)
    changes: list[dict[str, Any]] = [  # fields of a Frame, each with its own type
        {"tos": random.randrange(256)},
        {"flow": random.randrange(1 << 20)},
        {"life": random.choice((0, 1, 2, 255))},
        {"protocol": random.choice((0, 6, 58, 136, 255))},
        {"fragment": random.choice((0, 0x2000, 0x6000, 0x8000, 1, 0x2010))},
        {"ip_length": random.choice((0, 8, 20, 28, size, size + 27, size + 29, 65535))},
        {"udp_length": random.choice((0, 7, 8, 12, size + 7, size + 9, 65535))},
        {"header_sum": random.randrange(1, 1 << 16)},
        {"checksum": random.choice(("wrong", "none", "pseudo"))},
        {
            "extra": b"\x11\0\x01\x04\0\0\0\0"
            if ipv6
            else random.choice((b"\1\1\1\0", b"\x94\4\0\0"))
        },
        {"vlan": random.choice((b"\x81\0\0\0", b"\x81\0\0\5", b"\x88\xa8\0\0"))},
        {"tail": random.randbytes(random.randrange(1, 40))},
        {"source": (frame.source[0], random.choice((7000, 5001, 7001, 0)))},
        {"destination": (frame.destination[0], random.choice((6001, 3479, 0)))},
        {"macs": (random.choice((b"\xff" * 6, b"\1\0\x5e\0\0\1", b"\2\0\0\0\0\1")), frame.macs[1])},
        {"payload": frame.payload[: random.randrange(size + 1)]},
        {"payload": frame.payload + random.randbytes(random.randrange(1, 9))},
        {"payload": random.randbytes(size)},
    ]
    return replace(frame, **random.choice(changes))
