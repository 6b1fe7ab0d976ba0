"""What a TURN client reports: frozen facts, and failures with their cause."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from natkit.machine import Instant, Seconds
from natkit.network import Family
from natkit.wire import Method, TransportAddress


class Cause(Enum):
    """Why a request failed, where it was not the server that refused it."""

    REFUSED = "the server refused"
    SILENT = "no answer came"
    UNREACHABLE = "nobody listens there"
    DISCONNECTED = "the connection ended"
    UNPROVED = "the answers are not signed with our password"
    UNUSABLE = "the answer is of no use"
    NO_LOGIN = "the server wants a user name and a password, and none were given"
    BID_DOWN = "somebody took the list of password algorithms out of the answer"


@dataclass(frozen=True, slots=True)
class Failure:
    """How a request failed.

    Attributes:
        cause:     see `Cause`; with REFUSED `code` is set.
        code:      ERROR-CODE, 300 .. 699; None: no error response.
        reason:    the server's words, or ours about its answer.
        realm:     the server's realm, where it told one.
        alternate: with code 300, whom to ask instead (RFC 8489 §10).
        domain:    the name that the alternate's certificate bears.
        sent:      how often the request was sent.
    """

    method: Method
    cause: Cause
    code: int | None = None
    reason: str = ""
    realm: str | None = None
    alternate: TransportAddress | None = None
    domain: str | None = None
    sent: int = 1

    def __str__(self) -> str:
        said = f": {self.reason}" if self.reason else ""
        return f"{self.cause.value}{'' if self.code is None else f' with {self.code}'}{said}"


@dataclass(frozen=True, slots=True)
class RefusedFamily:
    """One of two address families that the server could not give (ADDRESS-ERROR-CODE)."""

    family: Family
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Allocated:
    """Peers can be reached from the relayed addresses once they are permitted.

    Attributes:
        relayed:    one address, or one of each family.
        mapped:     where the server sees the client.
        lifetime:   seconds granted; the client refreshes before they are over.
        round_trip: seconds of the last exchange; None: it was sent more than once.
        refused:    families asked for and not given.
        token:      names the next port, where EVEN-PORT asked for one to be kept.
        software:   what the server calls itself.
    """

    relayed: tuple[TransportAddress, ...]
    mapped: TransportAddress
    lifetime: Seconds
    round_trip: Seconds | None
    refused: tuple[RefusedFamily, ...] = ()
    token: bytes | None = None
    software: str | None = None


@dataclass(frozen=True, slots=True)
class AllocationFailed:
    """There is no allocation, and none will come: the end of this client."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class AllocationRefreshed:
    """The allocation lives on, until `expires_at` unless refreshed again."""

    expires_at: Instant


@dataclass(frozen=True, slots=True)
class AllocationLost:
    """The allocation is gone, or cannot be kept: the end of this client."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class AllocationDeleted:
    """The client has given the allocation back: the end of this client.

    Attributes: confirmed: the server said so; else it has been told, without an answer.
    """

    confirmed: bool


@dataclass(frozen=True, slots=True)
class PeerPermitted:
    """Peers at `ip` may be sent to and are heard; the client keeps it so."""

    ip: str
    round_trip: Seconds | None


@dataclass(frozen=True, slots=True)
class PermissionRefused:
    """Peers at `ip` cannot be reached: the permission was refused, or could not be prolonged."""

    ip: str
    failure: Failure


@dataclass(frozen=True, slots=True)
class ChannelOpened:
    """What goes to `peer` travels in ChannelData from now on; the client keeps it so."""

    peer: TransportAddress
    channel: int


@dataclass(frozen=True, slots=True)
class ChannelRefused:
    """There is no channel to `peer`; what goes there travels in Send indications."""

    peer: TransportAddress
    failure: Failure


@dataclass(frozen=True, slots=True)
class DataReceived:
    """A datagram came from a peer.

    Attributes: relayed by a channel: `channel` is its number; by a Data indication: None.
    """

    peer: TransportAddress
    data: bytes
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class PeerUnreachable:
    """An ICMP error came back to the server for something sent to `peer` (RFC 8656 §11.6)."""

    peer: TransportAddress
    kind: int
    code: int


ClientEvent: TypeAlias = (
    Allocated
    | AllocationFailed
    | AllocationRefreshed
    | AllocationLost
    | AllocationDeleted
    | PeerPermitted
    | PermissionRefused
    | ChannelOpened
    | ChannelRefused
    | DataReceived
    | PeerUnreachable
)
