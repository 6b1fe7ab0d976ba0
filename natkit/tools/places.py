"""Where the server of a URI is: by its port, by SRV records (RFC 2782), or at the default port."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from natkit.network import Family, Network
from natkit.stun.uri import SrvRecord, in_order, is_ip
from natkit.turn.client_uri import TurnUri, default_port, srv_labels
from natkit.turn.forwarding import Transport
from natkit.wire import TransportAddress

Randomness: TypeAlias = Callable[[int], bytes]
SrvLookup: TypeAlias = Callable[[str], Awaitable[Sequence[SrvRecord]]]

BOTH_FAMILIES = (Family.IPV4, Family.IPV6)


async def places(
    network: Network,
    host: str,
    port: int | None,
    *,
    default: int,
    service: str,
    families: Sequence[Family] = BOTH_FAMILIES,
    randomness: Randomness,
    look_up_srv: SrvLookup | None,
) -> list[TransportAddress]:
    """Return the addresses to try, best first; empty: there is none.

    Args:
        port:        as the URI has it; None: what DNS says, or `default`.
        service:     labels before the host name in an SRV query ("_turn._udp").
        look_up_srv: finds SRV records by name; None: this network has no DNS.
    RFC: 8489 §8.1 and, for TURN, 5928 §3: who names a port or an IP wants no SRV records.
    """
    hosts = [(host, port or default)]
    if port is None and not is_ip(host) and look_up_srv is not None:
        records = await look_up_srv(f"{service}.{host}")
        hosts = [(r.target, r.port) for r in in_order(records, randomness)] or hosts
    found: list[TransportAddress] = []
    for name, at in hosts:
        for family in families:
            found += (TransportAddress(ip, at) for ip in await network.resolve(name, family))
    return list(dict.fromkeys(found))


async def server_places(
    network: Network,
    uri: TurnUri,
    transport: Transport,
    randomness: Randomness,
    look_up_srv: SrvLookup | None,
) -> list[TransportAddress]:
    """Return where the TURN server of `uri` takes `transport`, best first."""
    return await places(
        network,
        uri.host,
        uri.port,
        default=default_port(transport),
        service=srv_labels(transport),
        randomness=randomness,
        look_up_srv=look_up_srv,
    )
