"""A question to a gateway, asked again until it is answered, refused or given up.

PCP, NAT-PMP and UPnP's search each have questions; this machine does the asking, of any of them.
Rule of the file: each question ends in exactly one event, and after it nothing more is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar

from natkit.errors import MalformedMessage
from natkit.machine import Instant, Seconds, Transmit
from natkit.network import IcmpError
from natkit.wire.address import TransportAddress

Reply = TypeVar("Reply")
ReplyOut = TypeVar("ReplyOut", covariant=True)

Randomness: TypeAlias = Callable[[int], bytes]
"""Returns that many random bytes."""

SPREAD = 0.1
"""The random part of a wait, each way: RAND of RFC 6887 §8.1.1. It keeps the clients of a router
that comes back from asking in step."""

PORT_UNREACHABLE = (3, 3)
"""ICMP type and code (RFC 792)."""


class Question(Protocol[ReplyOut]):
    """What can be asked."""

    def encode(self) -> bytes:
        """Return the datagram to send."""

    def answer(self, data: bytes) -> ReplyOut | None:
        """Return the reply; None: a reply to something else. Raises: MalformedMessage."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """When to ask again: each wait is twice the one before, more or less `SPREAD`.

    Attributes:
        first: seconds from the first request to the second.
        tries: how often to ask in all, at least once.
        last:  seconds to wait after the last try.
    """

    first: Seconds
    tries: int
    last: Seconds

    def wait(self, tried: int, randomness: Randomness) -> Seconds:
        """Return how long to wait after request number `tried`, counted from 1."""
        if tried == self.tries:
            return self.last
        return self.first * (1 << tried - 1) * (1 + SPREAD * _around_zero(randomness))

    @classmethod
    def within(cls, budget: Seconds) -> Backoff:
        """Three tries in about `budget` seconds: at 0, 1/4 and 3/4 of it.

        RFC 6887 §8.1.1 waits 3 s for the first answer and RFC 6886 §3.1 asks nine times in two
        minutes: right for a client that needs a mapping. Somebody who only wants to know asks a
        gateway on the same link, which answers in milliseconds or not at all.
        """
        return cls(first=budget / 4, tries=3, last=budget / 4)


@dataclass(frozen=True, slots=True)
class Answered(Generic[ReplyOut]):
    """The gateway replied.

    Attributes:
        tries: how many requests had been sent by then.
        rtt:   seconds since the first of them.
    """

    reply: ReplyOut
    tries: int
    rtt: Seconds


@dataclass(frozen=True, slots=True)
class Refused:
    """The gateway's host says that nothing listens there (ICMP port unreachable)."""

    tries: int


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The last wait is over.

    Attributes:
        tries:   how many requests were sent.
        waited:  seconds since the first of them.
        garbage: what was wrong with the last reply that made no sense; None: there was none.
    """

    tries: int
    waited: Seconds
    garbage: str | None


Outcome: TypeAlias = Answered[Reply] | Refused | Unanswered
"""How a question ended."""


class GatewayClient(Generic[Reply]):
    """A machine that asks one server one question after another.

    Args:
        server:     whose replies count: RFC 6887 §8.3 and RFC 6886 §3.1 want the source checked.
        also:       further destinations of every request (a multicast group).
        backoff:    when to ask again.
        randomness: for the spread of `backoff`.
    """

    def __init__(
        self,
        server: TransportAddress,
        *,
        also: tuple[TransportAddress, ...] = (),
        backoff: Backoff,
        randomness: Randomness,
    ) -> None:
        self._destinations = (server, *also)
        self._backoff = backoff
        self._randomness = randomness
        self._pending: _Pending[Reply] | None = None
        self._transmits: list[Transmit] = []
        self._events: list[Outcome[Reply]] = []

    def ask(self, question: Question[Reply], *, now: Instant) -> None:
        """Command: send `question`, and drop the one before if it is still open."""
        self._pending = _Pending(question, began=now, due=now)
        self.tick(now=now)

    def receive(self, data: bytes, source: TransportAddress, *, now: Instant) -> None:
        """Take a datagram; strangers and replies to other questions are ignored."""
        pending = self._pending
        if pending is None or not self._is_server(source):
            return
        try:
            reply = pending.question.answer(data)
        except MalformedMessage as error:
            pending.garbage = str(error)
            return
        if reply is not None:
            self._finish(Answered(reply, pending.tries, now - pending.began))

    def error_received(self, error: IcmpError) -> None:
        """Take an ICMP error: "port unreachable" from the only one asked is an answer.

        One from elsewhere, a firewall on this host included, is none, nor one of unknown origin.
        """
        closed = (error.kind, error.code) == PORT_UNREACHABLE
        by_server = error.reporter == self._destinations[0].ip
        if closed and by_server and self._pending is not None and len(self._destinations) == 1:
            self._finish(Refused(self._pending.tries))

    def tick(self, *, now: Instant) -> None:
        """Ask again, or give up, when it is time."""
        while (pending := self._pending) is not None and now >= pending.due:
            if pending.tries == self._backoff.tries:
                waited = now - pending.began
                self._finish(Unanswered(pending.tries, waited, pending.garbage))
                return
            pending.tries += 1
            data = pending.question.encode()
            self._transmits += [Transmit(data, to) for to in self._destinations]
            pending.due += self._backoff.wait(pending.tries, self._randomness)

    def deadline(self) -> Instant | None:
        """Return when to call `tick` next; None when no question is open."""
        return None if self._pending is None else self._pending.due

    def transmits(self) -> list[Transmit]:
        """Hand over what is to be sent, once."""
        transmits, self._transmits = self._transmits, []
        return transmits

    def events(self) -> list[Outcome[Reply]]:
        """Hand over the outcomes, once."""
        events, self._events = self._events, []
        return events

    def _is_server(self, source: TransportAddress) -> bool:
        # By IP alone where a group is asked as well: what answers a search may have another port.
        server = self._destinations[0]
        return source.ip == server.ip and (source == server or len(self._destinations) > 1)

    def _finish(self, outcome: Outcome[Reply]) -> None:
        self._pending = None
        self._events.append(outcome)


@dataclass(slots=True)
class _Pending(Generic[Reply]):
    question: Question[Reply]
    began: Instant
    due: Instant
    tries: int = 0
    garbage: str | None = None


def _around_zero(randomness: Randomness) -> float:
    """Return a number uniform in -1 .. 1."""
    return int.from_bytes(randomness(4), "big") / 0xFFFF_FFFF * 2 - 1
