"""What a client asks of an allocation, and what it makes of the answer (RFC 8656 §7.1, §7.3)."""

from __future__ import annotations

from dataclasses import dataclass

from natkit.machine import Seconds
from natkit.network import Family
from natkit.turn.client_events import Allocated, RefusedFamily
from natkit.wire import (
    AdditionalAddressFamily,
    AddressErrorCode,
    Attribute,
    EvenPort,
    Lifetime,
    Message,
    RequestedAddressFamily,
    RequestedTransport,
    ReservationToken,
    Software,
    TransportAddress,
    XorMappedAddress,
    XorRelayedAddress,
)

DEFAULT_LIFETIME: Seconds = 600.0
"""What a server grants where a client asks for nothing (RFC 8656 §3.2)."""

UDP = 17
"""IP protocol number of what the relay speaks with peers."""

_ON_THE_WIRE = {Family.IPV4: 1, Family.IPV6: 2}
_FAMILIES = {number: family for family, number in _ON_THE_WIRE.items()}


@dataclass(frozen=True, slots=True)
class Wish:
    """What to ask for.

    Attributes:
        families: of the relayed address; both, IPv4 first, asks for one of each.
        lifetime: seconds; None: as long as the server likes.
        even:     an even port, for RTP.
        reserve:  with `even`: keep the next port for a later client, which gives its token.
        token:    the port that an earlier client had reserved.
    """

    families: tuple[Family, ...] = (Family.IPV4,)
    lifetime: int | None = None
    even: bool = False
    reserve: bool = False
    token: bytes | None = None

    def attributes(self) -> tuple[Attribute, ...]:
        """Return the attributes of the Allocate request, in the RFC's order (§7.1)."""
        wanted: list[Attribute] = [RequestedTransport(UDP)]
        if self.lifetime is not None:
            wanted.append(Lifetime(self.lifetime))
        # A token names a port, and so a family; IPv4 is what a request without a word gets.
        if len(self.families) > 1:
            wanted.append(AdditionalAddressFamily(_ON_THE_WIRE[Family.IPV6]))
        elif self.families == (Family.IPV6,) and self.token is None:
            wanted.append(RequestedAddressFamily(_ON_THE_WIRE[Family.IPV6]))
        if self.even:
            wanted.append(EvenPort(self.reserve))
        if self.token is not None:
            wanted.append(ReservationToken(self.token))
        return tuple(wanted)


PLAIN = Wish()
"""An IPv4 address for as long as the server likes."""


def read(answer: Message, wish: Wish, round_trip: Seconds | None) -> Allocated | str:
    """Read an Allocate success response; a string says why it is of no use."""
    mapped, lifetime = answer.find(XorMappedAddress), answer.find(Lifetime)
    relayed = tuple(found.address for found in answer.find_all(XorRelayedAddress))
    if not relayed:
        return "it holds no relayed address"
    if mapped is None:
        return "it does not say how the server sees us"
    foreign = [str(at) for at in relayed if _family(at) not in wish.families]
    if foreign and wish.token is None:
        return f"{foreign[0]} is of a family that was not asked for"
    token, software = answer.find(ReservationToken), answer.find(Software)
    return Allocated(
        relayed,
        mapped.address,
        DEFAULT_LIFETIME if lifetime is None else float(lifetime.seconds),
        round_trip,
        _refused(answer),
        None if token is None else token.token,
        None if software is None else software.text,
    )


def _family(address: TransportAddress) -> Family:
    return Family.IPV6 if address.is_ipv6 else Family.IPV4


def _refused(answer: Message) -> tuple[RefusedFamily, ...]:
    errors = answer.find_all(AddressErrorCode)
    return tuple(
        RefusedFamily(_FAMILIES[it.family], it.code, it.reason)
        for it in errors
        if it.family in _FAMILIES
    )
