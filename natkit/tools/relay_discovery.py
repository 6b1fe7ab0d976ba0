"""Where a relay answers NAT behaviour tests as well (RFC 5780), and whether it can.

Clients take OTHER-ADDRESS for four endpoints that really answer (RFC 5780 §7.4). So there are two
addresses of one IP version and two ports, which the same clients reach, or there is a refusal.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from natkit.errors import UsageError
from natkit.network import Network
from natkit.stun.server import Site
from natkit.tools.relay_config import RelayConfig
from natkit.tools.stun_serve import expanded, site_of
from natkit.turn.forwarding import Transport

_TWO = "Listen on two addresses: --listen udp://203.0.113.7:3478 --listen udp://203.0.113.8:3478"


def discovery_sites(network: Network, config: RelayConfig) -> tuple[Site, ...]:
    """Return the endpoints for RFC 5780; none where nobody asked for it.

    An IP version of which there is one address alone stays without it.

    Raises: UsageError: these addresses cannot be used for it.
    """
    if config.alternate_port is None:
        return ()
    udp = [one.address for one in config.listen if one.transport is Transport.UDP]
    # Loopback behind a wildcard is no second address to anybody else.
    addresses = expanded(network, udp, loopback=False)
    ips, ports = site_of(addresses, config.alternate_port)
    if ports[0] == 0:
        raise UsageError("--alternate-port needs a chosen main port", hint="Listen on 3478")
    families = [[ip for ip in ips if (":" in ip) == ipv6] for ipv6 in (False, True)]
    pairs = [family for family in families if len(family) > 1]
    if not pairs:
        raise UsageError(
            "--alternate-port takes two listening addresses of one IP version",
            why=f"over UDP there are: {', '.join(ips)}",
            hint=_TWO,
        )
    return tuple(_site(pair, ports, config) for pair in pairs)


def _site(ips: Sequence[str], ports: Sequence[int], config: RelayConfig) -> Site:
    public = {one.ip: one.advertised for one in config.relay_addresses}
    known = tuple(public.get(ip, ip) for ip in ips)
    if len(known) != 2 or known[0] == known[1]:
        raise UsageError(
            "--alternate-port takes two listening addresses of each IP version",
            why=f"there are: {', '.join(known)}",
            hint=_TWO,
        )
    if len({ipaddress.ip_address(ip).is_global for ip in known}) > 1:
        inside = next(ip for ip in known if not ipaddress.ip_address(ip).is_global)
        raise UsageError(
            f"--alternate-port cannot use {inside} beside {', '.join(set(known) - {inside})}",
            why="one is public and the other is not: who reaches the one may not reach the other",
            hint=f"Behind a 1:1 NAT say what it is known as: --relay-address {inside}=203.0.113.8",
        )
    return Site(tuple(ips), tuple(ports), () if known == tuple(ips) else known)
