"""What an observer sees: one record for every step of a packet, in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from natkit.lab.sim.packet import Packet, Proto
from natkit.machine import Instant
from natkit.wire import TransportAddress


class Direction(Enum):
    """Which way a packet went, seen from the node."""

    SENT = "sent"
    RECEIVED = "received"
    OUTWARDS = "outwards"
    """Through a router, from inside to outside."""
    INWARDS = "inwards"
    HAIRPIN = "hairpin"


@dataclass(frozen=True, slots=True)
class Record:
    """One step of one packet.

    Attributes:
        time:    virtual seconds.
        node:    name of the host or router where it happened.
        src, dst: as the packet left the node, or as it came where it was dropped.
        verdict: what happened, in words ("sent", "delivered", "source 10.0.1.2:5 becomes …",
                 "dropped: no mapping").
        size:    bytes of payload.
    """

    time: Instant
    node: str
    direction: Direction
    proto: Proto
    src: TransportAddress
    dst: TransportAddress
    verdict: str
    size: int
    ttl: int

    @property
    def dropped(self) -> bool:
        """True where the packet ended without arriving."""
        return self.verdict.startswith("dropped")

    def __str__(self) -> str:
        where = f"{self.time:9.4f}  {self.node:<8} {self.direction.value:<9}"
        return f"{where} {self.proto} {self.src} > {self.dst}  {self.verdict}"


Observer = Callable[[Record], None]


def record(now: Instant, node: str, direction: Direction, packet: Packet, verdict: str) -> Record:
    """Return the record of a step of `packet`."""
    return Record(
        now,
        node,
        direction,
        packet.proto,
        packet.src,
        packet.dst,
        verdict,
        len(packet.data),
        packet.ttl,
    )
