"""What can stand in the way of a path: causes, whose fault it was, and how that is known."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from natkit.tools.path_side import Basis, Side


class Cause(Enum):
    """What stood in the way."""

    DIFFERENT_NETWORKS = "different-networks"
    NAME_NOT_FOUND = "name-not-found"
    """An mDNS name hides the address, and nobody answered for it."""
    NO_PUBLIC_ADDRESS = "no-public-address"
    NO_COMMON_FAMILY = "no-common-ip-version"
    PORT_PER_DESTINATION = "port-per-destination"
    """The NAT gives another port for every destination (a symmetric NAT)."""
    PORT_FILTER = "port-filter"
    ADDRESS_FILTER = "address-filter"
    UDP_BLOCKED = "udp-blocked"
    STUN_NOT_ASKED = "stun-not-asked"
    STUN_UNANSWERED = "stun-unanswered"
    NO_REFLEXIVE_CANDIDATE = "no-reflexive-candidate"
    """The peer told none; why, only its own report can say."""
    ONLY_RELAYED_CANDIDATES = "only-relayed-candidates"
    NO_CANDIDATES = "no-candidates"
    RELAY_NOT_ASKED = "relay-not-asked"
    RELAY_REFUSED = "relay-refused"
    RELAY_UNREACHABLE = "relay-unreachable"
    NO_RELAYED_CANDIDATE = "no-relayed-candidate"
    """The peer told none; why, only its own report can say."""
    WRONG_PASSWORD = "wrong-password"
    PEER_SILENT = "peer-silent"
    """The path worked, and the peer fell silent on it."""
    UNKNOWN = "unknown"


NAT_CAUSES = frozenset({Cause.PORT_PER_DESTINATION, Cause.PORT_FILTER, Cause.ADDRESS_FILTER})
"""What a NAT does that UDP gets through to."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that stood in the way.

    Attributes: why: a clause for people, without a full stop.
    """

    side: Side
    cause: Cause
    why: str
    basis: Basis = Basis.REPORTED


def unknown(side: Side, why: str) -> Fault:
    """Return that something is not known."""
    return Fault(side, Cause.UNKNOWN, why, Basis.UNKNOWN)
