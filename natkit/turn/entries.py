"""What the TURN server remembers, entry by entry (natkit.turn.register keeps them)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from natkit.network import Family
from natkit.turn.allocation import Allocation
from natkit.turn.answers import Asked
from natkit.turn.forwarding import Path, Relaying
from natkit.wire import Message, TransportAddress


@dataclass(slots=True, eq=False)
class Pending:
    """An Allocate request that waits for its relayed addresses.

    Attributes:
        reserve:   the port above is to be kept (EVEN-PORT with R=1).
        wanted:    the families asked for and not answered yet, by ticket.
        opened:    what came.
        failed:    error code for which family.
        why:       what the driver said to the last failure.
        cancelled: its client is gone.
    """

    asked: Asked
    relaying: Relaying
    reserve: bool
    wanted: dict[int, Family] = field(default_factory=dict)
    opened: dict[Family, TransportAddress] = field(default_factory=dict)
    failed: dict[Family, int] = field(default_factory=dict)
    why: str = ""
    cancelled: bool = False


@dataclass(slots=True, eq=False)
class Reservation:
    """A relayed address that RESERVATION-TOKEN buys (RFC 8656 §7.2)."""

    token: bytes
    relayed: TransportAddress
    account: str


@dataclass(slots=True, eq=False)
class Answered:
    """An answer that must not be worked out twice."""

    key: tuple[Path, bytes]
    data: bytes


@dataclass(slots=True, eq=False)
class Waiting:
    """A request whose user somebody else is asked about (LookUpUser)."""

    ticket: int
    message: Message
    path: Path


@dataclass(slots=True, eq=False)
class PeerConnection:
    """A TCP connection with a peer (RFC 6062).

    Attributes:
        asked:   the Connect request that waits for it; None: answered, or the peer came by itself.
        bound_to: the client's stream that is joined with it.
    """

    number: int
    allocation: Allocation
    peer: TransportAddress
    asked: Asked | None = None
    bound_to: Path | None = None


Ending: TypeAlias = Allocation | Reservation | Answered | Waiting | PeerConnection
