"""The first question to every server at once: who answers, how fast, and who can do more?

Nobody waits for a dead server: once one answers, the others get a moment's grace to offer more
(RFC 5780, or a second address), and the discovery goes on with what there is. A better server whose
answers got lost is still asked meanwhile. What a server announces as its other address is believed
once that address has answered; until then it gets few packets, for it may be somebody else's. The
survey's socket goes on asking one server until the discovery ends; that is its heartbeat.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from natkit.machine import Instant, Seconds
from natkit.nat.addresses import is_local, other_address_fault
from natkit.nat.asker import Answered, Pace, Question
from natkit.nat.filtering import Rfc5780Server
from natkit.nat.silence import is_convincing
from natkit.nat.sockets import SLOW_ADDRESS, ProbeSocket, Workbench
from natkit.wire import TransportAddress

PACE = Pace(0.05, 200)
"""Every server is asked this often until it answers, or until a better one has."""

PROOF_PACE = Pace(0.05, 30)
"""How an announced address is asked whether it is there. At 30 % loss each way, 30 tries all get
lost once in 10**8 cases; a stranger whose address was announced falsely gets no more than these."""

HEARTBEAT = Pace(0.1, 1000)
"""How often the chosen server is asked on, so that the discovery never falls asleep."""

UNLIKELY = 1e-6
"""A server that might offer more is waited for until its silence is less likely luck than this."""

GRACE: Seconds = 0.15
"""How long after the first answer a better server may still turn up, beside one round trip."""

SourceOf = Callable[[TransportAddress], str | None]
"""Returns the local IP that packets to an address leave from; None: not known, or no route."""


@dataclass(frozen=True, slots=True)
class ServerReport:
    """What is known of one server.

    Attributes:
        name:       as the user gave it.
        address:    what was asked.
        round_trip: seconds; None: it never answered.
        rfc5780:    True when it offers what filtering tests need.
        note:       why it could not be used, or not in full; empty when it could.
    """

    name: str
    address: TransportAddress
    round_trip: Seconds | None
    rfc5780: bool
    software: str | None
    note: str


class Survey:
    """Asks every server from one socket.

    Args:
        servers:   (name, address) in order of preference; addresses may repeat.
        source_of: tells over which of several uplinks a server is reached.
    """

    def __init__(
        self,
        bench: Workbench,
        servers: tuple[tuple[str, TransportAddress], ...],
        *,
        source_of: SourceOf,
        now: Instant,
    ) -> None:
        self._bench = bench
        self._source_of = source_of
        self._names = {address: name for name, address in reversed(servers)}
        self._order = list(dict.fromkeys(address for _, address in servers))
        self._announced: list[TransportAddress] = []
        self._first_answer_at: Instant | None = None
        self.socket: ProbeSocket = bench.open("survey")
        self.is_done = False
        for address in self._order:
            self.socket.ask(Question.plain(address), PACE, now=now)

    # -- what came back -------------------------------------------------------------------------

    @property
    def answers(self) -> dict[TransportAddress, Answered]:
        """The first answer of every server that gave one, in order of preference."""
        firsts = ((a, self.socket.answers.get(Question.plain(a))) for a in self._order)
        return {address: answers[0] for address, answers in firsts if answers}

    @property
    def outside(self) -> dict[TransportAddress, Answered]:
        """The answers of servers that see this host from beyond any NAT that others see.

        A server on this side of the NAT sees a local address where the others see a public one.
        """
        outside = {at: a for at, a in self.answers.items() if not is_local(a.mapped.ip)}
        return outside or self.answers

    @property
    def closed_ports(self) -> list[TransportAddress]:
        """Servers that have nobody on that port, as their own hosts said (ICMP)."""
        silent = (address for address in self._order if address not in self.answers)
        return [address for address in silent if address in self.socket.closed_ports]

    def full_servers(self) -> list[Rfc5780Server]:
        """Return the servers that answered, and whose other address did, too."""
        announced = ((at, first.answer.other) for at, first in self.outside.items())
        return [
            Rfc5780Server(address, other)
            for address, other in announced
            if other is not None
            and not self._fault(address, other)
            and self.socket.answered(Question.plain(other))
        ]

    def targets(self, full: Rfc5780Server | None) -> tuple[TransportAddress, ...]:
        """Return addresses for the mapping test: the RFC 5780 server's four, or plain servers.

        Over another uplink this host is another host, so all are reached over the same one.
        """
        if full is not None:
            return full.targets
        source = self._source_of(next(iter(self.outside)))
        return tuple(a for a in self.outside if self._source_of(a) == source)[:4]

    # -- going on -------------------------------------------------------------------------------

    def review(self, *, now: Instant) -> None:
        """Ask after announced addresses; decide whether to go on with the servers known so far."""
        self._ask_announced(now)
        answers = self.answers
        if not answers or self.is_done:
            return
        if self._first_answer_at is None:
            self._first_answer_at = now
        enough = bool(self.full_servers()) or self.is_exhausted(now=now)
        if enough or now >= self._first_answer_at + GRACE + self._bench.slowest:
            self.is_done = True

    def _ask_announced(self, now: Instant) -> None:
        for address, first in self.outside.items():
            other = first.answer.other
            if other is None or other in self._announced or self._fault(address, other):
                continue
            self._announced.append(other)
            self.socket.ask(Question.plain(other), PROOF_PACE, now=now)

    @property
    def is_hopeless(self) -> bool:
        """True when every server's host said that nobody listens there."""
        return len(self.closed_ports) == len(self._order)

    def is_exhausted(self, *, now: Instant) -> bool:
        """Say whether nobody else will answer: neither a server nor an announced address."""
        closed = self.closed_ports
        return all(
            self.socket.answered(Question.plain(address))
            or address in closed
            or self._is_silent(address, now)
            for address in (*self._order, *self._announced)
        )

    def _is_silent(self, address: TransportAddress, now: Instant) -> bool:
        """Hold an address that has not answered against those that have."""
        slack = SLOW_ADDRESS if address in self._announced else 0.0
        asked = self._bench.tally([self.socket], [Question.plain(address)], now=now - slack).asked
        controls = self._bench.tally([self.socket], map(Question.plain, self.answers), now=now)
        return is_convincing(asked, controls, UNLIKELY)

    def settle_on(self, server: TransportAddress, *, now: Instant) -> None:
        """Leave the others that have answered alone; ask that one on, slowly."""
        for address in (*self.answers, *self._announced):
            self.socket.stop(Question.plain(address))
        self.socket.ask(Question.plain(server), HEARTBEAT, now=now)

    # -- telling --------------------------------------------------------------------------------

    def report(self) -> tuple[ServerReport, ...]:
        """Describe every server."""
        return tuple(self._describe(address) for address in self._order)

    def _describe(self, address: TransportAddress) -> ServerReport:
        answers = self.socket.answers.get(Question.plain(address))
        if not answers:
            note = self._why_silent(address)
            return ServerReport(self._names[address], address, None, False, None, note)
        first, note = answers[0], self._shortcoming(address, answers[0])
        quickest = min(a.round_trip for a in answers)
        return ServerReport(
            self._names[address], address, quickest, not note, first.answer.software, note
        )

    def _shortcoming(self, address: TransportAddress, first: Answered) -> str:
        if address not in self.outside:
            return f"stands on this side of the NAT: it sees {first.mapped}"
        other = first.answer.other
        if other is None:
            return "offers no OTHER-ADDRESS (RFC 5780): filtering cannot be measured with it"
        fault = self._fault(address, other)
        if not fault and not self.socket.answered(Question.plain(other)):
            return f"its OTHER-ADDRESS {other} does not answer"
        return fault

    def _fault(self, address: TransportAddress, other: TransportAddress) -> str:
        """Say why the pair cannot be used, however well both answer; empty when it can."""
        fault = other_address_fault(address, other)
        here, there = self._source_of(address), self._source_of(other)
        if not fault and here != there:
            return (
                f"its two addresses are reached from {here} and from {there}: "
                "choose one uplink with --interface"
            )
        return fault

    def _why_silent(self, address: TransportAddress) -> str:
        refusal = self.socket.refused.get(Question.plain(address))
        if refusal is not None:
            return f"refused: {refusal.code} {refusal.reason}"
        for answer in self.socket.misplaced:
            if answer.question.destination == address:
                return f"answered from {answer.source}, which is another address"
        for garbled in self.socket.garbled:
            if garbled.source == address:
                return f"answered, but not with STUN: {garbled.why}"
        if address in self.socket.closed_ports:
            return "nobody listens there (ICMP port unreachable)"
        return "no answer"
