"""Requests under way to one TURN server: sent again, signed anew when challenged, and answered.

An exchange goes: asked -> (sent again | challenged and signed anew ...) -> answered | failed.
Rule of the file: an exchange ends exactly once, by the one `Outcome` that bears its purpose.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from natkit.machine import Instant, Seconds, soonest
from natkit.stun.transaction import RELIABLE, UNRELIABLE, Retransmission, Step, Transaction
from natkit.turn.client_auth import Authenticator, Signed, is_authentic
from natkit.turn.client_events import Cause, Failure
from natkit.wire import (
    AlternateDomain,
    AlternateServer,
    Attribute,
    ErrorCode,
    Message,
    MessageClass,
    Method,
)

Purpose = TypeVar("Purpose")

CHALLENGES = 4
"""Challenges that one request may meet. One 401 and one 438 are the rule; a client whose address
changes under it may meet some more 438, since nonces are bound to the address."""

UNAUTHENTICATED, STALE_NONCE = 401, 438


@dataclass(frozen=True, slots=True)
class Answered(Generic[Purpose]):
    """An exchange ended with a success response.

    Attributes:
        began_at:   when the request that was answered was first sent; the server's clock for
                    what it granted began later.
        round_trip: seconds; None when the request was sent more than once.
    """

    purpose: Purpose
    message: Message
    began_at: Instant
    round_trip: Seconds | None


@dataclass(frozen=True, slots=True)
class Failed(Generic[Purpose]):
    """An exchange ended without success."""

    purpose: Purpose
    failure: Failure


_UNSENT = Signed(b"", None, None)


@dataclass(slots=True)
class _Exchange(Generic[Purpose]):
    purpose: Purpose
    method: Method
    attributes: tuple[Attribute, ...]
    schedule: Retransmission
    transaction: Transaction
    signed: Signed = _UNSENT
    challenges: int = 0
    unproved: bool = False


class Exchanges(Generic[Purpose]):
    """All requests of one client.

    Args:
        reliable: True on a stream: requests are sent once.
    """

    def __init__(
        self, authenticator: Authenticator, transaction_id: Callable[[], bytes], *, reliable: bool
    ) -> None:
        self._authenticator = authenticator
        self._transaction_id = transaction_id
        self._reliable = reliable
        self._pending: dict[bytes, _Exchange[Purpose]] = {}
        self.outgoing: list[bytes] = []

    def start(
        self,
        purpose: Purpose,
        method: Method,
        *attributes: Attribute,
        patience: Seconds | None = None,
        now: Instant,
    ) -> None:
        """Send a request.

        Args: patience: seconds until it is given up; None: the RFC's 39.5.
        """
        schedule = RELIABLE if self._reliable else UNRELIABLE
        if patience is not None:
            schedule = schedule.within(patience)
        clock = Transaction(schedule, now=now)
        self._send(_Exchange(purpose, method, attributes, schedule, clock), now)

    def receive(
        self, answer: Message, *, now: Instant
    ) -> Answered[Purpose] | Failed[Purpose] | None:
        """Take a response; None: it ended nothing."""
        exchange = self._pending.get(answer.transaction_id)
        if exchange is None or answer.method is not exchange.method:
            return None
        if answer.message_class not in (MessageClass.SUCCESS, MessageClass.ERROR):
            return None
        if not is_authentic(answer, exchange.signed.key):
            exchange.unproved = True
            if not self._reliable:
                return None  # a stranger's perhaps: the true one may still come (§9.2.5)
            return self._fail(answer.transaction_id, Cause.UNPROVED)
        del self._pending[answer.transaction_id]
        if answer.message_class is MessageClass.ERROR:
            return self._refused(exchange, answer, now)
        if answer.unknown_required:
            return self._failed(exchange, Cause.UNUSABLE, reason="it holds what we do not know")
        began, took = exchange.transaction.began_at, exchange.transaction.round_trip(now=now)
        return Answered(exchange.purpose, answer, began, took)

    def tick(self, *, now: Instant) -> list[Failed[Purpose]]:
        """Send what is due again, and return what has waited long enough."""
        ended = []
        for transaction_id, exchange in list(self._pending.items()):
            step = exchange.transaction.step(now=now)
            if step is Step.SEND:
                self.outgoing.append(exchange.signed.data)
            elif step is Step.GIVE_UP:
                cause = Cause.UNPROVED if exchange.unproved else Cause.SILENT
                ended.append(self._fail(transaction_id, cause))
        return ended

    def fail_all(self, cause: Cause, reason: str = "") -> list[Failed[Purpose]]:
        """End every exchange."""
        return [self._fail(transaction_id, cause, reason) for transaction_id in [*self._pending]]

    def deadline(self) -> Instant | None:
        """Return when `tick` has something to do."""
        return soonest(exchange.transaction.deadline for exchange in self._pending.values())

    def _send(self, exchange: _Exchange[Purpose], now: Instant) -> None:
        """Send a request for the first time, or anew: with an id and a schedule of its own."""
        transaction_id = self._transaction_id()
        request = Message.request(exchange.method, transaction_id, *exchange.attributes)
        exchange.signed = self._authenticator.sign(request)
        exchange.transaction = Transaction(exchange.schedule, now=now)
        exchange.transaction.step(now=now)
        self._pending[transaction_id] = exchange
        self.outgoing.append(exchange.signed.data)

    def _refused(
        self, exchange: _Exchange[Purpose], answer: Message, now: Instant
    ) -> Failed[Purpose] | None:
        """Take an error response (RFC 8489 §9.2.5, §6.3.4)."""
        error = answer.find(ErrorCode)
        if error is None:
            return self._failed(exchange, Cause.UNUSABLE, reason="an error without a code")
        cause: Cause | None = Cause.REFUSED
        if error.code in (UNAUTHENTICATED, STALE_NONCE):
            exchange.challenges += 1
            if self._outdated(exchange):
                cause = None  # another exchange has met the newer nonce already
            else:
                stale = error.code == STALE_NONCE
                cause = self._authenticator.challenged(answer, stale=stale)
            if cause is None and exchange.challenges <= CHALLENGES:
                self._send(exchange, now)
                return None
        return self._failed(exchange, cause or Cause.REFUSED, error, answer)

    def _outdated(self, exchange: _Exchange[Purpose]) -> bool:
        """True when a request was sent before the server's present challenge was known."""
        return self._authenticator.challenge is not exchange.signed.challenge

    def _fail(self, transaction_id: bytes, cause: Cause, reason: str = "") -> Failed[Purpose]:
        return self._failed(self._pending.pop(transaction_id), cause, reason=reason)

    def _failed(
        self,
        exchange: _Exchange[Purpose],
        cause: Cause,
        error: ErrorCode | None = None,
        answer: Message | None = None,
        *,
        reason: str = "",
    ) -> Failed[Purpose]:
        challenge = self._authenticator.challenge
        alternate = None if answer is None else answer.find(AlternateServer)
        domain = None if answer is None else answer.find(AlternateDomain)
        failure = Failure(
            exchange.method,
            cause,
            None if error is None else error.code,
            reason if error is None else error.reason,
            None if challenge is None else challenge.realm,
            None if alternate is None else alternate.address,
            None if domain is None else domain.text,
            exchange.transaction.sent,
        )
        return Failed(exchange.purpose, failure)
