"""The way in: who has not authenticated comes no further than here, and leaves nothing behind.

A request goes: authenticated | turned away with a challenge | its user looked up elsewhere, and
then one of the first two. Only the last has state: for who holds a nonce, bounded, and for 10 s.
"""

from __future__ import annotations

from natkit.machine import Instant, Seconds
from natkit.turn.answers import Client, Refused
from natkit.turn.authentication import Authenticator, Unsettled
from natkit.turn.entries import Waiting
from natkit.turn.events import LookUpUser, RequestRefused
from natkit.turn.forwarding import Path, Transport
from natkit.turn.quota import Throttle
from natkit.turn.register import Register
from natkit.turn.settings import Settings
from natkit.wire import ConnectionId, Message, Method, MobilityTicket, Nonce

WAITING_LIMIT = 1000
"""Requests that may wait for LookUpUser at once: a hundred new ones a second, where each takes all
of `LOOK_UP_PATIENCE`. Whoever comes on top asks again by itself."""

LOOK_UP_PATIENCE: Seconds = 10
"""For LookUpUser to be answered; a client over UDP asks seven times in 32 s (RFC 8489 §6.2.1)."""


class Gate:
    """Lets requests in.

    Args:
        register: what the server remembers.
        throttle: bounds the answers to who is not let in.
    """

    def __init__(self, register: Register, throttle: Throttle) -> None:
        self._register = register
        self._throttle = throttle
        self.set_up(register.settings)

    def set_up(self, settings: Settings) -> None:
        """Go on with other settings."""
        self._authenticator = Authenticator(settings)

    def admit(
        self,
        message: Message,
        path: Path,
        *,
        told: tuple[str, ...] | None,
        unix_time: Seconds,
        now: Instant,
    ) -> Client | None:
        """Return who sent a request; None: that was answered, or is being found out.

        Args: told: passwords that somebody else knew; None: nobody was asked yet.
        """
        known = self._known(message, path)
        try:
            client = self._authenticator.authenticate(
                message, path, known=known, told=told, unix_time=unix_time
            )
        except Refused as refused:
            self._turn_away(message, path, refused, now=now)
            return None
        if isinstance(client, Client):
            return client
        self._look_up(client, message, path, now=now)
        return None

    def nonce_elsewhere(self, path: Path, *, unix_time: Seconds) -> Nonce:
        """Return what a client that is sent on can sign with at the other server."""
        return self._authenticator.nonce_elsewhere(path, unix_time=unix_time)

    def forget(self, path: Path) -> None:
        """Drop the requests of a client who is gone."""
        for waiting in [it for it in self._register.waiting.values() if it.path == path]:
            del self._register.waiting[waiting.ticket]
            self._register.agenda.drop(waiting)

    def _known(self, message: Message, path: Path) -> Client | None:
        """Return whose allocation the request is about.

        Tickets and connection ids count where they mean something alone: with them in an Allocate,
        a name that has expired would get another allocation.
        """
        register = self._register
        allocation = register.by_path.get(path)
        if message.method is Method.REFRESH and allocation is None:
            ticket = message.find(MobilityTicket)
            allocation = None if ticket is None else register.by_ticket.get(ticket.value)
        if message.method is Method.CONNECTION_BIND and (number := message.find(ConnectionId)):
            connection = register.connections.get(number.value)
            allocation = None if connection is None else connection.allocation
        return None if allocation is None else allocation.client

    def _turn_away(self, message: Message, path: Path, refused: Refused, *, now: Instant) -> None:
        """Answer who has not authenticated: unsigned, short, and not without end."""
        if path.transport is Transport.UDP:
            most = self._register.settings.limits.unauthorized_per_second
            if not self._throttle.admits(path.client.ip, most, now=now):
                return
        answer = message.error(refused.code, "", *refused.attributes)
        self._register.send(path, answer.encode(fingerprint=message.has_fingerprint))
        method, why = message.method, refused.why
        self._register.log.append(
            RequestRefused(path, method, refused.code, why, refused.user, refused.routine)
        )

    def _look_up(self, who: Unsettled, message: Message, path: Path, *, now: Instant) -> None:
        """Ask for a user, once for a request and its retransmissions."""
        waiting = self._register.waiting
        request = (path, message.transaction_id)
        if len(waiting) >= WAITING_LIMIT:
            return
        if request in ((other.path, other.message.transaction_id) for other in waiting.values()):
            return
        ticket = self._register.ticket()
        waiting[ticket] = Waiting(ticket, message, path)
        self._register.agenda.set(waiting[ticket], now + LOOK_UP_PATIENCE)
        self._register.log.append(LookUpUser(ticket, who.username, self._register.settings.realm))
