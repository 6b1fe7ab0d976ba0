"""The TURN server as a machine: every STUN message of a client comes in here (RFC 8656).

What a driver does, and nothing else:

- hands each STUN message of a client to `receive`, with the path it came along. ChannelData never
  comes here: the data plane forwards it by the facts in natkit.turn.forwarding.
- says when a client's stream has closed: `path_closed`.
- carries out the commands in `events` and answers those that natkit.turn.events says are answered.
- hands what a peer sent and the data plane has no channel for to `from_peer`; ICMP errors that a
  relayed address got to `peer_error`.
- after any call: sends `transmits()` first, carries out `events()` in order, and calls `tick` once
  `deadline()` has come.

Nothing is remembered of anybody who has not authenticated. `now` never goes back.
"""

from __future__ import annotations

from collections.abc import Callable

from natkit.machine import Instant
from natkit.network import IcmpError
from natkit.turn.events import ToClient, TurnEvent
from natkit.turn.forwarding import Path
from natkit.turn.quota import Ledger
from natkit.turn.settings import Settings
from natkit.wire import TransportAddress


class TurnServer:
    """The machine.

    Args:
        settings:   what it offers to whom.
        randomness: returns that many unpredictable bytes.
        epoch:      Unix time at `now` = 0: nonces and REST user names bear wall-clock times, which
                    every server of a fleet reads alike. To be set again when the clock was.
        ledger:     counts allocations; None: this machine's own. One that spans workers is the
                    driver's.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        randomness: Callable[[int], bytes],
        epoch: float,
        ledger: Ledger | None = None,
    ) -> None:
        """TURN server machine."""

    def receive(self, data: bytes, path: Path, *, now: Instant) -> None:
        """Take one STUN message of a client: a datagram, or a frame cut from a stream."""

    def path_closed(self, path: Path, *, now: Instant) -> None:
        """Take that a client's stream (or DTLS association) has closed."""

    def relay_opened(self, ticket: int, relayed: TransportAddress, *, now: Instant) -> None:
        """Take the answer to OpenRelay; with `reserve`, the port above is open as well."""

    def relay_failed(self, ticket: int, why: str, *, now: Instant) -> None:
        """Take that OpenRelay could not be done; the client is told 508."""

    def from_peer(
        self, relayed: TransportAddress, data: bytes, peer: TransportAddress, *, now: Instant
    ) -> None:
        """Take a datagram of a peer: a Data indication for the client, or nothing where no
        permission lets it in.
        """

    def peer_error(self, relayed: TransportAddress, error: IcmpError, *, now: Instant) -> None:
        """Take an ICMP error for something relayed: a Data indication with ICMP (§11.5)."""

    def peer_connected(self, connection: int, *, now: Instant) -> None:
        """Take that ConnectPeer has worked (RFC 6062 §5.2)."""

    def peer_failed(self, connection: int, why: str, *, now: Instant) -> None:
        """Take that ConnectPeer has not worked; the client is told 447."""

    def peer_accepted(
        self, relayed: TransportAddress, peer: TransportAddress, *, now: Instant
    ) -> int | None:
        """Take that a peer has connected to a relayed address (RFC 6062 §5.3).

        Returns: the connection's number, by which BindConnection and ClosePeer name it; None: it
                 is not let in, close it.
        """

    def peer_closed(self, connection: int, *, now: Instant) -> None:
        """Take that a peer's connection, or the client's stream joined with it, has closed."""

    def user_known(self, ticket: int, password: str | None, *, now: Instant) -> None:
        """Take the answer to LookUpUser; None: there is no such user."""

    def reconfigure(self, settings: Settings, *, now: Instant) -> None:
        """Go on with other settings. Allocations stay; permissions that the new policy refuses
        lapse.
        """

    def drain(self, alternate: TransportAddress | None, *, now: Instant) -> None:
        """Make no more allocations: send clients to `alternate` (300), or away (508)."""

    def stop(self, *, now: Instant) -> None:
        """Close every allocation."""

    def tick(self, *, now: Instant) -> None:
        """Let end what has had its time."""

    def deadline(self) -> Instant | None:
        """Return when the next thing ends; it may be early, never late."""
        return None

    def transmits(self) -> list[ToClient]:
        """Hand over what is to be sent to clients, once."""
        return []

    def events(self) -> list[TurnEvent]:
        """Hand over commands, facts and refusals, once, in order."""
        return []
