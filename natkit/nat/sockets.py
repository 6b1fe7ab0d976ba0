"""The sockets a discovery works with: who asked what, what came back, and how slow it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from natkit.machine import Instant, Seconds
from natkit.nat.asker import Answered, Asker, Garbled, Observation, Pace, Question, Refused
from natkit.nat.silence import Tally
from natkit.wire import TransportAddress

LEAST_SETTLE: Seconds = 0.1
"""A try younger than this is never called silent, however fast the path: a busy machine may take
as long to read the answer."""

SETTLE_ROUND_TRIPS = 2.0
"""A try is called silent after this many of the slowest round trips seen."""


SLOW_ADDRESS: Seconds = 1.0
"""An address that has not answered yet may be this much slower than the ones that have."""


@dataclass(eq=False, slots=True)
class ProbeSocket:
    """One local socket and everything it learned.

    Attributes:
        label:   what it is for, with a number ("mapping 2").
        local:   its address, once it is open.
        closed_ports: destinations whose own host said that nobody listens there (ICMP).
        answers: by question, in the order they came; misplaced ones are kept apart.
    """

    label: str
    asker: Asker
    local: TransportAddress | None = None
    answers: dict[Question, list[Answered]] = field(default_factory=dict)
    misplaced: list[Answered] = field(default_factory=list)
    refused: dict[Question, Refused] = field(default_factory=dict)
    garbled: list[Garbled] = field(default_factory=list)
    closed_ports: set[TransportAddress] = field(default_factory=set)

    def take(self, observation: Observation) -> None:
        """Remember what was observed."""
        match observation:
            case Answered() if observation.misplaced:
                self.misplaced.append(observation)
            case Answered():
                self.answers.setdefault(observation.question, []).append(observation)
            case Refused():
                self.refused[observation.question] = observation
            case Garbled():
                self.garbled.append(observation)

    def ask(self, question: Question, pace: Pace, *, now: Instant) -> None:
        """Start asking."""
        self.asker.ask(question, pace, now=now)

    def stop(self, question: Question) -> None:
        """Stop asking."""
        self.asker.stop(question)

    def answered(self, question: Question) -> bool:
        """Say whether an answer came from where it should."""
        return question in self.answers

    def mapped(self, destination: TransportAddress) -> TransportAddress | None:
        """Return how `destination` saw this socket first; None: it has not answered."""
        answers = self.answers.get(Question.plain(destination))
        return answers[0].mapped if answers else None

    def all_mapped(self) -> list[tuple[Question, Answered]]:
        """Return every plain answer with its question."""
        return [
            (q, answer)
            for q, answers in self.answers.items()
            if q == Question.plain(q.destination)
            for answer in answers
        ]


class Workbench:
    """Opens sockets and keeps what all tests share.

    Args: transaction_id: returns 12 unpredictable bytes at every call.
    """

    def __init__(self, transaction_id: Callable[[], bytes]) -> None:
        self._transaction_id = transaction_id
        self._unopened: list[ProbeSocket] = []
        self.sockets: list[ProbeSocket] = []
        self.slowest: Seconds = 0.0

    def open(self, label: str) -> ProbeSocket:
        """Plan a fresh socket; the driver opens it and sends what it has to say."""
        socket = ProbeSocket(label, Asker(self._transaction_id))
        self.sockets.append(socket)
        self._unopened.append(socket)
        return socket

    def unopened(self) -> list[ProbeSocket]:
        """Hand over the sockets that are still to be opened, once."""
        out, self._unopened = self._unopened, []
        return out

    def take(self, socket: ProbeSocket, observation: Observation) -> None:
        """Remember an observation, and how slow the path can be."""
        socket.take(observation)
        if isinstance(observation, Answered):
            self.slowest = max(self.slowest, observation.round_trip)

    def external_ips(self) -> set[str]:
        """Return every external IP that any socket was seen under."""
        return {a.mapped.ip for socket in self.sockets for _, a in socket.all_mapped()}

    def overdue(self, now: Instant) -> Instant:
        """Return the instant before which a try must have been sent to count as silent."""
        return now - max(LEAST_SETTLE, SETTLE_ROUND_TRIPS * self.slowest)

    def tally(
        self, sockets: Iterable[ProbeSocket], questions: Iterable[Question], *, now: Instant
    ) -> Tally:
        """Pool the judged tries of several sockets and questions."""
        before, wanted = self.overdue(now), list(questions)
        total = Tally(0, 0)
        for socket in sockets:
            for question in wanted:
                total += socket.asker.tally(question, before=before)
        return total
