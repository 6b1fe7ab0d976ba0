"""All that the TURN server remembers, and the one place where it forgets.

Rule of the file: what is entered here has an end in the agenda, and leaves every table at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from natkit.machine import Instant, Seconds
from natkit.network import Family
from natkit.turn.agenda import Agenda
from natkit.turn.allocation import Allocation
from natkit.turn.answers import Asked, Refused
from natkit.turn.entries import (
    Answered,
    Ending,
    PeerConnection,
    Pending,
    Reservation,
    Waiting,
)
from natkit.turn.events import ClosePeer, CloseRelay, RequestRefused, ToClient, TurnEvent
from natkit.turn.forwarding import (
    AllocationClosed,
    AllocationMade,
    CloseReason,
    Fact,
    Path,
)
from natkit.turn.handover import mark_of
from natkit.turn.quota import Ledger
from natkit.turn.settings import Settings
from natkit.wire import Software, TransportAddress

MEMORY: Seconds = 40
"""How long an answer is kept for when its request comes again: the last copy is sent 39.5 s after
the first, with RFC 8489 §6.2.1's defaults, and §6.3.1 has the server remember as long."""

MEMORY_LIMIT = 10_000
"""Answers kept at once, about 3 MB; beyond, the oldest goes: its retransmission gets a 437."""


class Register:
    """The tables.

    Args:
        randomness: returns that many unpredictable bytes.
        ledger:     counts allocations.
    """

    def __init__(
        self, settings: Settings, randomness: Callable[[int], bytes], ledger: Ledger
    ) -> None:
        self.settings = settings
        self.ledger = ledger
        self.agenda: Agenda[Ending] = Agenda()
        self.by_path: dict[Path, Allocation] = {}
        self.by_relayed: dict[TransportAddress, Allocation] = {}
        self.by_ticket: dict[bytes, Allocation] = {}
        self.strayed: dict[Path, Allocation] = {}
        self.pending: dict[Path, Pending] = {}
        self.opening: dict[int, Pending] = {}
        self.reservations: dict[bytes, Reservation] = {}
        self.answered: dict[tuple[Path, bytes], Answered] = {}
        self.waiting: dict[int, Waiting] = {}
        self.connections: dict[int, PeerConnection] = {}
        self.joined: dict[Path, PeerConnection] = {}
        self.draining = False
        self.alternates: tuple[TransportAddress, ...] = ()
        self.outbox: list[ToClient] = []
        self.log: list[TurnEvent] = []
        self._randomness = randomness
        self._tickets = 0

    def ticket(self) -> int:
        """Return a number that no command had before."""
        self._tickets += 1
        return self._tickets

    def token(self, size: int, taken: Iterable[bytes | int]) -> bytes:
        """Return `size` unpredictable bytes that are not `taken` and begin with the worker."""
        while True:
            # Without zeros: a client that keeps a ticket as text, as coturn's does, would cut it.
            drawn = self._randomness(size - 1).replace(b"\0", b"\xff")
            made = bytes([mark_of(self.settings.worker)]) + drawn
            if made not in taken and int.from_bytes(made, "big") not in taken:
                return made

    def transaction_id(self) -> bytes:
        """Return an id for an indication."""
        return self._randomness(12)

    def tell(self, facts: Iterable[Fact]) -> None:
        """Pass on what has changed about what is relayed."""
        self.log.extend(facts)

    def at(self, path: Path, *, now: Instant) -> Allocation | None:
        """Return the allocation of `path`; None: none is alive."""
        allocation = self.by_path.get(path)
        return allocation if allocation is not None and now < allocation.expires_at else None

    def enter(self, allocation: Allocation, lifetime: Seconds) -> None:
        """Take in a new allocation. Its ledger entry was taken before."""
        self._put(allocation, allocation.path)
        for relayed in allocation.relays.values():
            self.by_relayed[relayed] = allocation
            account = allocation.client.account
            made = AllocationMade(allocation.path, relayed, allocation.relaying, account, lifetime)
            self.log.append(made)
        for ticket in allocation.tickets:
            self.by_ticket[ticket] = allocation
        self.review(allocation)

    def review(self, allocation: Allocation) -> None:
        """Note anew when the first thing of an allocation ends; after every change to it."""
        self.agenda.set(allocation, allocation.ends_next())

    def give_tickets(self, allocation: Allocation, *tickets: bytes) -> None:
        """Make these, and no others, the mobility tickets of an allocation."""
        for old in allocation.tickets:
            del self.by_ticket[old]
        allocation.tickets = tickets
        for new in tickets:
            self.by_ticket[new] = allocation

    def place(self, allocation: Allocation, path: Path) -> None:
        """Give an allocation another 5-tuple, which no allocation has."""
        self._displace(allocation)
        self._put(allocation, path)

    def _put(self, allocation: Allocation, path: Path) -> None:
        strayed = self.strayed.get(path)
        if strayed is not None:  # the client's port is in use again: it is another client's now
            self.close(strayed, CloseReason.DISCONNECTED)
        allocation.path = path
        self.by_path[path] = allocation

    def stray(self, allocation: Allocation) -> None:
        """Take that an allocation's client is gone, and may come back with a mobility ticket."""
        self._displace(allocation)
        self.strayed[allocation.path] = allocation

    def _displace(self, allocation: Allocation) -> None:
        for table in (self.by_path, self.strayed):
            if table.get(allocation.path) is allocation:
                del table[allocation.path]

    def close(self, allocation: Allocation, reason: CloseReason) -> None:
        """Forget an allocation, and tell."""
        for number in sorted(allocation.connections):
            self.close_connection(self.connections[number])
        for family in list(allocation.relays):
            self.close_relay(allocation, family, reason)
        self.give_tickets(allocation)
        self._displace(allocation)
        self.agenda.drop(allocation)
        self.ledger.give(allocation.client.account)

    def close_relay(self, allocation: Allocation, family: Family, reason: CloseReason) -> None:
        """Give up one relayed address of an allocation."""
        relayed = allocation.drop_family(family)
        del self.by_relayed[relayed]
        account = allocation.client.account
        self.log.append(AllocationClosed(allocation.path, relayed, account, reason))
        self.log.append(CloseRelay(relayed))

    def enter_connection(self, connection: PeerConnection, until: Instant) -> None:
        """Take in a connection that something must happen to until then."""
        self.connections[connection.number] = connection
        connection.allocation.connections |= {connection.number}
        self.agenda.set(connection, until)

    def join(self, connection: PeerConnection, path: Path) -> None:
        """Join a connection with a client's stream; it lives on until either closes."""
        connection.bound_to = path
        self.joined[path] = connection
        self.agenda.drop(connection)

    def close_connection(self, connection: PeerConnection) -> None:
        """Forget a connection with a peer, and have it closed."""
        self.forget_connection(connection)
        self.log.append(ClosePeer(connection.number))

    def forget_connection(self, connection: PeerConnection) -> None:
        """Forget a connection that is closed already."""
        del self.connections[connection.number]
        connection.allocation.connections -= {connection.number}
        if connection.bound_to is not None:
            del self.joined[connection.bound_to]
        self.agenda.drop(connection)

    def remember(self, asked: Asked, data: bytes, *, now: Instant) -> None:
        """Keep an answer for when the same request comes again; streams do not repeat."""
        if asked.path.transport.is_stream:
            return
        if len(self.answered) >= MEMORY_LIMIT:
            oldest = next(iter(self.answered.values()))
            self.forget_answer(oldest)
            self.agenda.drop(oldest)
        answer = Answered((asked.path, asked.message.transaction_id), data)
        self.answered[answer.key] = answer
        self.agenda.set(answer, now + MEMORY)

    def end_reservation(self, reservation: Reservation) -> None:
        """Close a reserved port that nobody came for."""
        del self.reservations[reservation.token]
        self.log.append(CloseRelay(reservation.relayed))
        self.ledger.give(reservation.account)

    def enforce(self, allocation: Allocation) -> None:
        """End what the policy, as it is now, would not have let an allocation have."""
        policy = self.settings.policy
        for number, channel in list(allocation.channels.items()):
            if policy.refuses(channel.peer) is not None:
                self.tell(allocation.unbind(number))
        for ip in list(allocation.permissions):
            if policy.refuses_ip(ip) is not None:
                self.tell(allocation.revoke(ip))
        for connection in [self.connections[number] for number in allocation.connections]:
            if policy.refuses(connection.peer) is not None:
                self.close_connection(connection)
        self.review(allocation)

    def forget_answer(self, answer: Answered) -> None:
        """Forget an answer whose request does not come again."""
        if self.answered.get(answer.key) is answer:
            del self.answered[answer.key]

    def signature(self) -> tuple[Software, ...]:
        """Return what a success response ends with."""
        software = self.settings.software
        return (Software(software),) if software else ()

    def refuse(self, asked: Asked, refused: Refused) -> None:
        """Answer a request by an error."""
        self.send(asked.path, asked.error(refused))
        method, user = asked.message.method, asked.client.username
        self.log.append(RequestRefused(asked.path, method, refused.code, refused.why, user))

    def send(self, path: Path, data: bytes) -> None:
        """Send a message to a client."""
        self.outbox.append(ToClient(path, data))
