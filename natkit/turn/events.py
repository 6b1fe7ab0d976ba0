"""What the TURN server machine asks of its driver, and what it reports, beside what is forwarded.

Commands are verbs, reports are in the past tense. natkit.turn.server says how they are answered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from natkit.network import Family
from natkit.turn.forwarding import Fact, Path, Relaying
from natkit.wire import Method, TransportAddress


class ToClient(NamedTuple):
    """One STUN message to send along `path`, from `path.server` to `path.client`."""

    path: Path
    data: bytes


class OpenRelay(NamedTuple):
    """Open a relayed address; answer `relay_opened` or `relay_failed` with the same ticket.

    Attributes:
        relaying: UDP: a socket. TCP: a listening socket whose port can also be connected from.
        even:     the port must be even (EVEN-PORT).
        reserve:  keep the port above it open too, at the same IP, until a CloseRelay names it or
                  an AllocationMade takes it over.
    """

    ticket: int
    family: Family
    relaying: Relaying
    even: bool = False
    reserve: bool = False


@dataclass(frozen=True, slots=True)
class CloseRelay:
    """Close the socket of a relayed address, reserved ones included. No answer."""

    relayed: TransportAddress


@dataclass(frozen=True, slots=True)
class SendToPeer:
    """Send one datagram from a relayed address (Send indication, RFC 8656 §11.2). No answer.

    Attributes:
        dont_fragment: set the DF bit.
    """

    relayed: TransportAddress
    peer: TransportAddress
    data: bytes
    dont_fragment: bool


@dataclass(frozen=True, slots=True)
class ConnectPeer:
    """Connect to `peer` from `relayed` (RFC 6062 §5.2); answer `peer_connected` or `peer_failed`
    with the same connection.
    """

    connection: int
    relayed: TransportAddress
    peer: TransportAddress


@dataclass(frozen=True, slots=True)
class BindConnection:
    """Join the client's stream `path` with the peer's `connection`: after the answer that is in
    `transmits` already, whatever either sends goes to the other, bytes that wait already included
    (RFC 6062 §5.4). Say `peer_closed` once either has closed.
    """

    path: Path
    connection: int


@dataclass(frozen=True, slots=True)
class ClosePeer:
    """Close the peer's connection, and the client's stream if it is joined with one. No answer."""

    connection: int


@dataclass(frozen=True, slots=True)
class LookUpUser:
    """Ask whoever knows users for this one; answer `user_known` with the same ticket."""

    ticket: int
    username: str
    realm: str


@dataclass(frozen=True, slots=True)
class HandOver:
    """Give this request to the worker that it is for, whose `receive` takes it as if it had come
    there; until that worker lets go of `path`, whatever else comes along it is for it as well.
    """

    worker: int
    path: Path
    data: bytes


class RequestRefused(NamedTuple):
    """A request was answered by an error.

    Attributes:
        code:    the ERROR-CODE sent.
        why:     what was wrong, for the server's owner; says more than the client was told.
        user:    as far as known; not proved where authentication is what failed.
        routine: part of a healthy handshake (its first 401, a stale nonce): no matter for a log.
    """

    path: Path
    method: Method
    code: int
    why: str
    user: str | None
    routine: bool = False


Command: TypeAlias = (
    OpenRelay
    | CloseRelay
    | SendToPeer
    | ConnectPeer
    | BindConnection
    | ClosePeer
    | LookUpUser
    | HandOver
)

TurnEvent: TypeAlias = Command | Fact | RequestRefused
