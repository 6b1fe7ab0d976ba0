"""Count the NATs on the way out, from the hops, the gateway's address and the mapped address.

No observation counts NATs by itself; each gives a bound, and the bounds are put together:

- own address = mapped address: none. Otherwise: at least one.
- The gateway's outside address is private: it is translated again, so at least two. It is the
  mapped address: the gateway is the outermost, so exactly one. It is another public address: a
  second NAT, or a gateway with several lines.
- The gateway has no outside address to offer, although it forwards to the internet: it has one,
  but no public one. With a private hop behind it, at least two.
- A hop behind the first in 100.64.0.0/10, the space between a subscriber's router and a carrier's
  NAT (RFC 6598 §4): at least two.

Hops give no upper bound, not even a path shown up to the server. Networks behind a NAT are also
numbered from public space that is somebody else's, so an address does not tell inside from
outside; and a NAT in software that sends on from sockets of its own (virtual machines, containers
on desktops) sets the time to live anew, and hides every NAT behind it.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from itertools import takewhile

from natkit.nat.behaviour import Measured

_PRIVATE = tuple(
    map(
        ipaddress.ip_network,
        (
            "10.0.0.0/8",  # RFC 1918
            "172.16.0.0/12",
            "192.168.0.0/16",
            "192.0.0.0/29",  # 464XLAT's inside, RFC 7335
            "169.254.0.0/16",  # link-local, RFC 3927
            "fc00::/7",  # unique local, RFC 4193
            "fe80::/10",  # link-local, RFC 4291
        ),
    )
)
_SHARED = ipaddress.ip_network("100.64.0.0/10")


@dataclass(frozen=True, slots=True)
class Hop:
    """One hop on the way to a server.

    Attributes:
        distance: IP TTL at which it answered, from 1.
        reporter: the IP that said "time exceeded"; None: silence, shown as "*".
    """

    distance: int
    reporter: str | None

    def __str__(self) -> str:
        return f"{self.distance}: {self.reporter or '*'}"


@dataclass(frozen=True, slots=True)
class Trace:
    """The way to a server, as far as it showed itself.

    Attributes:
        hops:    routers from distance 1 up, silent ones included, the server not.
        arrived: distance at which the server itself answered; None: it did not.
        reason:  why hops are missing; None where nothing stood in the way.
    """

    hops: tuple[Hop, ...]
    arrived: int | None
    reason: str | None = None

    def __str__(self) -> str:
        last = () if self.arrived is None else (f"{self.arrived}: the server",)
        return ", ".join((*map(str, self.hops), *last)) or "no hop answered"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Everything that bears on the number of NATs.

    Attributes:
        own:      the IP that this host sends from; None: unknown.
        mapped:   the IP that a STUN server saw; None: unknown.
        wan:      (protocol, IP): outside addresses that the gateway named; None instead of an IP
                  where it answered that it has none to offer.
        trace:    the way to the STUN server.
    """

    own: str | None
    mapped: str | None
    wan: tuple[tuple[str, str | None], ...] = ()
    trace: Trace = Trace((), None, "not traced")


@dataclass(frozen=True, slots=True)
class NatLayers:
    """How many NATs stand between this host and the internet.

    Attributes:
        at_least:      lower bound.
        at_most:       upper bound; None: none is proven.
        carrier_grade: True: an address of 100.64.0.0/10 is on the way, which only carriers use.
    """

    at_least: int
    at_most: int | None
    carrier_grade: bool

    def __str__(self) -> str:
        if self.at_most is None:
            return f"at least {self.at_least}"
        if self.at_most == self.at_least:
            return str(self.at_least)
        return f"{self.at_least} to {self.at_most}"


def count_layers(seen: Surroundings) -> Measured[NatLayers]:
    """Return bounds on the number of NATs, with one line of evidence for each observation."""
    evidence = _evidence(seen)
    if seen.own is not None and seen.own == seen.mapped:
        layers = NatLayers(0, 0, is_shared(seen.own))
        return Measured.found(layers, "the mapped address is this host's own", *evidence)
    twice = _private_outside(seen)
    if twice is None and _gateway_is_outermost(seen):
        reason = "the gateway's outside address is the mapped one"
        return Measured.found(NatLayers(1, 1, _carrier_grade(seen)), reason, *evidence)
    twice = twice or _carrier_hop(seen) or _private_hop_behind_private_gateway(seen)
    if twice is not None:
        return Measured.found(NatLayers(2, None, _carrier_grade(seen)), twice, *evidence)
    if seen.own is None or seen.mapped is None:
        missing = "own address" if seen.own is None else "mapped address"
        return Measured.not_measured(f"the {missing} is not known", *evidence)
    return Measured.found(NatLayers(1, None, _carrier_grade(seen)), _reason(seen), *evidence)


_OF_THE_GATEWAY = ("NAT-PMP", "UPnP")
"""Protocols that name the gateway's own address. PCP may be passed on to the carrier's NAT
(RFC 7648), and then names an address beyond it."""


def is_private(ip: str) -> bool:
    """Return whether `ip` is of a private range, carriers' shared space not included."""
    address = ipaddress.ip_address(ip.partition("%")[0])
    return any(address in network for network in _PRIVATE)


def is_shared(ip: str) -> bool:
    """Return whether `ip` is of carriers' shared space, 100.64.0.0/10 (RFC 6598)."""
    return ipaddress.ip_address(ip.partition("%")[0]) in _SHARED


def _is_public(ip: str) -> bool:
    return not (is_private(ip) or is_shared(ip))


def _gateway_is_outermost(seen: Surroundings) -> bool:
    named = (ip for protocol, ip in seen.wan if protocol in _OF_THE_GATEWAY and ip is not None)
    return seen.mapped is not None and seen.mapped in named


def _private_outside(seen: Surroundings) -> str | None:
    for protocol, ip in seen.wan:
        if ip is not None and not _is_public(ip):
            return f"the gateway's own outside address is {ip} ({protocol}), which is not public"
    return None


def _carrier_hop(seen: Surroundings) -> str | None:
    if seen.own is not None and is_shared(seen.own):
        return None  # then the carrier's space begins at this host
    for hop in _beyond_gateway(seen.trace):
        if hop.reporter is not None and is_shared(hop.reporter):
            return f"hop {hop.distance} is {hop.reporter}, between a home router and a carrier NAT"
    return None


def _private_hop_behind_private_gateway(seen: Surroundings) -> str | None:
    beyond = [hop for hop in _beyond_gateway(seen.trace) if hop.reporter is not None]
    if not beyond or seen.mapped is None or all(ip is not None for _, ip in seen.wan):
        return None
    return f"the gateway has no public address to offer, and hop {beyond[0]} is private"


def _beyond_gateway(trace: Trace) -> tuple[Hop, ...]:
    return tuple(hop for hop in _inside(trace) if hop.distance > 1)


def _inside(trace: Trace) -> tuple[Hop, ...]:
    """Return the hops before the first that looks public."""
    return tuple(
        takewhile(lambda hop: not hop.reporter or not _is_public(hop.reporter), trace.hops)
    )


def _other_public_outside(seen: Surroundings) -> str | None:
    """Return the gateway's outside address where it is public and not the mapped one."""
    others = (ip for _, ip in seen.wan if ip is not None and _is_public(ip) and ip != seen.mapped)
    return next(others, None)


def _carrier_grade(seen: Surroundings) -> bool:
    addresses = [seen.own, *(ip for _, ip in seen.wan)]
    addresses += [hop.reporter for hop in _inside(seen.trace)]
    return any(ip is not None and is_shared(ip) for ip in addresses)


def _reason(seen: Surroundings) -> str:
    if (outside := _other_public_outside(seen)) is not None:
        return (
            f"the gateway's outside address {outside} is not the mapped one: "
            "a second NAT, or a gateway with several outside addresses"
        )
    return (
        "the mapped address is not this host's own; whether one NAT did it or more, nothing shows"
    )


def _evidence(seen: Surroundings) -> tuple[str, ...]:
    lines = [f"own address {seen.own or 'unknown'}, mapped address {seen.mapped or 'unknown'}"]
    lines += [f"{name}: the gateway's outside address is {ip or 'none'}" for name, ip in seen.wan]
    lines.append(f"hops: {seen.trace}")
    if seen.trace.reason is not None:
        lines.append(f"hops: {seen.trace.reason}")
    return tuple(lines)
