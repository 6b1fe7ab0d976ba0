"""Ask the gateway which port-mapping protocols it speaks, and what its external address is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from natkit.machine import Seconds
from natkit.nat.behaviour import Measured
from natkit.network import Network

Randomness = Callable[[int], bytes]
"""Returns that many random bytes (secrets.token_bytes, or a seeded source)."""


@dataclass(frozen=True, slots=True)
class MappingService:
    """What is known of one port-mapping protocol on the gateway.

    Attributes:
        present:     True: the gateway answered in this protocol; False: asked, and it did not.
        external_ip: the gateway's outside address, as the gateway says it.
    """

    present: Measured[bool]
    external_ip: Measured[str]


@dataclass(frozen=True, slots=True)
class PortMappingReport:
    """The three port-mapping protocols, each asked by itself."""

    pcp: MappingService
    nat_pmp: MappingService
    upnp: MappingService


async def find_port_mapping(
    network: Network, *, randomness: Randomness, budget: Seconds = 1.0
) -> PortMappingReport:
    """Ask the default gateway for PCP, NAT-PMP and UPnP-IGD, all at once, in `budget` seconds."""
    silent: Measured[bool] = Measured.not_measured("not asked yet")
    unknown: Measured[str] = Measured.not_measured("not asked yet")
    service = MappingService(silent, unknown)
    return PortMappingReport(service, service, service)
