"""Which peers may be relayed to: addresses as they really are, and the list of those refused."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from natkit.errors import UsageError
from natkit.wire import TransportAddress
from natkit.wire.address import ip_bytes

IpNetwork: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
IpAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

DENIED = tuple(
    (ipaddress.ip_network(prefix), why)
    for prefix, why in (
        ("0.0.0.0/8", "this network (RFC 1122 §3.2.1.3)"),
        ("10.0.0.0/8", "private (RFC 1918)"),
        ("100.64.0.0/10", "carrier-grade NAT (RFC 6598)"),
        ("127.0.0.0/8", "loopback (RFC 1122 §3.2.1.3)"),
        ("169.254.0.0/16", "link-local, cloud metadata (RFC 3927)"),
        ("172.16.0.0/12", "private (RFC 1918)"),
        ("192.0.0.0/24", "IETF protocol assignments (RFC 6890)"),
        ("192.0.2.0/24", "documentation (RFC 5737)"),
        ("192.88.99.0/24", "6to4 relay anycast (RFC 7526)"),
        ("192.168.0.0/16", "private (RFC 1918)"),
        ("198.18.0.0/15", "benchmarking (RFC 2544)"),
        ("198.51.100.0/24", "documentation (RFC 5737)"),
        ("203.0.113.0/24", "documentation (RFC 5737)"),
        ("224.0.0.0/4", "multicast (RFC 5771)"),
        ("240.0.0.0/4", "reserved and broadcast (RFC 1112 §4)"),
        ("::/96", "unspecified, loopback, IPv4-compatible (RFC 4291 §2.5)"),
        ("::ffff:0:0/96", "IPv4-mapped (RFC 4291 §2.5.5.2)"),
        ("64:ff9b::/96", "NAT64 (RFC 6052)"),
        ("64:ff9b:1::/48", "local NAT64 (RFC 8215)"),
        ("100::/64", "discard-only (RFC 6666)"),
        ("2001::/23", "IETF protocol assignments, Teredo (RFC 2928)"),
        ("2001:db8::/32", "documentation (RFC 3849)"),
        ("2002::/16", "6to4 (RFC 3056)"),
        ("3fff::/20", "documentation (RFC 9637)"),
        ("5f00::/16", "segment routing (RFC 9602)"),
        ("fc00::/7", "unique local (RFC 4193)"),
        ("fe80::/10", "link-local (RFC 4291 §2.5.6)"),
        ("fec0::/10", "site-local (RFC 3879)"),
        ("ff00::/8", "multicast (RFC 4291 §2.7)"),
    )
)
"""What no relay on the internet has a reason to reach, with why."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_LOW_32 = 0xFFFFFFFF


def embedded_ipv4(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that an IPv6 one stands for; None: it stands for itself.

    RFC: 4291 §2.5.5 (mapped, compatible), 6052 §2.1 and 8215 (NAT64), 3056 §2 (6to4),
         4380 §4 (Teredo: the client behind it).
    """
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    if ip.sixtofour is not None:
        return ip.sixtofour
    if ip.teredo is not None:
        return ip.teredo[1]
    if int(ip) <= 1:  # "::" and "::1" are themselves
        return None
    if ip in _NAT64 or ip in _LOCAL_NAT64 or ip in _COMPATIBLE:
        return ipaddress.IPv4Address(int(ip) & _LOW_32)
    return None


class Prefixes:
    """Networks with something about each, found by the longest prefix that holds an address.

    One look-up for every length there is, so thousands of networks take no longer than a few.
    """

    def __init__(self, networks: Iterable[tuple[IpNetwork, str]]) -> None:
        """Of two equal networks the later counts."""
        by_length: dict[tuple[int, int], dict[int, str]] = {}
        for network, about in networks:
            shift = network.max_prefixlen - network.prefixlen
            same = by_length.setdefault((network.max_prefixlen, shift), {})
            same[int(network.network_address) >> shift] = about
        self._by_length = [(*length, found) for length, found in sorted(by_length.items())]

    def find(self, packed: bytes) -> str | None:
        """Return what was said about the network that an address, 4 or 16 bytes, is in."""
        bits, number = 8 * len(packed), int.from_bytes(packed, "big")
        for length, shift, found in self._by_length:
            if length == bits and (about := found.get(number >> shift)) is not None:
                return about
        return None


_DENIED = Prefixes((network, f"in {network}: {why}") for network, why in DENIED)


@dataclass(frozen=True, slots=True)
class PeerPolicy:
    """Decides whether a peer may be relayed to.

    On the IPs of its own relayed addresses, the ports of relayed addresses are admitted (two of
    this server's clients that call each other), and others only by `allow` (a media server on the
    same host). Elsewhere `allow` and `deny` decide, the longer prefix first and `deny` of two equal
    ones; then DENIED. An IPv6 address that stands for an IPv4 one must pass as itself and as the
    other, so 127.0.0.0/8 in `allow` opens exactly that.

    Attributes:
        allow:       networks opened although DENIED names them.
        deny:        networks refused besides.
        own:         addresses that this server's listeners, its metrics and the like are on; the
                     IP is never a wildcard.
        relayed:     IPs of its relayed addresses.
        relay_ports: ports of its relayed addresses.
    """

    allow: tuple[IpNetwork, ...] = ()
    deny: tuple[IpNetwork, ...] = ()
    own: frozenset[TransportAddress] = frozenset()
    relayed: frozenset[str] = frozenset()
    relay_ports: range = range(49152, 65536)
    _allowed: Prefixes = field(init=False, repr=False, compare=False)
    _decided: Prefixes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        allowed = [(network, "") for network in self.allow]
        denied = [(network, f"in {network}, denied here") for network in self.deny]
        object.__setattr__(self, "_allowed", Prefixes(allowed))
        object.__setattr__(self, "_decided", Prefixes([*allowed, *denied]))

    def refuses(self, peer: TransportAddress) -> str | None:
        """Return why `peer` may not be relayed to, for the log; None: it may."""
        return self.refuses_port(peer) or self.refuses_ip(peer.ip)

    def refuses_port(self, peer: TransportAddress) -> str | None:
        """Return why `peer` may not be relayed to although others at its IP may.

        This is quick: it is asked for every Send indication, whose permission shows that
        `refuses_ip` had nothing against the IP.
        """
        if peer.port == 0:
            return f"{peer} has no port"
        if peer in self.own:
            return f"{peer} is a listener of this server"
        if peer.ip not in self.relayed or peer.port in self.relay_ports:
            return None
        if self._allowed.find(ip_bytes(peer.ip)) is None:
            return f"{peer} is this server, but no relayed address"
        return self._refuses(peer.ip)

    def refuses_ip(self, ip: str) -> str | None:
        """Return why no peer at `ip` may be relayed to; None: some may. `refuses` is stricter."""
        return None if ip in self.relayed else self._refuses(ip)

    def _refuses(self, ip: str) -> str | None:
        packed = ip_bytes(ip)
        reason = self._verdict(packed)
        if not reason and len(packed) == 16:
            inner = embedded_ipv4(ipaddress.IPv6Address(packed))
            reason = None if inner is None else self._verdict(inner.packed)
        return f"{ip} is {reason}" if reason else None

    def _verdict(self, packed: bytes) -> str | None:
        """Return why an address is refused; empty or None: it is not."""
        decided = self._decided.find(packed)
        return _DENIED.find(packed) if decided is None else decided


def networks(texts: Iterable[str]) -> tuple[IpNetwork, ...]:
    """Return the networks that CIDR texts name. Raises: UsageError: one of them names none."""
    found = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError as cause:
            hint = "Write an address or a CIDR, for example 10.1.0.0/16"
            raise UsageError(f"{text} is no network", why=str(cause), hint=hint) from None
    return tuple(found)
