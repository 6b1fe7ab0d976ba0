"""The first question to every server at once: who answers, how fast, and who can do more?

Nobody waits for a dead server: once one answers, the others get a moment's grace to offer more
(RFC 5780, or a second address), and the discovery goes on with what there is. A better server whose
answers got lost is still asked meanwhile. The survey's socket goes on asking one server until the
discovery ends; that is its heartbeat.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from natkit.machine import Instant, Seconds
from natkit.nat.asker import Answered, Pace, Question
from natkit.nat.filtering import Rfc5780Server
from natkit.nat.silence import is_convincing
from natkit.nat.sockets import ProbeSocket, Workbench
from natkit.wire import TransportAddress

PACE = Pace(0.05, 200)
"""Every server is asked this often until it answers, or until a better one has."""

HEARTBEAT = Pace(0.1, 1000)
"""How often the chosen server is asked on, so that the discovery never falls asleep."""

UNLIKELY = 1e-6
"""A server that might offer more is waited for until its silence is less likely luck than this."""

GRACE: Seconds = 0.15
"""How long after the first answer a better server may still turn up, beside one round trip."""

CARRIER_GRADE = ipaddress.ip_network("100.64.0.0/10")
"""Shared address space between a carrier and its customers (RFC 6598)."""


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

    Args: servers: (name, address) in order of preference; addresses may repeat.
    """

    def __init__(
        self,
        bench: Workbench,
        servers: tuple[tuple[str, TransportAddress], ...],
        *,
        now: Instant,
    ) -> None:
        self._bench = bench
        self._names = {address: name for name, address in reversed(servers)}
        self._order = list(dict.fromkeys(address for _, address in servers))
        self._first_answer_at: Instant | None = None
        self.socket: ProbeSocket = bench.open("survey")
        self.is_done = False
        for address in self._order:
            self.socket.ask(Question.plain(address), PACE, now=now)

    @property
    def answers(self) -> dict[TransportAddress, Answered]:
        """The first answer of every server that gave one, in order of preference."""
        firsts = ((a, self.socket.answers.get(Question.plain(a))) for a in self._order)
        return {address: answers[0] for address, answers in firsts if answers}

    def review(self, *, now: Instant) -> None:
        """Decide whether to go on with the servers known so far."""
        answers = self.answers
        if not answers or self.is_done:
            return
        if self._first_answer_at is None:
            self._first_answer_at = now
        enough = bool(self.full_servers()) or len(answers) == len(self._order)
        if enough or now >= self._first_answer_at + GRACE + self._bench.slowest:
            self.is_done = True

    def is_exhausted(self, *, now: Instant) -> bool:
        """Say whether no further server will answer: the answers of the others are the controls."""
        answers = self.answers
        controls = self._bench.tally([self.socket], map(Question.plain, answers), now=now)
        return all(
            is_convincing(self._asked(address, now), controls, UNLIKELY)
            for address in self._order
            if address not in answers
        )

    def _asked(self, address: TransportAddress, now: Instant) -> int:
        return self._bench.tally([self.socket], [Question.plain(address)], now=now).asked

    def settle_on(self, server: TransportAddress, *, now: Instant) -> None:
        """Leave the others that have answered alone; ask that one on, slowly."""
        for address in self.answers:
            self.socket.stop(Question.plain(address))
        self.socket.ask(Question.plain(server), HEARTBEAT, now=now)

    def full_servers(self) -> list[Rfc5780Server]:
        """Return the servers that answered and offer a usable OTHER-ADDRESS."""
        announced = ((address, first.answer.other) for address, first in self.answers.items())
        return [
            Rfc5780Server(address, other)
            for address, other in announced
            if other is not None and not other_address_fault(address, other)
        ]

    def targets(self, full: Rfc5780Server | None, at_most: int = 4) -> tuple[TransportAddress, ...]:
        """Return addresses for the mapping test: the RFC 5780 server's four, or plain servers."""
        if full is not None:
            return full.targets
        return tuple(self.answers)[:at_most]

    def report(self) -> tuple[ServerReport, ...]:
        """Describe every server."""
        return tuple(self._describe(address) for address in self._order)

    def _describe(self, address: TransportAddress) -> ServerReport:
        question = Question.plain(address)
        answers = self.socket.answers.get(question)
        if not answers:
            return ServerReport(
                self._names[address], address, None, False, None, self._why_silent(address)
            )
        first = answers[0]
        note = "offers no OTHER-ADDRESS (RFC 5780): filtering cannot be measured with it"
        if first.answer.other is not None:
            note = other_address_fault(address, first.answer.other)
        quickest = min(a.round_trip for a in answers)
        return ServerReport(
            self._names[address], address, quickest, not note, first.answer.software, note
        )

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
        return "no answer"


def other_address_fault(primary: TransportAddress, other: TransportAddress) -> str:
    """Say why an announced OTHER-ADDRESS cannot be used; empty when it can.

    RFC 5780 §7.4 wants both the IP and the port to differ from the primary ones.
    """
    if other.ip == primary.ip or other.port == primary.port:
        return f"its OTHER-ADDRESS {other} does not differ in both address and port"
    if other.is_ipv6 != primary.is_ipv6:
        return f"its OTHER-ADDRESS {other} is of another IP version"
    if is_local(other.ip) and not is_local(primary.ip):
        return f"its OTHER-ADDRESS {other} is private: nobody outside its network can reach it"
    if other.port == 0:
        return f"its OTHER-ADDRESS {other} has no port"
    return ""


def is_local(ip: str) -> bool:
    """True for an address that means something only near its owner.

    Private (RFC 1918, RFC 4193), shared (RFC 6598), loopback, link-local or unspecified ones;
    documentation addresses count as public, since labs are built from them.
    """
    address = ipaddress.ip_address(ip.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        unique_local = address in ipaddress.ip_network("fc00::/7")
    else:
        private = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
        unique_local = address in CARRIER_GRADE or any(
            address in ipaddress.ip_network(prefix) for prefix in private
        )
    return unique_local or address.is_loopback or address.is_link_local or address.is_unspecified
