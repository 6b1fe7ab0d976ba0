"""Who is tried first: the formulas of RFC 8445, and the order of addresses (RFC 8421)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from itertools import zip_longest
from typing import NamedTuple

from natkit.ice.candidate import CandidateType, TcpType

TYPE_PREFERENCES = {
    CandidateType.HOST: 126,
    CandidateType.PEER_REFLEXIVE: 110,
    CandidateType.SERVER_REFLEXIVE: 100,
    CandidateType.RELAYED: 0,
}
"""As RFC 8445 §5.1.2.2 recommends."""

TCP_TYPE_PREFERENCES = {
    CandidateType.HOST: 90,
    CandidateType.PEER_REFLEXIVE: 80,
}
"""libwebrtc's: below every direct path over UDP and above every relay. RFC 6544 §4.2 has UDP's own
values, by which TCP would win where it is tried first; calls over it stall at every loss."""

NAT_ASSISTED = 105
"""Type preference of an address that the gateway was asked for: RFC 6544 §4.2 has it for TCP.
Better than what a STUN server sees, as it is open to everybody, and for longer."""

_DIRECTIONS = {TcpType.ACTIVE: 6, TcpType.PASSIVE: 4, TcpType.SIMULTANEOUS_OPEN: 2}
"""Direction preferences of host candidates (RFC 6544 §4.2)."""

BEST_LOCAL_PREFERENCE = 65535
"""Of the best address of a host (RFC 8445 §5.1.2.1)."""


class Parts(NamedTuple):
    """A candidate's priority taken apart."""

    type_preference: int
    local_preference: int
    component: int


def priority(kind: CandidateType, local_preference: int, component: int) -> int:
    """Return a candidate's priority.

    Args: local_preference: 0 .. 65535; component: 1 .. 256.
    RFC:  8445 §5.1.2.1.
    """
    return (TYPE_PREFERENCES[kind] << 24) + (local_preference << 8) + (256 - component)


def tcp_priority(tcptype: TcpType, address_preference: int, component: int) -> int:
    """Return the priority of a host candidate over TCP.

    Args: address_preference: local preference of its address, from `local_preferences`.
    RFC:  6544 §4.2: local preference = 2^13 * direction-pref + other-pref.
    """
    other = address_preference & 0x1FFF
    local_preference = (_DIRECTIONS[tcptype] << 13) + other
    type_preference = TCP_TYPE_PREFERENCES[CandidateType.HOST]
    return (type_preference << 24) + (local_preference << 8) + (256 - component)


def parts(value: int) -> Parts:
    """Take a priority apart."""
    return Parts(value >> 24, value >> 8 & 0xFFFF, 256 - (value & 0xFF))


def peer_reflexive(value: int, *, tcp: bool = False) -> int:
    """Return what a candidate of priority `value` would have, were it learnt from a check.

    RFC: 8445 §7.1.1: the type preference of peer-reflexive, the rest as it is.
    """
    preferences = TCP_TYPE_PREFERENCES if tcp else TYPE_PREFERENCES
    return (preferences[CandidateType.PEER_REFLEXIVE] << 24) | (value & 0xFFFFFF)


def pair_priority(g: int, d: int) -> int:
    """Return a pair's priority from the controlling agent's `g` and the controlled one's `d`."""
    return (min(g, d) << 32) + 2 * max(g, d) + (g > d)  # RFC 8445 §6.1.2.3


def local_preferences(ips: Iterable[str]) -> dict[str, int]:
    """Return a local preference for each address, no two alike.

    Args:    ips: addresses of a host, best first within each family.
    Returns: IPv6 and IPv4 in turns, IPv6 first, so that a family that does not work costs one
             check and not all of them (RFC 8421 §4; unique as RFC 8445 §5.1.2.1 asks).
    """
    known = list(dict.fromkeys(ips))
    v6, v4 = ([ip for ip in known if (":" in ip) is wanted] for wanted in (True, False))
    in_turns = [ip for both in zip_longest(v6, v4) for ip in both if ip is not None]
    return {ip: BEST_LOCAL_PREFERENCE - place for place, ip in enumerate(in_turns)}


class Foundations:
    """Gives candidates that share their fate the same foundation (RFC 8445 §5.1.1.3).

    Numbers in the order of asking: a hash of the base would tell a peer the address that an mDNS
    name hides.
    """

    def __init__(self) -> None:
        self._numbers: dict[Hashable, str] = {}

    def of(
        self, kind: CandidateType, base_ip: str, server: str | None = None, transport: str = "udp"
    ) -> str:
        """Return the foundation of a candidate.

        Args: server: the IP of the STUN or TURN server; transport: to a TURN server.
        """
        key = (kind, base_ip, server, transport)
        return self._numbers.setdefault(key, str(len(self._numbers) + 1))
