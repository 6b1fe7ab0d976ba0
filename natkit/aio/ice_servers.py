"""Which servers to ask for candidates, and from which addresses of this host."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from natkit.errors import UsageError
from natkit.network import Family, Interface, Network
from natkit.stun.uri import StunUri, Transport
from natkit.turn.client_auth import Login
from natkit.turn.client_uri import TurnUri
from natkit.turn.forwarding import Transport as TurnTransport
from natkit.wire import TransportAddress

_SOMEWHERE = {
    Family.IPV4: TransportAddress("192.0.2.1", 9),
    Family.IPV6: TransportAddress("2001:db8::1", 9),
}
"""Addresses for documentation: what packets to the internet leave from. Nothing is sent."""

_RELAY_ORDER = (TurnTransport.UDP, TurnTransport.DTLS, TurnTransport.TCP, TurnTransport.TLS)


@dataclass(frozen=True, slots=True)
class TurnServer:
    """A TURN server to ask for a relayed address.

    Attributes:
        uri:      "turn:HOST[:PORT][?transport=udp|tcp]" or "turns:HOST[:PORT]".
        username, password: None: it wants none.
        verify:   check its certificate.
        ca_file:  PEM file of extra trust anchors; None: the system's.
    Raises (on creation): UsageError: the URI is none, or asks for DTLS.
    """

    uri: str
    username: str | None = None
    password: str | None = None
    verify: bool = True
    ca_file: str | None = None

    def __post_init__(self) -> None:
        if self.transport is TurnTransport.DTLS:
            raise UsageError(f"{self.uri!r} asks for DTLS, which natkit does not speak as a client")

    @property
    def parsed(self) -> TurnUri:
        """The URI, read."""
        return TurnUri.parse(self.uri)

    @property
    def transport(self) -> TurnTransport:
        """What to go over; UDP where `turn:` leaves it open, as browsers do."""
        return self.parsed.transports[0]

    @property
    def login(self) -> Login | None:
        """What to sign with."""
        if self.username is None:
            return None
        return Login(self.username, self.password or "")

    @property
    def name(self) -> str:
        """Its name for people."""
        uri = self.parsed
        return f"{uri.host}:{uri.port_for(self.transport)} over {self.transport.value}"

    def preference(self, place: int) -> int:
        """Return the local preference of what it gives, as the `place`th server in the list.

        UDP before TCP before TLS: the less there is between, the less it delays. The next lower one
        is free for a second address from the same server.
        """
        return 65535 - 256 * _RELAY_ORDER.index(self.transport) - 2 * min(place, 127)


ServerName: TypeAlias = "str | tuple[str, int]"
"""A STUN server: "stun:HOST[:PORT]", or host and port."""


def stun_uri(server: ServerName) -> StunUri:
    """Return the server as a URI. Raises: UsageError: it is none, or not over UDP."""
    if isinstance(server, str):
        uri = StunUri.parse(server)
    else:
        uri = StunUri(server[0], server[1], Transport.UDP)
    if uri.transport is not Transport.UDP:
        raise UsageError(f"{uri} says nothing about UDP", hint="Give a server over UDP")
    return uri


def host_addresses(
    network: Network, families: Sequence[Family], wanted: Callable[[str], bool] | None = None
) -> list[Interface]:
    """Return the addresses to gather host candidates on, best first within each family.

    Addresses that the internet is reached from come first. Left out are loopback, link-local and
    other addresses that no peer could reach (RFC 8445 §5.1.1.1), unless there is nothing else.

    Args: wanted: tells by its name whether an interface may be used, loopback included.
    """
    known = [i for i in network.interfaces() if _family(i.ip) in families]
    chosen = [i for i in known if wanted is None or wanted(i.name)]
    reachable = [i for i in chosen if _is_reachable(i.ip)]
    loopback = [i for i in chosen if _is_loopback(i.ip)]
    if wanted is None and reachable:
        loopback = []
    return _best_first(network, [*reachable, *loopback], families)


def relay_families(
    network: Network, families: Sequence[Family], wanted: Callable[[str], bool] | None = None
) -> tuple[Family, ...]:
    """Return what addresses to ask a TURN server for: of IPv6, too, where this host speaks it.

    Args: as of `host_addresses`.
    """
    if Family.IPV6 not in families:
        return (Family.IPV4,)
    found = host_addresses(network, (Family.IPV6,), wanted)
    speaks = any(wanted is not None or not _is_loopback(interface.ip) for interface in found)
    return (Family.IPV4, Family.IPV6) if speaks else (Family.IPV4,)


def _best_first(
    network: Network, found: Iterable[Interface], families: Sequence[Family]
) -> list[Interface]:
    outward = {network.source_for(_SOMEWHERE[family]) for family in families}
    return sorted(found, key=lambda interface: interface.ip not in outward)


def _family(ip: str) -> Family:
    return Family.IPV6 if ":" in ip else Family.IPV4


def _is_loopback(ip: str) -> bool:
    return ipaddress.ip_address(ip.partition("%")[0]).is_loopback


def _is_reachable(ip: str) -> bool:
    address = ipaddress.ip_address(ip.partition("%")[0])
    if address.is_loopback or address.is_link_local or address.is_multicast:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        return not (address.is_site_local or address.ipv4_mapped or address.is_unspecified)
    return not address.is_unspecified
