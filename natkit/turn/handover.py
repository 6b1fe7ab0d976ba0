"""Whose message is it? Where several workers share a port, some belong to another than they reach.

Tokens, tickets and connection ids begin with a byte that says which worker has made them
(`Settings.worker`), so the one that gets a request can hand it over without asking around.
"""

from __future__ import annotations

from natkit.wire import (
    ConnectionId,
    Message,
    Method,
    MobilityTicket,
    ReservationToken,
)


def mark_of(worker: int) -> int:
    """Return the first byte of what a worker makes, or the worker of such a byte.

    Counted from above, so that next to nobody's is zero: a client that keeps a ticket as text, as
    coturn's does, would find it empty.
    """
    return 255 - worker


def worker_of(request: Message) -> int | None:
    """Return the worker that a request is for; None: whoever gets it.

    Not authenticated: a forged number costs a hand-over and is refused there.
    """
    match request.method:
        case Method.ALLOCATE:
            token = request.find(ReservationToken)
            return None if token is None else mark_of(token.token[0])
        case Method.REFRESH:
            ticket = request.find(MobilityTicket)
            return None if ticket is None or not ticket.value else mark_of(ticket.value[0])
        case Method.CONNECTION_BIND:
            number = request.find(ConnectionId)
            return None if number is None else mark_of(number.value >> 24)
        case _:
            return None
