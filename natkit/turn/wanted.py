"""What an Allocate request asks for, and whether that makes sense (RFC 8656 §7.2, RFC 6062 §5.1).

Rule of the file: functions of the message and the settings alone; nothing here depends on who else
is being served.
"""

from __future__ import annotations

from natkit.machine import Seconds
from natkit.network import Family
from natkit.turn.answers import (
    BAD_REQUEST,
    FAMILY_NOT_SUPPORTED,
    UNSUPPORTED_TRANSPORT,
    Asked,
    Refused,
)
from natkit.turn.forwarding import Relaying
from natkit.turn.settings import DEFAULT_LIFETIME, Settings
from natkit.wire import (
    AdditionalAddressFamily,
    DontFragment,
    EvenPort,
    Message,
    RequestedAddressFamily,
    RequestedTransport,
    ReservationToken,
    Unrecognised,
)

FAMILIES = {1: Family.IPV4, 2: Family.IPV6}
"""By the numbers of RFC 8656 §18.6."""

_UDP = Relaying.UDP.value  # Enum looks it up in Python

NUMBERS = {family: number for number, family in FAMILIES.items()}

_DRAFT_ADDITIONAL_FAMILY = Unrecognised(0x8032, b"\x02\0\0\0")
"""ADDITIONAL-ADDRESS-FAMILY as drafts of RFC 8656 numbered it, and coturn's client 4.6 does."""


def granted_lifetime(requested: Seconds | None, longest: Seconds) -> Seconds:
    """Clamp a requested LIFETIME to what this server offers.

    Args:    requested: seconds from LIFETIME, 0 .. 2**32-1; None when absent.
    Returns: seconds, DEFAULT_LIFETIME <= result <= `longest`.
    RFC:     8656 §7.2; a refresh of 0 (delete) is the caller's case.
    """
    if requested is None:
        return DEFAULT_LIFETIME
    return max(DEFAULT_LIFETIME, min(requested, longest))


def relaying_of(asked: Asked, settings: Settings) -> Relaying:
    """Return what is to be relayed. Raises: Refused: 400, or 442."""
    requested = asked.message.find(RequestedTransport)
    if requested is None:
        raise Refused(BAD_REQUEST, "REQUESTED-TRANSPORT is missing")
    if requested.protocol == _UDP:
        return Relaying.UDP
    if requested.protocol != Relaying.TCP.value or not settings.tcp:
        raise Refused(UNSUPPORTED_TRANSPORT, f"cannot relay IP protocol {requested.protocol}")
    # RFC 6062 §5.1: over TCP or TLS only, and without what has no meaning for streams.
    if not asked.path.transport.is_stream:
        raise Refused(BAD_REQUEST, "a TCP allocation asked for over datagrams")
    for kind in (EvenPort, ReservationToken, DontFragment):
        if asked.message.find(kind) is not None:
            raise Refused(BAD_REQUEST, f"{kind.NAME} asked of a TCP allocation")
    return Relaying.TCP


def refuse_contradictions(message: Message) -> None:
    """Raise: Refused: 400, attributes that exclude each other."""
    token, additional = message.find(ReservationToken), _additional(message)
    if token is None and additional is None:
        return
    even, requested = message.find(EvenPort), message.find(RequestedAddressFamily)
    if token is not None and (even is not None or requested is not None or additional is not None):
        raise Refused(BAD_REQUEST, "RESERVATION-TOKEN with EVEN-PORT or an address family")
    if additional is None:
        return
    if requested is not None:
        raise Refused(BAD_REQUEST, "both REQUESTED- and ADDITIONAL-ADDRESS-FAMILY")
    if even is not None and even.reserve:
        raise Refused(BAD_REQUEST, "ADDITIONAL-ADDRESS-FAMILY with a port to reserve")
    if FAMILIES.get(additional) is not Family.IPV6:
        raise Refused(BAD_REQUEST, f"ADDITIONAL-ADDRESS-FAMILY is {additional}, not IPv6")


def _additional(message: Message) -> int | None:
    found = message.find(AdditionalAddressFamily)
    if found is not None:
        return found.family
    if message.find(Unrecognised) is None:
        return None
    drafted = _DRAFT_ADDITIONAL_FAMILY in message.find_all(Unrecognised)
    return _DRAFT_ADDITIONAL_FAMILY.value[0] if drafted else None


def families_of(
    message: Message, settings: Settings
) -> tuple[tuple[Family, ...], tuple[Family, ...]]:
    """Return the families to open, and those asked for but not offered.

    Raises: Refused: 440, there would be none to open.
    """
    requested = message.find(RequestedAddressFamily)
    number = NUMBERS[Family.IPV4] if requested is None else requested.family
    wanted = [FAMILIES[number]] if number in FAMILIES else []
    if _additional(message) is not None:
        wanted.append(Family.IPV6)
    offered = tuple([family for family in wanted if family in settings.families])
    if not offered:
        raise Refused(FAMILY_NOT_SUPPORTED, f"no relayed addresses of family {number}")
    return offered, tuple([family for family in wanted if family not in offered])
