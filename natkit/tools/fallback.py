"""Find out what still gets through where UDP does not: STUN over TCP and TLS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from natkit.machine import Seconds
from natkit.nat.behaviour import Mapping, Measured
from natkit.network import Network
from natkit.wire import TransportAddress

Randomness = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class FallbackReport:
    """What works over streams.

    Attributes:
        tcp:         ports on which STUN over TCP was answered; empty: none.
        tls:         ports on which STUN over TLS was answered; empty: none.
        tcp_mapping: how the NAT maps TCP connections from one local port.
    """

    tcp: Measured[tuple[int, ...]]
    tls: Measured[tuple[int, ...]]
    tcp_mapping: Measured[Mapping]


async def find_fallback(
    network: Network,
    server: TransportAddress,
    *,
    name: str | None = None,
    others: Sequence[TransportAddress] = (),
    randomness: Randomness,
    budget: Seconds = 2.0,
) -> FallbackReport:
    """Try STUN over TCP (3478, 80, 443) and TLS (443, 5349) on `server`.

    Args:
        name:   host name for SNI; None: the IP.
        others: further STUN addresses that speak TCP, to see how the NAT maps TCP.
    """
    none: Measured[tuple[int, ...]] = Measured.not_measured("not tried yet")
    return FallbackReport(none, none, Measured.not_measured("not tried yet"))
