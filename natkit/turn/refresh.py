"""The Refresh method, server side: RFC 8656 §8.2, and moving to another address, RFC 8016 §3.2.2.

Rule of the file: a ticket proves nothing by itself. Only the user who has the allocation can move
it, it stays one allocation whose place in the ledger is kept, and no state is made on the way.
"""

from __future__ import annotations

from natkit.machine import Instant
from natkit.turn.allocate import TICKET_SIZE
from natkit.turn.allocation import Allocation
from natkit.turn.answers import (
    ALLOCATION_MISMATCH,
    BAD_REQUEST,
    MOBILITY_FORBIDDEN,
    PEER_FAMILY_MISMATCH,
    WRONG_CREDENTIALS,
    Asked,
    Refused,
)
from natkit.turn.forwarding import AllocationMoved, CloseReason, Relaying
from natkit.turn.register import Register
from natkit.turn.wanted import FAMILIES, granted_lifetime
from natkit.wire import Attribute, Lifetime, MobilityTicket, RequestedAddressFamily


def own_allocation(register: Register, asked: Asked, *, now: Instant) -> Allocation:
    """Return the allocation that a request is about.

    Raises: Refused: 437, there is none on the 5-tuple; 441, it is another user's (§5).
    """
    allocation = register.at(asked.path, now=now)
    if allocation is None:
        raise Refused(ALLOCATION_MISMATCH, "there is no allocation on this 5-tuple")
    refuse_others(allocation, asked)
    return allocation


def refuse_others(allocation: Allocation, asked: Asked) -> None:
    """Raise: Refused: 441, the allocation is another user's (§5)."""
    if allocation.client.username != asked.client.username:
        raise Refused(WRONG_CREDENTIALS, f"it is {allocation.client.username!r}'s allocation")


def refresh(register: Register, asked: Asked, *, now: Instant) -> None:
    """Walk the list of RFC 8656 §8.2."""
    ticket = asked.message.find(MobilityTicket)
    if register.at(asked.path, now=now) is not None:
        ticket = None  # it says nothing that the 5-tuple does not say
    if ticket is None:
        allocation = own_allocation(register, asked, now=now)
    else:
        allocation = _movable(register, asked, ticket)
    # "...REQUESTED-ADDRESS-FAMILY ... does not match the address family of the allocation".
    requested = asked.message.find(RequestedAddressFamily)
    family = None if requested is None else FAMILIES.get(requested.family)
    if requested is not None and family not in allocation.relays:
        raise Refused(PEER_FAMILY_MISMATCH, f"no relayed address of family {requested.family}")
    answer: list[Attribute] = []
    if ticket is not None:
        answer.append(_move(register, allocation, asked, used=ticket))
    # "...computes a value called the desired lifetime".
    wanted = asked.message.find(Lifetime)
    if wanted is not None and wanted.seconds == 0:
        lifetime = 0
        # Of two relayed addresses one alone can be given up (§8.1).
        if family is not None and len(allocation.relays) > 1:
            register.close_relay(allocation, family, CloseReason.DELETED)
            register.review(allocation)
        else:
            register.close(allocation, CloseReason.DELETED)
            answer.clear()
    else:
        seconds = None if wanted is None else wanted.seconds
        lifetime = int(granted_lifetime(seconds, register.settings.max_lifetime))
        allocation.expires_at = now + lifetime
        register.review(allocation)
    data = asked.success([Lifetime(lifetime), *answer, *register.signature()])
    if ticket is not None or lifetime == 0:
        register.remember(asked, data, now=now)
    register.send(asked.path, data)


def _movable(register: Register, asked: Asked, ticket: MobilityTicket) -> Allocation:
    """Return the allocation that `ticket` brings here.

    Raises: Refused: 405, 400, 437 or 441.
    """
    if not register.settings.mobility:
        raise Refused(MOBILITY_FORBIDDEN, "mobility is switched off")
    allocation = register.by_ticket.get(ticket.value)
    if allocation is None:
        raise Refused(BAD_REQUEST, "unknown or used MOBILITY-TICKET")
    refuse_others(allocation, asked)
    if asked.path in register.pending:
        raise Refused(ALLOCATION_MISMATCH, "an Allocate is under way on this 5-tuple")
    if allocation.relaying is Relaying.TCP and not asked.path.transport.is_stream:
        raise Refused(BAD_REQUEST, "a TCP allocation cannot move to datagrams")
    return allocation


def _move(
    register: Register, allocation: Allocation, asked: Asked, *, used: MobilityTicket
) -> Attribute:
    """Give the allocation its new 5-tuple and a fresh ticket.

    The ticket that was used stays good until the next move: the answer may be lost, and the client
    may be somewhere else again before it asks once more.
    """
    old = allocation.path
    register.place(allocation, asked.path)
    register.tell(
        AllocationMoved(relayed, old, asked.path) for relayed in allocation.relays.values()
    )
    fresh = register.token(TICKET_SIZE, register.by_ticket)
    register.give_tickets(allocation, used.value, fresh)
    return MobilityTicket(fresh)
