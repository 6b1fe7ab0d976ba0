"""The TURN server as a machine: every STUN message of a client comes in here (RFC 8656).

What a driver does, and nothing else:

- hands each STUN message of a client to `receive`, with the path it came along. ChannelData never
  comes here: the data plane forwards it by the facts in natkit.turn.forwarding.
- says when a client's stream has closed: `path_closed`.
- carries out the commands in `events` and answers those that natkit.turn.events says are answered.
- hands what a peer sent and the data plane has no channel for to `from_peer`; ICMP errors that a
  relayed address got to `peer_error`.
- after any call: sends `transmits()` first, carries out `events()` in order, and calls `tick` once
  `deadline()` has come.

A request goes: decoded -> authenticated (natkit.turn.authentication) -> held against what was
answered before -> handled (allocate, refresh, peers, streams) -> answered, at once or when a
command is. Nothing is remembered of anybody who has not authenticated. `now` never goes back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias, assert_never

from natkit.errors import MalformedMessage
from natkit.machine import Instant
from natkit.network import IcmpError
from natkit.stun.server import BindingServer
from natkit.turn import allocate, peers, refresh, streams
from natkit.turn.allocation import Allocation
from natkit.turn.answers import TRY_ALTERNATE, UNKNOWN_ATTRIBUTE, Asked, Refused, not_understood
from natkit.turn.credentials import prepared
from natkit.turn.entries import Answered, Ending, PeerConnection, Reservation, Waiting
from natkit.turn.events import ClosePeer, HandOver, ToClient, TurnEvent
from natkit.turn.forwarding import CloseReason, Path, Transport
from natkit.turn.gate import Gate
from natkit.turn.handover import worker_of
from natkit.turn.quota import Ledger, LocalLedger, Throttle
from natkit.turn.register import Register
from natkit.turn.settings import Settings
from natkit.wire import Message, MessageClass, Method, TransportAddress, UnknownAttributes

Handler: TypeAlias = "Callable[..., None]"
"""Takes the register, the request and `now`; answers, or raises Refused."""

HANDLERS: dict[Method, Handler] = {
    Method.ALLOCATE: allocate.allocate,
    Method.REFRESH: refresh.refresh,
    Method.CREATE_PERMISSION: peers.create_permission,
    Method.CHANNEL_BIND: peers.channel_bind,
    Method.CONNECT: streams.connect,
    Method.CONNECTION_BIND: streams.connection_bind,
}

_BINDING_REQUEST = b"\x00\x01"


class TurnServer:
    """The machine.

    Args:
        settings:   what it offers to whom.
        randomness: returns that many unpredictable bytes.
        epoch:      Unix time at `now` = 0: nonces and REST user names bear wall-clock times, which
                    every server of a fleet reads alike. To be set again when the clock was.
        ledger:     counts allocations; None: this machine's own. One that spans workers is the
                    driver's.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        randomness: Callable[[int], bytes],
        epoch: float,
        ledger: Ledger | None = None,
    ) -> None:
        self.epoch = epoch
        self._register = Register(settings, randomness, ledger or LocalLedger())
        self._gate = Gate(self._register, Throttle(randomness(16)))
        self._set_up(settings)

    def _set_up(self, settings: Settings) -> None:
        self._gate.set_up(settings)
        self._binding = BindingServer()
        self._discovery = {
            endpoint: BindingServer(site)
            for site in settings.sites
            for endpoint in site.endpoints()
        }

    def receive(self, data: bytes, path: Path, *, now: Instant) -> None:
        """Take one STUN message of a client: a datagram, or a frame cut from a stream."""
        self.tick(now=now)
        if data[:2] == _BINDING_REQUEST:
            self._bind(data, path)
            return
        try:
            message = Message.decode(data)
        except MalformedMessage:
            return
        if path.client.port == 0:  # nobody can receive there
            return
        if message.message_class is MessageClass.REQUEST and message.method in HANDLERS:
            if not self._handed_over(message, path, data):
                self._request(message, path, now=now)
        elif message.method is Method.SEND and not not_understood(message):
            peers.send_indication(self._register, message, path, now=now)

    def _bind(self, data: bytes, path: Path) -> None:
        """Answer a Binding request; RFC 5780 is for UDP, and where it has all its endpoints."""
        server = self._binding
        if path.transport is Transport.UDP:
            server = self._discovery.get(path.server, server)
        reply = server.answer(data, path.client, at=path.server)
        if reply is not None:
            back = Path(reply.destination, reply.origin, path.transport)
            self._register.send(back, reply.data)

    def _handed_over(self, message: Message, path: Path, data: bytes) -> bool:
        """Hand a request over to the worker that it names; false: it is for this one.

        A 5-tuple that has an allocation here stays here, whatever a request on it names.
        """
        settings, register = self._register.settings, self._register
        worker = worker_of(message) if settings.workers > 1 else None
        if worker is None or worker == settings.worker or worker >= settings.workers:
            return False
        if path in register.by_path or path in register.pending:
            return False
        register.log.append(HandOver(worker, path, data))
        return True

    def _request(
        self,
        message: Message,
        path: Path,
        *,
        told: tuple[str, ...] | None = None,
        now: Instant,
    ) -> None:
        client = self._gate.admit(message, path, told=told, unix_time=self.epoch + now, now=now)
        if client is not None:
            self._serve(Asked(message, path, client), now=now)

    def _serve(self, asked: Asked, *, now: Instant) -> None:
        before = self._register.answered.get((asked.path, asked.message.transaction_id))
        if before is not None:
            self._register.send(asked.path, before.data)
            return
        try:
            unknown = not_understood(asked.message)
            if unknown:
                why = "attributes " + ", ".join(f"{number:#06x}" for number in unknown)
                raise Refused(UNKNOWN_ATTRIBUTE, why, UnknownAttributes(unknown))
            HANDLERS[asked.message.method](self._register, asked, now=now)
        except Refused as refused:
            if refused.code == TRY_ALTERNATE:
                nonce = self._gate.nonce_elsewhere(asked.path, unix_time=self.epoch + now)
                refused.attributes += (nonce,)
            self._register.refuse(asked, refused)

    def path_closed(self, path: Path, *, now: Instant) -> None:
        """Take that a client's stream (or DTLS association) has closed.

        Its allocation ends with its 5-tuple (RFC 8656 §2), unless a mobility ticket can bring the
        client back.
        """
        self.tick(now=now)
        register = self._register
        joined, allocation = register.joined.get(path), register.by_path.get(path)
        if joined is not None:
            register.close_connection(joined)
        if path in register.pending:
            allocate.cancel(register, register.pending[path])
        self._gate.forget(path)
        if allocation is not None and allocation.tickets:
            register.stray(allocation)
        elif allocation is not None:
            register.close(allocation, CloseReason.DISCONNECTED)

    def relay_opened(self, ticket: int, relayed: TransportAddress, *, now: Instant) -> None:
        """Take the answer to OpenRelay; with `reserve`, the port above is open as well."""
        self.tick(now=now)
        allocate.relay_opened(self._register, ticket, relayed, now=now)

    def relay_failed(self, ticket: int, why: str, *, now: Instant) -> None:
        """Take that OpenRelay could not be done; the client is told 508."""
        self.tick(now=now)
        allocate.relay_failed(self._register, ticket, why, now=now)

    def from_peer(
        self, relayed: TransportAddress, data: bytes, peer: TransportAddress, *, now: Instant
    ) -> None:
        """Take a datagram of a peer: a Data indication for the client, or nothing where no
        permission lets it in.
        """
        self.tick(now=now)
        peers.from_peer(self._register, relayed, data, peer, now=now)

    def peer_error(self, relayed: TransportAddress, error: IcmpError, *, now: Instant) -> None:
        """Take an ICMP error for something relayed: a Data indication with ICMP (§11.5)."""
        self.tick(now=now)
        peers.peer_error(self._register, relayed, error, now=now)

    def peer_connected(self, connection: int, *, now: Instant) -> None:
        """Take that ConnectPeer has worked (RFC 6062 §5.2)."""
        self.tick(now=now)
        if connection in self._register.connections:
            streams.peer_connected(self._register, connection, now=now)

    def peer_failed(self, connection: int, why: str, *, now: Instant) -> None:
        """Take that ConnectPeer has not worked; the client is told 447."""
        self.tick(now=now)
        found = self._register.connections.get(connection)
        if found is not None:
            streams.give_up(self._register, found, why)

    def peer_accepted(
        self, relayed: TransportAddress, peer: TransportAddress, *, now: Instant
    ) -> int | None:
        """Take that a peer has connected to a relayed address (RFC 6062 §5.3).

        Returns: the connection's number, by which BindConnection and ClosePeer name it; None: it
                 is not let in, close it.
        """
        self.tick(now=now)
        return streams.peer_accepted(self._register, relayed, peer, now=now)

    def peer_closed(self, connection: int, *, now: Instant) -> None:
        """Take that a peer's connection, or the client's stream joined with it, has closed."""
        self.peer_failed(connection, "it closed", now=now)

    def user_known(self, ticket: int, password: str | None, *, now: Instant) -> None:
        """Take the answer to LookUpUser; None: there is no such user."""
        self.tick(now=now)
        waiting = self._register.waiting.pop(ticket, None)
        if waiting is None:
            return  # it took too long
        self._register.agenda.drop(waiting)
        told = () if password is None else (prepared(password),)
        self._request(waiting.message, waiting.path, told=told, now=now)

    def reconfigure(self, settings: Settings, *, now: Instant) -> None:
        """Go on with other settings. Allocations stay; those of users who are gone are prolonged no
        more. Permissions, channels and connections that the new policy refuses end.
        """
        self.tick(now=now)
        self._register.settings = settings
        self._set_up(settings)
        for allocation in set(self._register.by_relayed.values()):
            self._register.enforce(allocation)

    def drain(self, alternates: Iterable[TransportAddress], *, now: Instant) -> None:
        """Make no more allocations: send clients to the first alternate of their IP version (300),
        or away (508).
        """
        self.tick(now=now)
        self._register.draining = True
        self._register.alternates = tuple(alternates)

    def stop(self, *, now: Instant) -> None:
        """Close every allocation and reservation."""
        self.tick(now=now)
        register = self._register
        for pending in list(register.pending.values()):
            allocate.cancel(register, pending)
        for allocation in dict.fromkeys(register.by_relayed.values()):
            register.close(allocation, CloseReason.STOPPED)
        for reservation in list(register.reservations.values()):
            register.agenda.drop(reservation)
            register.end_reservation(reservation)

    def tick(self, *, now: Instant) -> None:
        """Let end what has had its time."""
        for item in self._register.agenda.due(now=now):
            self._end(item, now=now)

    def _end(self, item: Ending, *, now: Instant) -> None:
        register = self._register
        match item:
            case Allocation():
                if now >= item.expires_at:
                    register.close(item, CloseReason.EXPIRED)
                else:
                    register.tell(item.lapse(now=now))
                    register.review(item)
            case Reservation():
                register.end_reservation(item)
            case PeerConnection():
                streams.give_up(register, item, "nothing happened for 30 s")
                register.log.append(ClosePeer(item.number))
            case Answered():
                register.forget_answer(item)
            case Waiting():
                del register.waiting[item.ticket]
            case _:
                assert_never(item)

    def deadline(self) -> Instant | None:
        """Return when the next thing ends; it may be early, never late."""
        return self._register.agenda.next()

    def transmits(self) -> list[ToClient]:
        """Hand over what is to be sent to clients, once."""
        out, self._register.outbox = self._register.outbox, []
        return out

    def events(self) -> list[TurnEvent]:
        """Hand over commands, facts and refusals, once, in order."""
        out, self._register.log = self._register.log, []
        return out
