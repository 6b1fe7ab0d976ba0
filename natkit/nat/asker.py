"""One socket that asks many questions of STUN servers, again and again, and keeps count.

Every try is a Binding request with a transaction id of its own, so that an answer says which try
it belongs to: a late answer is still an answer, and the share of answered tries measures loss.

A question goes through: asked (next try due) -> stopped (by the caller, or out of tries). Answers
are taken in both, for as long as the socket lives. Rule of the file: a question never decides
anything; it only counts. What the counts mean is natkit.nat.filtering's and mapping's business.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from natkit.errors import MalformedMessage
from natkit.machine import Instant, Seconds, Transmit, soonest
from natkit.nat.silence import Tally
from natkit.stun.binding import Answer, read_success
from natkit.wire import (
    ChangeRequest,
    ErrorCode,
    Message,
    MessageClass,
    Method,
    Padding,
    ResponsePort,
    TransportAddress,
)


@dataclass(frozen=True, slots=True)
class Question:
    """A Binding request, and where its answer has to come from.

    Attributes:
        destination:   the server's address that is asked.
        answers_from:  the only source an answer may have (RFC 5780 §4.3, §4.4).
        change_ip, change_port: CHANGE-REQUEST flags (RFC 5780 §7.2); both False: none is sent.
        response_port: RESPONSE-PORT (RFC 5780 §7.5); None: none is sent.
        padding:       bytes of PADDING (RFC 5780 §7.6), 0 for none.
    """

    destination: TransportAddress
    answers_from: TransportAddress
    change_ip: bool = False
    change_port: bool = False
    response_port: int | None = None
    padding: int = 0

    @classmethod
    def plain(cls, destination: TransportAddress) -> Question:
        """A request without extras: the answer comes from where it was sent."""
        return cls(destination, destination)

    def encode(self, transaction_id: bytes) -> bytes:
        """Return the request's bytes."""
        extras: list[ChangeRequest | ResponsePort | Padding] = []
        if self.change_ip or self.change_port:
            extras.append(ChangeRequest(self.change_ip, self.change_port))
        if self.response_port is not None:
            extras.append(ResponsePort(self.response_port))
        if self.padding:
            extras.append(Padding(self.padding))
        return Message.request(Method.BINDING, transaction_id, *extras).encode()


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a question is asked.

    Attributes:
        interval: seconds between two tries.
        tries:    how many at the most.
    """

    interval: Seconds
    tries: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A try was sent."""

    question: Question
    at: Instant


@dataclass(frozen=True, slots=True)
class Answered:
    """A try was answered.

    Attributes:
        answer:         what the server said.
        source:         where the answer came from.
        asked_at, at:   when the try was sent and when the answer came.
    """

    question: Question
    answer: Answer
    source: TransportAddress
    asked_at: Instant
    at: Instant

    @property
    def mapped(self) -> TransportAddress:
        """Where the try came from, as the server saw it."""
        return self.answer.mapped

    @property
    def round_trip(self) -> Seconds:
        """Seconds from the try to its answer."""
        return self.at - self.asked_at

    @property
    def misplaced(self) -> bool:
        """True when the answer came from another address than the question asks for."""
        return self.source != self.question.answers_from


@dataclass(frozen=True, slots=True)
class Refused:
    """A server answered with an error.

    Attributes:
        code:   300 .. 699 (RFC 8489 §14.8).
        reason: the server's words.
    """

    question: Question
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Garbled:
    """Something came in that is no STUN answer."""

    source: TransportAddress
    why: str


@dataclass(frozen=True, slots=True)
class Strayed:
    """A STUN message came in that answers nothing this socket asked.

    It may be an answer that another socket had sent here (RESPONSE-PORT), or another socket's
    request that a NAT turned back (hairpinning); its transaction id tells.
    """

    source: TransportAddress
    transaction_id: bytes


Observation = Asked | Answered | Refused | Garbled | Strayed


@dataclass(slots=True)
class _Try:
    asked_at: Instant
    answered: bool = False


@dataclass(slots=True)
class _Ask:
    question: Question
    pace: Pace
    due: Instant | None
    tries: list[_Try] = field(default_factory=list)


class Asker:
    """The machine: any number of questions over one socket.

    Args: transaction_id: returns 12 unpredictable bytes at every call.
    """

    def __init__(self, transaction_id: Callable[[], bytes]) -> None:
        self._transaction_id = transaction_id
        self._asks: dict[Question, _Ask] = {}
        self._tries: dict[bytes, tuple[_Ask, _Try]] = {}
        self._transmits: list[Transmit] = []
        self._observations: list[Observation] = []

    def ask(self, question: Question, pace: Pace, *, now: Instant) -> None:
        """Start asking; asked again already, the question goes on at the new pace."""
        ask = self._asks.setdefault(question, _Ask(question, pace, now))
        ask.pace = pace
        ask.due = now
        self.tick(now=now)

    def stop(self, question: Question) -> None:
        """Send no more tries; answers to the ones sent still count."""
        if question in self._asks:
            self._asks[question].due = None

    def stop_all(self) -> None:
        """Send no more tries of anything."""
        for ask in self._asks.values():
            ask.due = None

    def tally(self, question: Question, *, before: Instant) -> Tally:
        """Count the tries sent before the instant `before`, and how many of them were answered.

        Younger ones are left out even when answered: to count them only when they are would make
        the path look better than it is.
        """
        ask = self._asks.get(question)
        if ask is None:
            return Tally(0, 0)
        judged = [t.answered for t in ask.tries if t.asked_at < before]
        return Tally(len(judged), sum(judged))

    @property
    def last_asked_at(self) -> Instant:
        """When this socket last sent something; its mapping is idle since then.

        Raises: ValueError: it never has.
        """
        return max(attempt.asked_at for _, attempt in self._tries.values())

    def first_asked_at(self, question: Question) -> Instant:
        """When the first try of a question was sent. Raises: KeyError: it was never asked."""
        return self._asks[question].tries[0].asked_at

    def has_asked(self, transaction_id: bytes) -> bool:
        """Say whether a try of this socket has that id."""
        return transaction_id in self._tries

    def receive(self, data: bytes, source: TransportAddress, *, now: Instant) -> None:
        """Take a datagram; what is not an answer to a try of ours is reported as garbled."""
        try:
            message = Message.decode(data)
        except MalformedMessage as error:
            self._observations.append(Garbled(source, str(error)))
            return
        found = self._tries.get(message.transaction_id)
        if found is None or message.method is not Method.BINDING:
            self._observations.append(Strayed(source, message.transaction_id))
            return
        if found[1].answered:
            return
        observation = _read(message, source, *found, now=now)
        if not isinstance(observation, Garbled):
            found[1].answered = True
        self._observations.append(observation)

    def tick(self, *, now: Instant) -> None:
        """Send the tries that are due."""
        for ask in self._asks.values():
            if ask.due is not None and ask.due <= now:
                self._try(ask, now)

    def deadline(self) -> Instant | None:
        """Return when the next try is due."""
        return soonest(ask.due for ask in self._asks.values())

    def transmits(self) -> list[Transmit]:
        """Hand over the requests to send."""
        out, self._transmits = self._transmits, []
        return out

    def events(self) -> list[Observation]:
        """Hand over what was asked and answered."""
        out, self._observations = self._observations, []
        return out

    def _try(self, ask: _Ask, now: Instant) -> None:
        transaction_id = self._transaction_id()
        attempt = _Try(now)
        ask.tries.append(attempt)
        self._tries[transaction_id] = (ask, attempt)
        self._transmits.append(
            Transmit(ask.question.encode(transaction_id), ask.question.destination)
        )
        self._observations.append(Asked(ask.question, now))
        more = len(ask.tries) < ask.pace.tries
        # From now, not from when it was due: a burst after a stall would look like loss. And never
        # in step with other sockets: a server that answers only so many requests a second would
        # serve the one that always comes first.
        ask.due = now + ask.pace.interval * _spread(transaction_id) if more else None


def _spread(transaction_id: bytes) -> float:
    """Return a factor of 0.75 .. 1.25, 1 on average, out of bytes that are random anyway."""
    return 0.75 + transaction_id[0] / 512


def _read(
    message: Message, source: TransportAddress, ask: _Ask, attempt: _Try, *, now: Instant
) -> Observation:
    if message.message_class is MessageClass.ERROR:
        error = message.find(ErrorCode)
        if error is None:
            return Garbled(source, "an error response without ERROR-CODE")
        return Refused(ask.question, error.code, error.reason)
    if message.message_class is not MessageClass.SUCCESS:
        return Garbled(source, "a request instead of a response")
    answer = read_success(message)
    if isinstance(answer, str):
        return Garbled(source, answer)
    return Answered(ask.question, answer, source, attempt.asked_at, now)
