"""The client's half of the Binding method: any number of requests over one socket (RFC 8489 §6).

A request goes: asked -> (sent again ...) -> succeeded | failed | timed out | unreachable, each of
which is one event and the end of it. Rule of the file: an answer belongs to the request whose
transaction id it carries, wherever it comes from. Its source is reported, not judged: RFC 5780
wants answers from other addresses, and only the one who asked knows which.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from natkit.errors import MalformedMessage
from natkit.machine import Instant, Seconds, Transmit, soonest
from natkit.network import IcmpError
from natkit.stun.transaction import UNRELIABLE, Retransmission, Step, Transaction
from natkit.wire import (
    AlternateServer,
    Attribute,
    ErrorCode,
    MappedAddress,
    Message,
    MessageClass,
    Method,
    OtherAddress,
    ResponseOrigin,
    Software,
    TransportAddress,
    XorMappedAddress,
)


@dataclass(frozen=True, slots=True)
class BindingSucceeded:
    """A server said where the request came from.

    Attributes:
        server:          who was asked.
        source:          where the answer came from.
        mapped:          the request's source as the server saw it.
        plain_mapped:    MAPPED-ADDRESS where XOR-MAPPED-ADDRESS came too: a NAT's ALG may have
                         rewritten this one, and then they differ (RFC 5780 §3.6).
        round_trip:      seconds; None when the request was sent more than once.
        sent:            how often it was sent.
        other_address:   the server's alternate IP and port (RFC 5780 §7.4).
        response_origin: where the server believes to answer from (RFC 5780 §7.3).
        software:        what the server calls itself.
    """

    transaction_id: bytes
    server: TransportAddress
    source: TransportAddress
    mapped: TransportAddress
    plain_mapped: TransportAddress | None
    round_trip: Seconds | None
    sent: int
    other_address: TransportAddress | None = None
    response_origin: TransportAddress | None = None
    software: str | None = None


@dataclass(frozen=True, slots=True)
class BindingFailed:
    """A server answered, but not with an address.

    Attributes:
        code:      ERROR-CODE 300 .. 699; None: the answer was of no use, `reason` says why.
        alternate: whom to ask instead, with code 300 (RFC 8489 §10).
    """

    transaction_id: bytes
    server: TransportAddress
    source: TransportAddress
    code: int | None
    reason: str
    alternate: TransportAddress | None = None


@dataclass(frozen=True, slots=True)
class BindingTimedOut:
    """No answer came, however often the request was sent."""

    transaction_id: bytes
    server: TransportAddress
    sent: int


@dataclass(frozen=True, slots=True)
class BindingUnreachable:
    """A hard ICMP error says that nobody listens there (RFC 8489 §6.2.1)."""

    transaction_id: bytes
    server: TransportAddress
    error: IcmpError


BindingEvent: TypeAlias = BindingSucceeded | BindingFailed | BindingTimedOut | BindingUnreachable

HARD_ICMP_ERRORS = frozenset({(False, 3, 2), (False, 3, 3), (True, 1, 1), (True, 1, 4)})
"""(IPv6?, type, code) that end a transaction: protocol or port unreachable, and IPv6's
"administratively prohibited" (RFC 1122 §3.2.2.1, RFC 5461 §2). RFC 1122 also calls
"fragmentation needed" hard; for a padded probe it is only news about the path."""


@dataclass(slots=True)
class _Pending:
    request: bytes
    server: TransportAddress
    ttl: int | None
    transaction: Transaction


class BindingClient:
    """The machine.

    Args:
        transaction_id: returns 12 unpredictable bytes at every call.
        schedule:       how requests are sent again unless `ask` says otherwise.
    """

    def __init__(
        self,
        transaction_id: Callable[[], bytes],
        schedule: Retransmission = UNRELIABLE,
    ) -> None:
        self._transaction_id = transaction_id
        self._schedule = schedule
        self._pending: dict[bytes, _Pending] = {}
        self._transmits: list[Transmit] = []
        self._events: list[BindingEvent] = []

    def ask(
        self,
        server: TransportAddress,
        *attributes: Attribute,
        schedule: Retransmission | None = None,
        ttl: int | None = None,
        now: Instant,
    ) -> bytes:
        """Start a Binding request with `attributes` in it.

        Args:    schedule: None: the client's own.
                 ttl: IP time to live of its packets; None: the system's.
        Returns: the transaction id, which the one event about this request will carry.
        """
        transaction_id = self._transaction_id()
        request = Message.request(Method.BINDING, transaction_id, *attributes).encode()
        transaction = Transaction(schedule or self._schedule, now=now)
        self._pending[transaction_id] = _Pending(request, server, ttl, transaction)
        self.tick(now=now)
        return transaction_id

    def receive(self, data: bytes, source: TransportAddress, *, now: Instant) -> None:
        """Take a datagram. What does not answer a pending request is ignored: garbage, strangers'
        messages, and second or late answers alike.
        """
        try:
            message = Message.decode(data)
        except MalformedMessage:
            return
        pending = self._pending.get(message.transaction_id)
        if pending is None or message.method != Method.BINDING:
            return
        if message.message_class not in (MessageClass.SUCCESS, MessageClass.ERROR):
            return  # our own request come back, or somebody else's
        del self._pending[message.transaction_id]
        self._events.append(_read(message, source, pending, now))

    def error_received(self, error: IcmpError) -> None:
        """Take an ICMP error: a hard one fails the requests to that destination."""
        for transaction_id, pending in list(self._pending.items()):
            if self._concerns(error, pending.server):
                del self._pending[transaction_id]
                self._events.append(BindingUnreachable(transaction_id, pending.server, error))

    def tick(self, *, now: Instant) -> None:
        """Send what is due again, and give up what has waited long enough."""
        for transaction_id, pending in list(self._pending.items()):
            step = pending.transaction.step(now=now)
            if step is Step.SEND:
                self._transmits.append(Transmit(pending.request, pending.server, pending.ttl))
            elif step is Step.GIVE_UP:
                del self._pending[transaction_id]
                sent = pending.transaction.sent
                self._events.append(BindingTimedOut(transaction_id, pending.server, sent))

    def deadline(self) -> Instant | None:
        """Return when the next request is due again or given up."""
        return soonest(pending.transaction.deadline for pending in self._pending.values())

    def transmits(self) -> list[Transmit]:
        """Hand over the requests to send."""
        out, self._transmits = self._transmits, []
        return out

    def events(self) -> list[BindingEvent]:
        """Hand over how requests ended."""
        out, self._events = self._events, []
        return out

    def _concerns(self, error: IcmpError, server: TransportAddress) -> bool:
        if (server.is_ipv6, error.kind, error.code) not in HARD_ICMP_ERRORS:
            return False
        if error.destination is not None:
            return error.destination == server
        # The system hides the destination: sure only while a single server is being asked.
        return all(pending.server == server for pending in self._pending.values())


def _read(
    message: Message, source: TransportAddress, pending: _Pending, now: Instant
) -> BindingEvent:
    """Turn a response to `pending` into its event (RFC 8489 §6.3.3, §6.3.4)."""
    if message.message_class is MessageClass.ERROR:
        return _failure(message, source, pending.server)
    answer = read_success(message)
    if isinstance(answer, str):
        return BindingFailed(message.transaction_id, pending.server, source, None, answer)
    return BindingSucceeded(
        message.transaction_id,
        pending.server,
        source,
        answer.mapped,
        answer.plain_mapped,
        pending.transaction.round_trip(now=now),
        pending.transaction.sent,
        answer.other,
        answer.origin,
        answer.software,
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """What a Binding success response says.

    Attributes:
        mapped:       where the request came from, as the server saw it.
        plain_mapped: MAPPED-ADDRESS beside XOR-MAPPED-ADDRESS, where both were sent: an ALG may
                      have rewritten it.
        other, origin: OTHER-ADDRESS and RESPONSE-ORIGIN (RFC 5780 §7.3, §7.4), where sent.
        software:     SOFTWARE, where sent.
    """

    mapped: TransportAddress
    plain_mapped: TransportAddress | None
    other: TransportAddress | None
    origin: TransportAddress | None
    software: str | None


def read_success(message: Message) -> Answer | str:
    """Read a Binding success response; a string says why it is of no use."""
    xor, plain = message.find(XorMappedAddress), message.find(MappedAddress)
    seen = xor or plain  # servers older than RFC 5389 know only MAPPED-ADDRESS
    if seen is None or seen.address.port == 0:
        return "its answer holds no address"
    if message.unknown_required:
        return "its answer is not understood"
    other, origin = message.find(OtherAddress), message.find(ResponseOrigin)
    software = message.find(Software)
    return Answer(
        seen.address,
        plain.address if xor and plain else None,
        other.address if other else None,
        origin.address if origin else None,
        software.text if software else None,
    )


def _failure(message: Message, source: TransportAddress, server: TransportAddress) -> BindingFailed:
    error, alternate = message.find(ErrorCode), message.find(AlternateServer)
    code, reason = (error.code, error.reason) if error else (None, "an error without a code")
    return BindingFailed(
        message.transaction_id,
        server,
        source,
        code,
        reason,
        alternate.address if alternate else None,
    )
