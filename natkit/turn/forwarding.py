"""The words that the TURN machine and a data plane share: who is relayed to whom, and until when.

Rule of the file: frozen values only. A data plane builds its table from these facts, in the order
in which they come, and needs nothing else of TURN. What has an `expires_at` is alive while
`now < expires_at`, and the machine also says when it has lapsed.

*relayed* is everywhere the address as the client and the peers know it (the advertised one, where
the server is behind a 1:1 NAT). Peers are told by canonical addresses (natkit.turn.policy).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, TypeAlias

from natkit.machine import Instant, Seconds
from natkit.wire import TransportAddress


class Transport(Enum):
    """What carries messages between a client and the server."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"
    DTLS = "dtls"

    # Enum hashes the name, in Python, and every look-up of a path would pay for it.
    __hash__ = object.__hash__

    @property
    def is_stream(self) -> bool:
        """True where bytes come in order and ChannelData is padded (RFC 8656 §12.5)."""
        return self is Transport.TCP or self is Transport.TLS


class Path(NamedTuple):
    """The 5-tuple that an allocation belongs to (RFC 8656 §3.2).

    Attributes:
        client: the client's address as the server sees it.
        server: the address it sends to, and the one that answers leave from: never a wildcard.
    """

    client: TransportAddress
    server: TransportAddress
    transport: Transport

    def __str__(self) -> str:
        return f"{self.transport.value}://{self.client} at {self.server}"


class Relaying(Enum):
    """What a relayed address speaks with peers: REQUESTED-TRANSPORT's numbers."""

    UDP = 17
    TCP = 6

    __hash__ = object.__hash__  # as of Transport


class CloseReason(Enum):
    """Why an allocation ended."""

    DELETED = "the client deleted it"
    EXPIRED = "it expired"
    DISCONNECTED = "the client's connection closed"
    STOPPED = "the server stopped"
    WORKER_LOST = "the worker process that had it ended"


class AllocationMade(NamedTuple):
    """A client may relay through `relayed` from now on; peers are let in by permissions.

    A client that got both IPv4 and IPv6 makes two of these, with one path.

    Attributes:
        user:     who pays for it: the user name, without the expiry that REST names begin with.
        lifetime: seconds granted; a Refresh makes it more and is not told.
    """

    path: Path
    relayed: TransportAddress
    relaying: Relaying
    user: str
    lifetime: Seconds


class PermissionGranted(NamedTuple):
    """Peers at `peer_ip` may be sent to and heard (RFC 8656 §9): granted, or prolonged.

    Attributes:
        peer_ip: canonical text, without port: a permission ignores ports.
    """

    relayed: TransportAddress
    peer_ip: str
    expires_at: Instant


@dataclass(frozen=True, slots=True)
class PermissionLapsed:
    """The permission ended without being prolonged."""

    relayed: TransportAddress
    peer_ip: str


class ChannelBound(NamedTuple):
    """`channel` and `peer` stand for each other on this allocation (§12): bound, or prolonged.

    A PermissionGranted for the peer's IP comes with it.

    Attributes:
        channel: 0x4000 .. 0x4FFF.
    """

    relayed: TransportAddress
    channel: int
    peer: TransportAddress
    path: Path
    expires_at: Instant


@dataclass(frozen=True, slots=True)
class ChannelLapsed:
    """The binding ended without being prolonged."""

    relayed: TransportAddress
    channel: int
    peer: TransportAddress
    path: Path


@dataclass(frozen=True, slots=True)
class AllocationMoved:
    """The client goes on from another address (RFC 8016): `path` replaces `old` for all that is
    relayed by `relayed`, its channels included.
    """

    relayed: TransportAddress
    old: Path
    path: Path


@dataclass(frozen=True, slots=True)
class AllocationClosed:
    """Nothing is relayed by `relayed` any more; its permissions and channels ended with it."""

    path: Path
    relayed: TransportAddress
    user: str
    reason: CloseReason


Fact: TypeAlias = (
    AllocationMade
    | PermissionGranted
    | PermissionLapsed
    | ChannelBound
    | ChannelLapsed
    | AllocationMoved
    | AllocationClosed
)
"""What a data plane has to know."""
