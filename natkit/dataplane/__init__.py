"""Moving relayed packets: what a data plane is asked, whichever way it does it.

A plane owns the sockets it is given and a small table that it builds from the facts in
natkit.turn.forwarding. ChannelData goes first byte → table look-up → send, both ways, and never
meets the STUN codec or the state machine. All else goes up: what clients say beside ChannelData,
what peers send that no channel is bound for, and that an ICMP error came.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from natkit.machine import Instant
from natkit.turn.forwarding import Fact, Path
from natkit.wire import TransportAddress

if TYPE_CHECKING:
    from natkit.dataplane.meter import Meter


@dataclass(slots=True)
class Counters:
    """What one relayed address has carried so far; payloads, without the envelopes.

    Attributes:
        to_peers, from_peers:             packets relayed.
        to_peers_bytes, from_peers_bytes: their payloads in bytes.
        dropped:                          packets that a limit or a full buffer let fall.
        in_kernel:                        packets relayed that the kernel forwarded.
    """

    to_peers: int = 0
    to_peers_bytes: int = 0
    from_peers: int = 0
    from_peers_bytes: int = 0
    dropped: int = 0
    in_kernel: int = 0

    def add(self, other: Counters) -> None:
        """Add what `other` counted."""
        self.to_peers += other.to_peers
        self.to_peers_bytes += other.to_peers_bytes
        self.from_peers += other.from_peers
        self.from_peers_bytes += other.from_peers_bytes
        self.dropped += other.dropped
        self.in_kernel += other.in_kernel


class Upcalls(Protocol):
    """What a plane does not decide itself. None of these may block or raise."""

    def client_datagram(
        self, data: bytes, client: TransportAddress, server: TransportAddress, now: Instant
    ) -> None:
        """A client's datagram that is not ChannelData came in on the listener `server`."""

    def peer_datagram(
        self, relayed: TransportAddress, data: bytes, peer: TransportAddress, now: Instant
    ) -> None:
        """A peer's datagram came for which no channel stands."""

    def relay_error(self, relayed: TransportAddress, sock: socket.socket, now: Instant) -> None:
        """An error waits on the relayed address's socket (Linux: in its error queue)."""


class DataPlane(Protocol):
    """The interface that a portable and an in-kernel plane share."""

    def add_listener(self, server: TransportAddress, sock: socket.socket) -> None:
        """Read clients' datagrams from `sock`, non-blocking and bound to `server`; own it."""

    def add_relay(self, relayed: TransportAddress, sock: socket.socket) -> None:
        """Read peers' datagrams from `sock`, known to clients as `relayed`; own it."""

    def measure(self, relayed: TransportAddress) -> Meter:
        """Keep account of a relayed address whose bytes somebody else moves (TCP to the peers),
        until `remove_relay`; facts about it are applied as about others. Count with what it gives.
        """

    def visiting(self, relayed: TransportAddress, user: str) -> Meter:
        """Return what counts for a connection from a relayed address whose allocation is on another
        worker, under the same limits, until `release`.
        """

    def release(self, meter: Meter) -> None:
        """Take that a meter counts no more."""

    def remove_relay(self, relayed: TransportAddress) -> None:
        """Close the socket of `relayed`, and forget what it carried. Unknown ones are ignored."""

    def add_stream(
        self, path: Path, write: Callable[[bytes], bool]
    ) -> Callable[[bytes, Instant], None]:
        """Serve a client whose bytes somebody else reads: TCP, TLS, DTLS.

        Args:    write: sends whole frames to the client; False: it dropped them.
        Returns: what to call with every ChannelData frame from the client.
        """

    def remove_stream(self, path: Path) -> None:
        """Forget a client added by `add_stream`. Unknown ones are ignored."""

    def divert(self, path: Path, take: Callable[[bytes], None] | None) -> None:
        """Hand ChannelData along `path` to `take`: a path that has no allocation here, but on
        another worker. None: no longer. Unknown paths are ignored.
        """

    def apply(self, fact: Fact) -> None:
        """Take a fact of the TURN machine into the table."""

    def to_client(self, path: Path, data: bytes) -> None:
        """Send a STUN message along `path`, from the address that the client asked."""

    def to_peer(
        self,
        relayed: TransportAddress,
        peer: TransportAddress,
        data: bytes,
        *,
        dont_fragment: bool,
        now: Instant,
    ) -> None:
        """Send one datagram from a relayed address (a Send indication's)."""

    def counters(self, relayed: TransportAddress) -> Counters:
        """Return what `relayed` has carried; live. All zero where it is unknown."""

    def activity(self, relayed: TransportAddress) -> Instant | None:
        """Return when it last carried something; None: never."""

    @property
    def in_kernel(self) -> bool:
        """True if the kernel forwards what it can."""

    def close(self) -> None:
        """Close every socket."""
