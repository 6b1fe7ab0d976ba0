"""Filtering behaviour: who may answer a socket that never met them? (RFC 5780 §4.4)

Two kinds of socket work side by side:

- *Fresh* sockets only ever send to the server's first address. They ask for answers from its
  other address and port (test II) and from its other port alone (test III). What comes back
  passed the filter. What does not was filtered, or lost.
- *Opened* sockets ask for the very same answers after they have sent to the server's other
  addresses themselves, so that the filter is open for them. Behind a NAT that gives each
  destination a mapping of its own, RESPONSE-PORT (RFC 5780 §7.5) steers the answer to the one
  that is open. They prove that the server does what it was asked, and measure how much gets lost.

Silence on the fresh sockets counts only against answers on the opened ones; a reply counts only
from the address it should come from. Two fresh sockets must agree: one of them may have got a
port that an earlier run had already opened, or one that the NAT shares out to another host as well.
Where they differ, eight decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from natkit.machine import Instant, Seconds
from natkit.nat.asker import Answered, Pace, Question
from natkit.nat.behaviour import Filtering, Measured
from natkit.nat.silence import Tally, is_convincing
from natkit.nat.sockets import SLOW_ADDRESS, ProbeSocket, Workbench
from natkit.wire import TransportAddress

FRESH = 2
MORE_FRESH = 8
OPENED = 2
MORE_OPENED = 12
MOST_OPENED = 50
"""Opened sockets to try where a NAT gives one host several addresses: RESPONSE-PORT can steer an
answer to another port but not to another address, so two mappings must happen to share one. With
four addresses, 50 sockets fail to do so once in 10**6 cases; 12 at a time mostly suffice."""

SLOW: Seconds = 0.5
"""Round trips above this are what keeps a probe from an answer, rather than loss."""

SILENCE_PACE = Pace(0.02, 200)
"""Many quick tries: what is filtered has to stay silent often enough to rule out loss."""
KEEP_OPEN_PACE = Pace(0.15, 60)
"""Keeps the opened sockets' filters open; the shortest binding lifetimes seen are 1 to 2 s."""
PLAIN_PACE = Pace(0.15, 60)


@dataclass(frozen=True, slots=True)
class Rfc5780Server:
    """A server's four addresses.

    Attributes:
        primary:    the address that was asked (IP1:P1).
        other:      OTHER-ADDRESS (IP2:P2).
    """

    primary: TransportAddress
    other: TransportAddress

    @property
    def other_port(self) -> TransportAddress:
        """IP1:P2."""
        return TransportAddress(self.primary.ip, self.other.port)

    @property
    def other_ip(self) -> TransportAddress:
        """IP2:P1."""
        return TransportAddress(self.other.ip, self.primary.port)

    @property
    def targets(self) -> tuple[TransportAddress, ...]:
        """All four, in the order of RFC 5780 §4.3, the missing one last."""
        return (self.primary, self.other_ip, self.other, self.other_port)


class Heard(Enum):
    """What a fresh socket heard from a stranger."""

    PENDING = "pending"
    ANSWER = "answer"
    SILENCE = "silence"


class FilteringTest:
    """Runs fresh and opened sockets until both questions are settled, or cannot be."""

    def __init__(self, bench: Workbench, server: Rfc5780Server, *, now: Instant) -> None:
        self._bench = bench
        self._server = server
        self._plain = Question.plain(server.primary)
        self._fresh: list[ProbeSocket] = []
        self._opened: list[ProbeSocket] = []
        self._controls: dict[TransportAddress, list[tuple[ProbeSocket, Question]]] = {
            server.other: [],
            server.other_port: [],
        }
        self._stranger = _changed(server, server.other)
        self._same_host = _changed(server, server.other_port)
        self.result: Measured[Filtering] | None = None
        self._open_fresh(FRESH, now)
        self._open_opened(OPENED, now)

    def review(self, *, now: Instant) -> None:
        """Look at what came in; settle, or ask more."""
        if self.result is not None:
            return
        self._settle(self._server_fault(now))
        if self.result is None:
            self._steer_controls(now)
            strangers, same_host = (self._heard(q, now) for q in (self._stranger, self._same_host))
            self._settle(self._judge(strangers, same_host, now))
            if self.result is None and (_disagree(strangers) or _disagree(same_host)):
                self._open_fresh(MORE_FRESH, now)

    def close(self, *, now: Instant) -> None:
        """Decide with what there is: time is up."""
        if self.result is not None:
            return
        reason = "too much was lost to tell silence from filtering"
        if self._bench.slowest > SLOW:
            reason = (
                f"answers take up to {self._bench.slowest:.1f} s, too long to tell silence from "
                "filtering in this time: a longer --timeout may do"
            )
        self._settle(Measured.inconclusive(reason, *self._evidence(now)))

    # -- sockets ------------------------------------------------------------------------------

    def _open_fresh(self, size: int, now: Instant) -> None:
        while len(self._fresh) < size:
            socket = self._bench.open(f"fresh {len(self._fresh) + 1}")
            self._fresh.append(socket)
            socket.ask(self._plain, PLAIN_PACE, now=now)
            socket.ask(self._stranger, SILENCE_PACE, now=now)
            socket.ask(self._same_host, SILENCE_PACE, now=now)

    def _open_opened(self, size: int, now: Instant) -> None:
        while len(self._opened) < size:
            socket = self._bench.open(f"opened {len(self._opened) + 1}")
            self._opened.append(socket)
            for target in (self._server.primary, self._server.other, self._server.other_port):
                socket.ask(Question.plain(target), KEEP_OPEN_PACE, now=now)

    def _steer_controls(self, now: Instant) -> None:
        """Ask for the changed answers on every opened socket that they can reach."""
        for socket in self._opened:
            for stranger, controls in self._controls.items():
                if any(known is socket for known, _ in controls):
                    continue
                question = self._steered(socket, stranger)
                if question is not None and len(controls) < OPENED:
                    controls.append((socket, question))
                    socket.ask(question, SILENCE_PACE, now=now)
            if self._is_known(socket) and not self._is_control(socket):
                socket.asker.stop_all()
        known = all(self._is_known(socket) for socket in self._opened)
        if known and not all(self._controls.values()) and len(self._opened) < MOST_OPENED:
            self._open_opened(len(self._opened) + MORE_OPENED, now)

    def _steered(self, socket: ProbeSocket, stranger: TransportAddress) -> Question | None:
        """Return the question whose answer meets an open filter; None: not known, or none."""
        here, there = socket.mapped(self._server.primary), socket.mapped(stranger)
        if here is None or there is None or here.ip != there.ip:
            return None
        port = None if here.port == there.port else there.port
        return _changed(self._server, stranger, port)

    def _is_known(self, socket: ProbeSocket) -> bool:
        """True when every mapping of this opened socket is known."""
        return all(
            socket.mapped(target) is not None for target in (self._server.primary, *self._controls)
        )

    def _is_control(self, socket: ProbeSocket) -> bool:
        return any(known is socket for uses in self._controls.values() for known, _ in uses)

    # -- judgement ----------------------------------------------------------------------------

    def _server_fault(self, now: Instant) -> Measured[Filtering] | None:
        """Say what makes the server unfit for the test, if anything does."""
        for socket in (*self._fresh, *self._opened):
            for question, refusal in socket.refused.items():
                if question.change_ip or question.change_port:
                    return Measured.not_measured(
                        f"the server refuses CHANGE-REQUEST: {refusal.code} {refusal.reason}"
                    )
            for answer in socket.misplaced:
                if answer.question.change_ip or answer.question.change_port:
                    return Measured.not_measured(_ignored(answer))
        return self._deaf_server(now)

    def _deaf_server(self, now: Instant) -> Measured[Filtering] | None:
        """Find a server whose other addresses are dead, or that never answers from them."""
        heard = self._bench.tally(self._opened, [self._plain], now=now)
        for stranger, controls in self._controls.items():
            direct = Question.plain(stranger)
            asked = self._bench.tally(self._opened, [direct], now=now - SLOW_ADDRESS).asked
            if not any(s.answered(direct) for s in self._opened) and is_convincing(asked, heard):
                return Measured.not_measured(f"the server announces {stranger}, which is silent")
            answered = any(socket.answered(question) for socket, question in controls)
            late = self._control_tally(stranger, now - SLOW_ADDRESS)
            if not answered and is_convincing(late.asked, heard):
                return Measured.not_measured(
                    f"the server never answered a CHANGE-REQUEST from {stranger}, "
                    "not even where nothing can filter it",
                    *self._evidence(now),
                )
        return None

    def _control_tally(self, stranger: TransportAddress, now: Instant) -> Tally:
        total = Tally(0, 0)
        for socket, question in self._controls[stranger]:
            total += self._bench.tally([socket], [question], now=now)
        return total

    def _heard(self, question: Question, now: Instant) -> list[Heard]:
        """Say for every fresh socket what it heard; silent ones are judged together."""
        silent = [s for s in self._fresh if not s.answered(question)]
        controls = self._control_tally(question.answers_from, now)
        pooled = self._bench.tally(silent, [question], now=now).asked
        # Beside sockets that did hear something, each silent one must convince by itself.
        alone = len(silent) < len(self._fresh)
        return [
            self._verdict_on(s, question, pooled if not alone else None, controls, now)
            for s in self._fresh
        ]

    def _verdict_on(
        self,
        socket: ProbeSocket,
        question: Question,
        pooled: int | None,
        controls: Tally,
        now: Instant,
    ) -> Heard:
        if socket.answered(question):
            return Heard.ANSWER
        asked = self._bench.tally([socket], [question], now=now).asked
        silent = asked if pooled is None else pooled
        heard_nothing = asked and self._is_mapped(socket) and is_convincing(silent, controls)
        return Heard.SILENCE if heard_nothing else Heard.PENDING

    def _is_mapped(self, socket: ProbeSocket) -> bool:
        """True when the socket has one mapping that works.

        A NAT whose table is full makes new sockets deaf to everybody, which is no filter.
        """
        return len({a.mapped for a in socket.answers.get(self._plain, ())}) == 1

    def _judge(
        self, strangers: list[Heard], same_host: list[Heard], now: Instant
    ) -> Measured[Filtering] | None:
        if _agree(strangers, Heard.ANSWER):
            return self._found(Filtering.ENDPOINT_INDEPENDENT, now)
        if not _agree(strangers, Heard.SILENCE):
            return None
        if _agree(same_host, Heard.ANSWER):
            return self._found(Filtering.ADDRESS_DEPENDENT, now)
        if _agree(same_host, Heard.SILENCE):
            return self._found(Filtering.ADDRESS_AND_PORT_DEPENDENT, now)
        return None

    def _found(self, value: Filtering, now: Instant) -> Measured[Filtering]:
        reason = {
            Filtering.ENDPOINT_INDEPENDENT: "answers came from an address never spoken to",
            Filtering.ADDRESS_DEPENDENT: (
                "answers came from another port of the address spoken to, none from another address"
            ),
            Filtering.ADDRESS_AND_PORT_DEPENDENT: (
                "nothing came from any other address or port, while open sockets got answers"
            ),
        }[value]
        return Measured.found(value, reason, *self._evidence(now))

    def _evidence(self, now: Instant) -> tuple[str, ...]:
        lines = []
        for question, name in ((self._stranger, "address and port"), (self._same_host, "port")):
            fresh = self._bench.tally(self._fresh, [question], now=now)
            opened = self._control_tally(question.answers_from, now)
            lines.append(
                f"asked for answers from {question.answers_from} (other {name}): "
                f"{fresh.answered} of {fresh.asked} reached fresh sockets, "
                f"{opened.answered} of {opened.asked} reached opened ones"
            )
        return tuple(lines)

    def _settle(self, result: Measured[Filtering] | None) -> None:
        if result is None:
            return
        self.result = result
        for socket in (*self._fresh, *self._opened):
            socket.asker.stop_all()


def _disagree(heard: Sequence[Heard]) -> bool:
    return {Heard.ANSWER, Heard.SILENCE} <= set(heard)


def _agree(heard: Sequence[Heard], what: Heard) -> bool:
    """Both of two; of eight, five that heard something or seven that did not.

    A port shared with another host makes a socket deaf more often than an earlier run makes one
    hear, and neither happens to most sockets.
    """
    if len(heard) <= FRESH:
        return heard.count(what) == len(heard)
    return heard.count(what) >= (5 if what is Heard.ANSWER else 7)


def _changed(
    server: Rfc5780Server, stranger: TransportAddress, response_port: int | None = None
) -> Question:
    """Return the question to the primary address whose answer comes from `stranger`."""
    return Question(
        server.primary,
        stranger,
        change_ip=stranger.ip != server.primary.ip,
        change_port=stranger.port != server.primary.port,
        response_port=response_port,
    )


def _ignored(answer: Answered) -> str:
    if answer.source == answer.question.destination:
        return f"the server ignores CHANGE-REQUEST: it answered from {answer.source} all the same"
    return (
        f"the server answered a CHANGE-REQUEST from {answer.source} "
        f"instead of {answer.question.answers_from}"
    )
