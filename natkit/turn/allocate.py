"""The Allocate method, server side: RFC 8656 §7.2, RFC 6062 §5.1, RFC 8016 §3.1.2, step by step.

An Allocate request goes: checked -> waits for its relayed addresses -> made | refused. Rule of the
file: whatever way it goes, the ledger is given back what an allocation does not keep.
"""

from __future__ import annotations

from natkit.machine import Instant, Seconds
from natkit.network import Family
from natkit.turn.allocation import Allocation
from natkit.turn.answers import (
    ALLOCATION_MISMATCH,
    BAD_REQUEST,
    FAMILY_NOT_SUPPORTED,
    INSUFFICIENT_CAPACITY,
    MOBILITY_FORBIDDEN,
    QUOTA_REACHED,
    REASONS,
    TRY_ALTERNATE,
    UNKNOWN_ATTRIBUTE,
    Asked,
    Refused,
)
from natkit.turn.entries import Pending, Reservation
from natkit.turn.events import CloseRelay, OpenRelay
from natkit.turn.register import Register
from natkit.turn.settings import Settings
from natkit.turn.wanted import (
    NUMBERS,
    families_of,
    granted_lifetime,
    refuse_contradictions,
    relaying_of,
)
from natkit.wire import (
    AddressErrorCode,
    AlternateServer,
    Attribute,
    DontFragment,
    EvenPort,
    Lifetime,
    MobilityTicket,
    ReservationToken,
    TransportAddress,
    UnknownAttributes,
    XorMappedAddress,
    XorRelayedAddress,
)

RESERVATION_LIFETIME: Seconds = 30
"""For which a reserved port is kept: RFC 8656 §7.2 wants at least 30 s, and more holds ports that
nobody may ever come for."""

TOKEN_SIZE = 8  # RFC 8656 §18.10
TICKET_SIZE = 16
"""Bytes of a mobility ticket: 120 bits cannot be guessed, and it needs to hold nothing."""


def allocate(register: Register, asked: Asked, *, now: Instant) -> None:
    """Walk the list of RFC 8656 §7.2, and ask for the relayed addresses."""
    message, settings = asked.message, register.settings
    # 1. Authentication: done.
    # 2. "...checks if the 5-tuple is currently in use by an existing allocation."
    if _is_repeated(register, asked, now=now):
        return
    # 3. to 5. "...checks if the request contains REQUESTED-TRANSPORT", DONT-FRAGMENT.
    relaying = relaying_of(asked, settings)
    if message.find(DontFragment) is not None and not settings.dont_fragment:
        unknown = UnknownAttributes((DontFragment.TYPE,))
        raise Refused(UNKNOWN_ATTRIBUTE, "DONT-FRAGMENT cannot be done here", unknown)
    # 6. to 9. RESERVATION-TOKEN, REQUESTED- and ADDITIONAL-ADDRESS-FAMILY, EVEN-PORT.
    even, token = message.find(EvenPort), message.find(ReservationToken)
    refuse_contradictions(message)
    pending = Pending(asked, relaying, reserve=even is not None and even.reserve)
    families, missing = families_of(message, settings)
    pending.failed.update(dict.fromkeys(missing, FAMILY_NOT_SUPPORTED))
    _refuse_ticket(message.find(MobilityTicket), settings)
    # 11. "...MAY also reject the request with 300": before the quota, which needs no look then.
    _refuse_when_draining(register, asked)
    _refuse_at_anycast(settings, asked)
    if token is not None:
        _take_reservation(register, pending, token.token, now=now)
        return
    # 10. "...checks if it is willing": 486 or 508.
    _take(register, pending)
    register.pending[asked.path] = pending
    for family in families:
        ticket = register.ticket()
        pending.wanted[ticket] = family
        register.opening[ticket] = pending
        register.log.append(
            OpenRelay(ticket, family, relaying, even=even is not None, reserve=pending.reserve)
        )


def _is_repeated(register: Register, asked: Asked, *, now: Instant) -> bool:
    """Tell whether it is a retransmission, and answer it as before.

    Raises: Refused: 437, the 5-tuple has another allocation.
    """
    waiting = register.pending.get(asked.path)
    if waiting is not None:
        if waiting.asked.message.transaction_id == asked.message.transaction_id:
            return True  # its answer is on the way
        raise Refused(ALLOCATION_MISMATCH, "an Allocate with another transaction id is under way")
    existing = register.at(asked.path, now=now)
    if existing is None:
        return False
    if existing.made_by != asked.message.transaction_id:
        raise Refused(ALLOCATION_MISMATCH, "there is an allocation on this 5-tuple already")
    register.send(asked.path, existing.answer)
    return True


def _refuse_ticket(asked_for: MobilityTicket | None, settings: Settings) -> None:
    """Raise: Refused: 400, 405 (RFC 8016 §3.1.2)."""
    if asked_for is None:
        return
    if asked_for.value:
        raise Refused(BAD_REQUEST, "MOBILITY-TICKET asks for a ticket, but is not empty")
    if not settings.mobility:
        raise Refused(MOBILITY_FORBIDDEN, "mobility is switched off")


def _refuse_when_draining(register: Register, asked: Asked) -> None:
    if not register.draining:
        return
    # RFC 8489 §14.15: of the same family as the request's source.
    for alternate in register.alternates:
        if alternate.is_ipv6 == asked.path.client.is_ipv6:
            why = f"draining: sent to {alternate}"
            raise Refused(TRY_ALTERNATE, why, AlternateServer(alternate))
    raise Refused(INSUFFICIENT_CAPACITY, "draining: no new allocations")


def _refuse_at_anycast(settings: Settings, asked: Asked) -> None:
    """Send a client from an address of several servers to the one that is ours (RFC 8155 §6)."""
    came = asked.path.server
    own = settings.anycast.get(came.ip)
    if own is not None:
        alternate = TransportAddress(own, came.port)
        raise Refused(TRY_ALTERNATE, f"anycast: sent to {alternate}", AlternateServer(alternate))


def _take(register: Register, pending: Pending) -> None:
    """Count one more allocation, and another one for a port that is to be reserved: without that,
    a user could hold any number of ports by allocating and deleting.

    Raises: Refused: 486 or 508.
    """
    account = pending.asked.client.account
    code = register.ledger.take(account, register.settings.limits)
    if code is None and pending.reserve:
        code = register.ledger.take(account, register.settings.limits)
        if code is not None:
            register.ledger.give(account)
    if code == QUOTA_REACHED:
        raise Refused(code, f"{account!r} has all the allocations that one user may have")
    if code is not None:
        raise Refused(code, "the server has all the allocations that it may have")


def _take_reservation(register: Register, pending: Pending, token: bytes, *, now: Instant) -> None:
    """Make the allocation of a reserved port; what the ledger counted for it goes on counting.

    Raises: Refused: 508, the token is none, or somebody else's.
    """
    reservation = register.reservations.get(token)
    if reservation is None or reservation.account != pending.asked.client.account:
        raise Refused(INSUFFICIENT_CAPACITY, "unknown or expired RESERVATION-TOKEN")
    del register.reservations[token]
    register.agenda.drop(reservation)
    relayed = reservation.relayed
    pending.opened[Family.IPV6 if relayed.is_ipv6 else Family.IPV4] = relayed
    _make(register, pending, now=now)


def relay_opened(
    register: Register, ticket: int, relayed: TransportAddress, *, now: Instant
) -> None:
    """Take a relayed address that was asked for."""
    pending = register.opening.pop(ticket)
    pending.opened[pending.wanted.pop(ticket)] = relayed
    _settle(register, pending, now=now)


def relay_failed(register: Register, ticket: int, why: str, *, now: Instant) -> None:
    """Take that a relayed address could not be had."""
    pending = register.opening.pop(ticket)
    pending.failed[pending.wanted.pop(ticket)] = INSUFFICIENT_CAPACITY
    pending.why = why
    _settle(register, pending, now=now)


def _settle(register: Register, pending: Pending, *, now: Instant) -> None:
    """Once no relayed address is outstanding, make the allocation or refuse it."""
    if pending.wanted:
        return
    asked = pending.asked
    if pending.cancelled:
        for relayed in pending.opened.values():
            _close_opened(register, pending, relayed)
    else:
        del register.pending[asked.path]
        if pending.opened:
            _make(register, pending, now=now)
            return
        refused = Refused(INSUFFICIENT_CAPACITY, f"no relayed address: {pending.why}")
        register.refuse(asked, refused)
    for _ in range(1 + pending.reserve):
        register.ledger.give(asked.client.account)


def cancel(register: Register, pending: Pending) -> None:
    """Give up an Allocate whose client is gone; what is being opened is closed once it is there."""
    pending.cancelled = True
    del register.pending[pending.asked.path]


def _close_opened(register: Register, pending: Pending, relayed: TransportAddress) -> None:
    register.log.append(CloseRelay(relayed))
    if pending.reserve:
        register.log.append(CloseRelay(_above(relayed)))


def _above(relayed: TransportAddress) -> TransportAddress:
    return TransportAddress(relayed.ip, relayed.port + 1)


def _make(register: Register, pending: Pending, *, now: Instant) -> None:
    """Make the allocation, and answer with what the last part of §7.2 lists."""
    asked, message = pending.asked, pending.asked.message
    requested = message.find(Lifetime)
    seconds = None if requested is None else requested.seconds
    lifetime = granted_lifetime(seconds, register.settings.max_lifetime)
    relays = dict(sorted(pending.opened.items()))
    allocation = Allocation(
        asked.path, pending.relaying, asked.client, now + lifetime, message.transaction_id, relays
    )
    answer: list[Attribute] = [XorRelayedAddress(relayed) for relayed in relays.values()]
    answer += [
        AddressErrorCode(NUMBERS[family], code, REASONS[code])
        for family, code in sorted(pending.failed.items())
    ]
    answer += [Lifetime(int(lifetime)), XorMappedAddress(asked.path.client)]
    if pending.reserve:
        (relayed,) = relays.values()
        answer.append(_reserve(register, asked, _above(relayed), now=now))
    if message.find(MobilityTicket) is not None:
        ticket = register.token(TICKET_SIZE, register.by_ticket)
        allocation.tickets = (ticket,)
        answer.append(MobilityTicket(ticket))
    allocation.answer = asked.success([*answer, *register.signature()])
    register.enter(allocation, lifetime)
    register.send(asked.path, allocation.answer)


def _reserve(
    register: Register, asked: Asked, relayed: TransportAddress, *, now: Instant
) -> ReservationToken:
    """Keep the port above for who brings the token."""
    token = register.token(TOKEN_SIZE, register.reservations)
    reservation = Reservation(token, relayed, asked.client.account)
    register.reservations[token] = reservation
    register.agenda.set(reservation, now + RESERVATION_LIFETIME)
    return ReservationToken(token)
