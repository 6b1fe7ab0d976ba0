"""Gathering: whom we asked for candidates, what they said, and when to stop waiting.

An inquiry goes: asked -> answered | failed. STUN servers are asked from here, one `BindingClient`
to a base; TURN servers by whoever runs this, who tells how it went. Rules of the file:
1. All are asked at once; what one of them gives is told at once.
2. Nobody waits for a dead server, nor long for a silent interface (`natkit.ice.inquiry`).
3. Gathering paces nothing (RFC 8445 §5.1.1.2 would have Ta between two requests): a handful of
   servers on a few addresses is less than a page load sends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from natkit.ice.candidate import Candidate, CandidateType, Local, Origin
from natkit.ice.inquiry import (
    PATIENCE,
    STREAM_PATIENCE,
    Cause,
    Inquiry,
    Kind,
    Trouble,
    all_ended_at,
    settled_at,
)
from natkit.ice.messages import Outgoing
from natkit.ice.priority import NAT_ASSISTED, Foundations, parts, priority
from natkit.machine import Instant, Seconds, soonest
from natkit.network import IcmpError
from natkit.stun.binding import (
    BindingClient,
    BindingFailed,
    BindingSucceeded,
    BindingTimedOut,
    BindingUnreachable,
)
from natkit.stun.transaction import UNRELIABLE, Retransmission
from natkit.wire import TransportAddress

KEEPALIVE: Seconds = 15.0
"""Between two requests that keep a mapping alive until a pair is chosen (RFC 8445 §11)."""

_OUTRUN = Trouble(Cause.NOT_AWAITED, "no answer by the time that others had given theirs")

_ONCE = Retransmission(count=1)
"""A keepalive that is lost is not missed: the next one comes."""


@dataclass(frozen=True, slots=True)
class CandidateFound:
    """There is a new candidate of ours."""

    local: Local


@dataclass(frozen=True, slots=True)
class InquiryEnded:
    """A server has answered, or will not."""

    inquiry: Inquiry


@dataclass(frozen=True, slots=True)
class GatheringEnded:
    """No more candidates will come."""


GatherEvent: TypeAlias = CandidateFound | InquiryEnded | GatheringEnded


class Gatherer:
    """The machine.

    Args:
        randomness:  returns that many unpredictable bytes.
        patience:    see `PATIENCE`.
    Attributes:
        inquiries: all that were asked, in order.
        thorough:  wait for every server, as a report does.
    """

    def __init__(
        self,
        randomness: Callable[[int], bytes],
        *,
        patience: Seconds = PATIENCE,
    ) -> None:
        self.inquiries: list[Inquiry] = []
        self.foundations = Foundations()
        self.thorough = False
        self._randomness, self._patience = randomness, patience
        self._clients: dict[TransportAddress, BindingClient] = {}
        self._open: dict[bytes, tuple[Inquiry, Local, TransportAddress]] = {}
        self._kept: list[tuple[Local, TransportAddress]] = []
        self._refresh_at: Instant | None = None
        self._complete = self._over = False
        self._known: set[tuple[TransportAddress, TransportAddress]] = set()
        self._events: list[GatherEvent] = []

    # Commands.

    def ask(self, inquiry: Inquiry, host: Local, server: TransportAddress, *, now: Instant) -> None:
        """Ask a STUN server how it sees a host candidate, unless the inquiry has ended."""
        if inquiry.ended_at is not None:
            return
        client = self._clients.setdefault(host.base, BindingClient(lambda: self._randomness(12)))
        schedule = UNRELIABLE.within(self._patience)
        transaction_id = client.ask(server, schedule=schedule, now=now)
        self._open[transaction_id] = (inquiry, host, server)

    def begin(
        self,
        kind: Kind,
        name: str,
        base: TransportAddress | None = None,
        interface: str | None = None,
        *,
        component: int = 1,
        in_stream: bool = False,
        now: Instant,
    ) -> Inquiry:
        """Record that a server is asked from now on; finding its address may take time, too.

        `ask`, `relayed` or `failed` follows.
        """
        inquiry = Inquiry(kind, name, base, interface, now, component, in_stream)
        self.inquiries.append(inquiry)
        return inquiry

    def host(self, local: Local) -> None:
        """Take a candidate that nobody had to be asked for."""
        self._known.add((local.base, local.base))
        self._events.append(CandidateFound(local))

    def relayed(
        self,
        inquiry: Inquiry,
        at: TransportAddress,
        mapped: TransportAddress,
        *,
        server: TransportAddress,
        transport: str,
        preference: int,
        hide_mapped: bool,
        now: Instant,
    ) -> Local:
        """Take the relayed address that a TURN server gave.

        Args:
            mapped:      where the server sees us; hidden from the peer with `hide_mapped`.
            transport:   to the server.
            preference:  local preference, 0 .. 65535.
        """
        kind = CandidateType.RELAYED
        related, component = _hidden(at) if hide_mapped else mapped, inquiry.component
        candidate = Candidate(
            self.foundations.of(kind, at.ip, server.ip, transport),
            component,
            "udp",
            priority(kind, preference, component),
            at.ip,
            at.port,
            kind,
            related.ip,
            related.port,
        )
        origin = Origin(now, inquiry.interface, inquiry.server, now - inquiry.asked_at)
        found = Local(candidate, at, origin)
        self._found(inquiry, found, now)
        return found

    def mapped(
        self, inquiry: Inquiry, host: Local, external: TransportAddress, *, now: Instant
    ) -> None:
        """Take the outside address that the gateway sends on to a host candidate.

        The peer is told of a server-reflexive candidate (RFC 6544 §5.1).
        """
        foundation = self.foundations.of(CandidateType.SERVER_REFLEXIVE, host.base.ip, "gateway")
        preference = parts(host.candidate.priority).local_preference
        component = host.candidate.component
        value = (NAT_ASSISTED << 24) + (preference << 8) + (256 - component)
        took = now - inquiry.asked_at
        origin = Origin(now, inquiry.interface, inquiry.server, took)
        candidate = _reflexive_of(host, external, foundation, value)
        self._found(inquiry, Local(candidate, host.base, origin), now)

    def failed(self, inquiry: Inquiry, trouble: Trouble, *, now: Instant) -> None:
        """Take that a question has come to nothing."""
        if inquiry.ended_at is not None:
            return
        inquiry.ended_at, inquiry.trouble = now, trouble
        self._events.append(InquiryEnded(inquiry))

    def complete(self, *, now: Instant) -> None:
        """Take that all inquiries have begun."""
        self._complete = True
        self._settle(now)

    def release(self) -> None:
        """Keep mappings alive no longer: the chosen pair does from now on."""
        self._kept.clear()
        self._refresh_at = None
        if self._over:
            self._clients.clear()

    # The contract.

    def receive(
        self, data: bytes, source: TransportAddress, *, at: TransportAddress, now: Instant
    ) -> None:
        """Take a datagram that came in at a base; what is no answer is ignored."""
        client = self._clients.get(at)
        if client is not None:
            client.receive(data, source, now=now)
            self._listen(client, now)

    def error_received(self, error: IcmpError, *, at: TransportAddress, now: Instant) -> None:
        """Take an ICMP error."""
        client = self._clients.get(at)
        if client is not None:
            client.error_received(error)
            self._listen(client, now)

    def tick(self, *, now: Instant) -> None:
        """Ask again, give up, stop waiting, refresh."""
        for client in list(self._clients.values()):
            client.tick(now=now)
            self._listen(client, now)
        if self._refresh_at is not None and self._refresh_at <= now:
            self._refresh_at = now + KEEPALIVE
            for host, server in self._kept:
                self._clients[host.base].ask(server, schedule=_ONCE, now=now)
        self._settle(now)

    def deadline(self) -> Instant | None:
        """Return when `tick` has something to do."""
        clients = [client.deadline() for client in self._clients.values()]
        settles = None if self._over else self.settles_at()
        return soonest((*clients, settles, self._refresh_at))

    def transmits(self) -> list[Outgoing]:
        """Hand over what is to be sent."""
        return [
            Outgoing(data, destination, base)
            for base, client in self._clients.items()
            for data, destination, _ in client.transmits()
        ]

    def events(self) -> list[GatherEvent]:
        """Hand over what has happened."""
        out, self._events = self._events, []
        return out

    # Within.

    def settles_at(self) -> Instant | None:
        """Return when gathering ends as things stand; None: not all inquiries have begun."""
        if not self._complete:
            return None
        wait = all_ended_at if self.thorough else settled_at
        return wait(self.inquiries, self._patience)

    def _settle(self, now: Instant) -> None:
        if self._over:
            return
        at = self.settles_at()
        if at is None or now < at:
            return
        self._over = True
        for inquiry in self.inquiries:
            if inquiry.ended_at is None:
                self.failed(inquiry, self._unanswered(inquiry, now), now=now)
        self._open.clear()
        self._events.append(GatheringEnded())

    def _unanswered(self, inquiry: Inquiry, now: Instant) -> Trouble:
        in_stream = inquiry.in_stream and not self.thorough
        patience = STREAM_PATIENCE if in_stream else self._patience
        if now < inquiry.asked_at + patience:
            return _OUTRUN
        return Trouble(Cause.TIMEOUT, f"no answer in {patience:g} s")

    def _listen(self, client: BindingClient, now: Instant) -> None:
        for event in client.events():
            asked = self._open.pop(event.transaction_id, None)
            if asked is None:
                continue
            inquiry, host, server = asked
            if isinstance(event, BindingSucceeded):
                self._reflexive(inquiry, host, server, event, now)
            else:
                self.failed(inquiry, _trouble(event), now=now)
        self._settle(now)

    def _reflexive(
        self,
        inquiry: Inquiry,
        host: Local,
        server: TransportAddress,
        event: BindingSucceeded,
        now: Instant,
    ) -> None:
        kind, ours = CandidateType.SERVER_REFLEXIVE, host.candidate
        preference = parts(ours.priority).local_preference
        foundation = self.foundations.of(kind, host.base.ip, server.ip)
        value = priority(kind, preference, ours.component)
        candidate = _reflexive_of(host, event.mapped, foundation, value)
        origin = Origin(now, inquiry.interface, inquiry.server, event.round_trip)
        self._kept.append((host, server))
        self._refresh_at = self._refresh_at or now + KEEPALIVE
        self._found(inquiry, Local(candidate, host.base, origin), now)

    def _found(self, inquiry: Inquiry, found: Local, now: Instant) -> None:
        inquiry.ended_at, inquiry.found = now, found
        self._events.append(InquiryEnded(inquiry))
        address = found.candidate.address
        # The same address from the same base again is redundant (RFC 8445 §5.1.3): a second
        # server saw the same, or there is no NAT.
        if address is None or self._over or (found.base, address) in self._known:
            return
        self._known.add((found.base, address))
        inquiry.is_new = True
        self._events.append(CandidateFound(found))


def _reflexive_of(host: Local, at: TransportAddress, foundation: str, value: int) -> Candidate:
    """Return the candidate that a host candidate is at `at`, outside."""
    ours = host.candidate
    related = _hidden(host.base) if ours.is_name else host.base
    return Candidate(
        foundation,
        ours.component,
        "udp",
        value,
        at.ip,
        at.port,
        CandidateType.SERVER_REFLEXIVE,
        related.ip,
        related.port,
    )


def _hidden(address: TransportAddress) -> TransportAddress:
    """Return what is told in place of a related address (RFC 8839 §5.1)."""
    return TransportAddress("::" if address.is_ipv6 else "0.0.0.0", 9)


def _trouble(event: BindingFailed | BindingTimedOut | BindingUnreachable) -> Trouble:
    """Return how a question came to nothing."""
    match event:
        case BindingFailed(code=None):
            return Trouble(Cause.UNUSABLE, event.reason)
        case BindingFailed():
            return Trouble(Cause.REFUSED, f"error {event.code} {event.reason}", event.code)
        case BindingTimedOut():
            return Trouble(Cause.TIMEOUT, f"no answer to {event.sent} requests")
        case BindingUnreachable(error=error):
            words = f"ICMP type {error.kind} code {error.code}: nobody listens there"
            return Trouble(Cause.ICMP, words)
