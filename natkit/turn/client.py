"""The client of one TURN server: an allocation, and datagrams through it (RFC 8656).

A client goes through the states of `State`; which event ends it says why. Rules of the file:
1. What has to be renewed on the server (allocation, permissions, channels) is renewed by `tick`.
2. `send` never fails: what cannot be relayed is dropped, as a network would.
3. On a stream `receive` takes bytes as they come; over UDP one datagram.

Start with `allocate`; go on with `send`, `permit` and `open_channel`; end with `delete`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias, assert_never

from natkit.errors import MalformedMessage
from natkit.machine import Instant, Seconds, Transmit, soonest
from natkit.network import IcmpError
from natkit.stun.binding import HARD_ICMP_ERRORS
from natkit.turn import client_allocation as allocation
from natkit.turn.client_allocation import PLAIN, Wish
from natkit.turn.client_auth import Authenticator, Login
from natkit.turn.client_events import (
    AllocationDeleted,
    AllocationFailed,
    AllocationLost,
    AllocationRefreshed,
    Cause,
    ClientEvent,
    Failure,
)
from natkit.turn.client_exchanges import Answered, Exchanges, Failed
from natkit.turn.client_peers import RENEWAL, Bind, PeerPurpose, Peers, Permit
from natkit.wire import (
    ChannelData,
    FrameReader,
    Lifetime,
    Message,
    MessageClass,
    Method,
    TransportAddress,
)

GOODBYE: Seconds = 2.0
"""How long `delete` waits for the answer; without it the allocation lapses by itself."""


ALLOCATION_MISMATCH = 437
"""The server has no allocation for our address and port, or has one already (RFC 8656 §19)."""


class State(Enum):
    """What the client is doing."""

    NEW = "new"
    ALLOCATING = "allocating"
    ALLOCATED = "allocated"
    DELETING = "deleting"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class _Allocate:
    """Purpose of a request: see the method of that name; so for the next ones."""


@dataclass(frozen=True, slots=True)
class _Refresh:
    pass


@dataclass(frozen=True, slots=True)
class _Delete:
    pass


_Purpose: TypeAlias = _Allocate | _Refresh | _Delete | PeerPurpose


class TurnClient:
    """The machine.

    Args:
        server:         its address; datagrams from elsewhere are ignored.
        login:          None: the server is hoped to want none.
        transaction_id: returns 12 unpredictable bytes at every call.
        reliable:       True over TCP and TLS.
    """

    def __init__(
        self,
        server: TransportAddress,
        login: Login | None,
        transaction_id: Callable[[], bytes],
        *,
        reliable: bool = False,
    ) -> None:
        self.server = server
        self.state = State.NEW
        self._exchanges: Exchanges[_Purpose] = Exchanges(
            Authenticator(login), transaction_id, reliable=reliable
        )
        self._frames = FrameReader() if reliable else None
        self._peers = Peers(self._exchanges.start, transaction_id, padded=reliable)
        self._wish = PLAIN
        self._refresh_at: Instant | None = None
        self._events: list[ClientEvent] = []

    # Commands.

    def allocate(
        self, wish: Wish = PLAIN, *, patience: Seconds | None = None, now: Instant
    ) -> None:
        """Ask for an allocation; `Allocated` or `AllocationFailed` follows.

        Args:   patience: seconds for each of the two requests that it takes; None: the RFC's 39.5.
        Raises: ValueError: this client has asked before.
        """
        if self.state is not State.NEW:
            raise ValueError(f"a client allocates once; this one is {self.state.value}")
        self.state, self._wish = State.ALLOCATING, wish
        attributes = wish.attributes()
        self._exchanges.start(_Allocate(), Method.ALLOCATE, *attributes, patience=patience, now=now)

    def permit(self, ip: str, *, now: Instant) -> None:
        """Let peers at `ip` (canonical text) be sent to and heard, from now on.

        `PeerPermitted` or `PermissionRefused` follows, also when it was permitted before.
        """
        if self.state is State.ALLOCATED:
            self._peers.permit(ip, now=now)

    def open_channel(self, peer: TransportAddress, *, now: Instant) -> None:
        """Have what goes to `peer` and comes from it travel with 4 bytes of overhead, not 36.

        `ChannelOpened` or `ChannelRefused` follows; it permits the peer's IP as well.
        """
        if self.state is State.ALLOCATED:
            self._events += self._peers.open_channel(peer, now=now)

    def send(self, peer: TransportAddress, data: bytes, *, now: Instant) -> None:
        """Relay a datagram to `peer` (its IP in canonical text).

        An IP that was not permitted yet is now; up to 16 datagrams wait for that.
        """
        if self.state is State.ALLOCATED:
            self._peers.send(peer, data, now=now)

    def delete(self, *, now: Instant) -> None:
        """Give the allocation back; `AllocationDeleted` follows."""
        if self.state is State.ALLOCATED:
            self.state = State.DELETING
            self._exchanges.fail_all(Cause.DISCONNECTED)
            self._say_goodbye(now)
        elif self.state in (State.NEW, State.ALLOCATING):
            self._end(AllocationDeleted(confirmed=False))

    # What the network says.

    def receive(self, data: bytes, source: TransportAddress, *, now: Instant) -> None:
        """Take a datagram or, on a stream, the next bytes. What makes no sense is ignored; a stream
        that makes none has ended.
        """
        if source != self.server or self.state is State.ENDED:
            return
        try:
            for frame in self._cut(data):
                self._take(frame, now)
        except MalformedMessage as error:
            if self._frames is not None:
                self.disconnected(f"what came is not TURN: {error}")

    def error_received(self, error: IcmpError, *, now: Instant) -> None:
        """Take an ICMP error: a hard one from the server's port ends the requests under way."""
        hard = (self.server.is_ipv6, error.kind, error.code) in HARD_ICMP_ERRORS
        if hard and error.destination in (None, self.server):
            self._conclude(self._exchanges.fail_all(Cause.UNREACHABLE), now)

    def disconnected(self, reason: str) -> None:
        """Take that the stream has ended, and the allocation with its 5-tuple (RFC 8656 §2)."""
        failure = Failure(Method.ALLOCATE, Cause.DISCONNECTED, reason=reason)
        if self.state in (State.NEW, State.ALLOCATING):
            self._end(AllocationFailed(failure))
        elif self.state is State.ALLOCATED:
            self._end(AllocationLost(failure))
        elif self.state is State.DELETING:
            self._end(AllocationDeleted(confirmed=False))

    def tick(self, *, now: Instant) -> None:
        """Send again what got no answer, give up what waited long enough, renew what lapses."""
        self._conclude(self._exchanges.tick(now=now), now)
        if self.state is not State.ALLOCATED:
            return
        if self._refresh_at is not None and self._refresh_at <= now:
            self._refresh(now)
        self._peers.renew(now=now)

    def deadline(self) -> Instant | None:
        """Return when `tick` has something to do."""
        if self.state is not State.ALLOCATED:
            return self._exchanges.deadline()
        renewals = (self._refresh_at, self._peers.deadline())
        return soonest((self._exchanges.deadline(), *renewals))

    def transmits(self) -> list[Transmit]:
        """Hand over what is to be sent to the server."""
        requests, self._exchanges.outgoing = self._exchanges.outgoing, []
        data, self._peers.outgoing = self._peers.outgoing, []
        return [Transmit(frame, self.server) for frame in (*requests, *data)]

    def events(self) -> list[ClientEvent]:
        """Hand over what has happened."""
        out, self._events = self._events, []
        return out

    # What came in.

    def _cut(self, data: bytes) -> Iterable[Message | ChannelData]:
        """Return the messages in `data`. Raises: MalformedMessage: it is none, or has one."""
        if self._frames is not None:
            return self._frames.feed(data)
        is_channel = data[:1] and 0x40 <= data[0] < 0x50
        return (ChannelData.decode(data) if is_channel else Message.decode(data),)

    def _take(self, frame: Message | ChannelData, now: Instant) -> None:
        if isinstance(frame, ChannelData):
            self._events += self._peers.from_channel(frame)
        elif frame.message_class is MessageClass.INDICATION:
            self._events += self._peers.from_indication(frame)
        elif (outcome := self._exchanges.receive(frame, now=now)) is not None:
            self._conclude([outcome], now)

    # How requests end.

    def _conclude(
        self, outcomes: Sequence[Answered[_Purpose] | Failed[_Purpose]], now: Instant
    ) -> None:
        for outcome in outcomes:
            if self.state is State.ENDED:
                return
            if isinstance(outcome, Answered):
                self._answered(outcome, now)
            else:
                self._failed(outcome.purpose, outcome.failure, now)

    def _answered(self, outcome: Answered[_Purpose], now: Instant) -> None:
        match outcome.purpose:
            case _Allocate():
                self._allocated(outcome, now)
            case _Refresh():
                self._refreshed(outcome)
            case _Delete():
                self._end(AllocationDeleted(confirmed=True))
            case Permit() | Bind() as purpose:
                began_at, took = outcome.began_at, outcome.round_trip
                self._events += self._peers.answered(purpose, began_at, took, now=now)
            case _ as never:
                assert_never(never)

    def _allocated(self, outcome: Answered[_Purpose], now: Instant) -> None:
        made = allocation.read(outcome.message, self._wish, outcome.round_trip)
        if isinstance(made, str):
            # What was made is of no use to us, so give it back (RFC 8656 §7.3).
            self._end(AllocationFailed(Failure(Method.ALLOCATE, Cause.UNUSABLE, reason=made)))
            self._say_goodbye(now)
            return
        self.state = State.ALLOCATED
        self._plan_refresh(made.lifetime, outcome.began_at)
        self._events.append(made)

    def _refresh(self, now: Instant) -> None:
        self._refresh_at = None
        lifetime = () if self._wish.lifetime is None else (Lifetime(self._wish.lifetime),)
        self._exchanges.start(_Refresh(), Method.REFRESH, *lifetime, now=now)

    def _refreshed(self, outcome: Answered[_Purpose]) -> None:
        granted = outcome.message.find(Lifetime)
        lifetime = allocation.DEFAULT_LIFETIME if granted is None else granted.seconds
        self._plan_refresh(lifetime, outcome.began_at)
        self._events.append(AllocationRefreshed(outcome.began_at + lifetime))

    def _plan_refresh(self, lifetime: Seconds, began_at: Instant) -> None:
        self._refresh_at = began_at + lifetime - min(RENEWAL, lifetime / 2)

    def _failed(self, purpose: _Purpose, failure: Failure, now: Instant) -> None:
        match purpose:
            case _Allocate():
                self._end(AllocationFailed(failure))
            case _Refresh():
                self._end(AllocationLost(failure))
            case _Delete():
                # 437: the server has no such allocation, which is what we wanted.
                self._end(AllocationDeleted(confirmed=failure.code == ALLOCATION_MISMATCH))
            case Permit() | Bind():
                self._events += self._peers.failed(purpose, failure, now=now)
                self._lost_with(failure)
            case _ as never:
                assert_never(never)

    def _lost_with(self, failure: Failure) -> None:
        """End where a refusal says that the server knows no allocation of ours."""
        if failure.code == ALLOCATION_MISMATCH and self.state is State.ALLOCATED:
            self._end(AllocationLost(failure))

    def _say_goodbye(self, now: Instant) -> None:
        self._exchanges.start(_Delete(), Method.REFRESH, Lifetime(0), patience=GOODBYE, now=now)

    def _end(self, event: ClientEvent) -> None:
        if self.state is not State.ENDED:
            self.state = State.ENDED
            self._exchanges.fail_all(Cause.DISCONNECTED)
            self._events.append(event)
