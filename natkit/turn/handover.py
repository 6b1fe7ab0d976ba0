"""Whose message is it? Where several workers share a port, some belong to another than they reach.

Tokens, tickets and connection ids begin with the number of the worker that made them
(`Settings.worker`), so the one that gets a message can hand it over without asking around.
"""

from __future__ import annotations

from natkit.errors import MalformedMessage
from natkit.wire import (
    ConnectionId,
    Message,
    MessageClass,
    Method,
    MobilityTicket,
    ReservationToken,
)

_CARRIERS = frozenset({Method.ALLOCATE, Method.REFRESH, Method.CONNECTION_BIND})


def worker_of(data: bytes) -> int | None:
    """Return the worker that the request in `data` is for; None: whoever gets it.

    Not authenticated: a forged number costs a hand-over and is refused there.
    """
    try:
        message = Message.decode(data)
    except MalformedMessage:
        return None
    if message.message_class is not MessageClass.REQUEST or message.method not in _CARRIERS:
        return None
    token, number = message.find(ReservationToken), message.find(ConnectionId)
    ticket = message.find(MobilityTicket)
    if token is not None and message.method is Method.ALLOCATE:
        return token.token[0]
    if number is not None and message.method is Method.CONNECTION_BIND:
        return number.value >> 24
    if ticket is not None and ticket.value and message.method is Method.REFRESH:
        return ticket.value[0]
    return None
