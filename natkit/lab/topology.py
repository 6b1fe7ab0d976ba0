"""A network described once: segments, hosts, routers, NATs and links, as frozen values.

Nothing here runs. `natkit.lab.sim` and `natkit.lab.netns` each build a `World` from a `Topology`,
and the same scenario must give the same verdict in both.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, TypeVar

from natkit.errors import UsageError
from natkit.machine import Seconds
from natkit.nat.behaviour import Filtering, Mapping
from natkit.network import Network

T = TypeVar("T")


class PortPolicy(Enum):
    """How a NAT picks the external port of a new mapping (RFC 4787 §4.2)."""

    PRESERVING = "preserving"
    """The internal port where it is free, another one where it is not."""
    RANDOM = "random"
    """Any port of `Nat.port_range`."""
    SEQUENTIAL = "sequential"
    """The last one plus `Nat.port_step`, around `Nat.port_range`."""
    HASHED = "hashed"
    """A function of the mapping's key: the same flow gets the same port again."""


class Pooling(Enum):
    """Which address of `Nat.pool` a new mapping gets (RFC 4787 §4.1)."""

    PAIRED = "paired"
    """One external address for each internal address."""
    PER_DESTINATION = "per-destination"
    """By internal and remote address when a socket's first mapping is made; it keeps it."""
    ARBITRARY = "arbitrary"
    """Any address, for every mapping anew."""


class Hairpin(Enum):
    """What happens to a packet from inside to a mapping's external address (RFC 4787 §6)."""

    NONE = "none"
    EXTERNAL_SOURCE = "external-source"
    INTERNAL_SOURCE = "internal-source"


@dataclass(frozen=True, slots=True)
class Nat:
    """What a NAT does. Two axes, two parameters; the rest is numbering and limits.

    Attributes:
        port_range: inclusive bounds of the external ports it may give.
        port_step:  SEQUENTIAL: distance between two ports, may be negative.
        pool:       external addresses; empty: the router's own outside address.
        lifetime:   seconds a mapping lives after the last outbound packet.
        table_size: mappings it can hold at once; None: no limit. A new one is refused when full.
        one_to_one: every inside host has its own outside address, ports untouched: `pool` in the
                    order of the inside hosts.
        rewrites_payload: an ALG that rewrites its outside address inside payloads (it cannot
                    see XOR-MAPPED-ADDRESS, so MAPPED-ADDRESS is wrong and XOR is right).
    """

    mapping: Mapping = Mapping.ENDPOINT_INDEPENDENT
    filtering: Filtering = Filtering.ADDRESS_AND_PORT_DEPENDENT
    ports: PortPolicy = PortPolicy.PRESERVING
    port_range: tuple[int, int] = (1024, 65535)
    port_step: int = 1
    pool: tuple[str, ...] = ()
    pooling: Pooling = Pooling.PAIRED
    hairpin: Hairpin = Hairpin.NONE
    lifetime: Seconds = 120.0
    table_size: int | None = None
    one_to_one: bool = False
    rewrites_payload: bool = False


@dataclass(frozen=True, slots=True)
class Firewall:
    """What a router lets through, apart from NAT.

    Attributes:
        stateful:    drop what comes in unasked, by address and port (how an IPv6 home router
                     or an office without NAT behaves).
        udp_blocked: drop all forwarded UDP.
        tcp_ports:   destination ports that TCP may go out to; None: every port.
    """

    stateful: bool = False
    udp_blocked: bool = False
    tcp_ports: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """What happens to packets on a link, in each direction by itself.

    Attributes:
        latency:   one-way delay, seconds.
        jitter:    extra delay, uniform in 0 .. `jitter` seconds.
        loss:      probability 0 .. 1 that a packet is lost.
        reorder:   probability 0 .. 1 that a packet is held back by one more `latency`.
        duplicate: probability 0 .. 1 that a packet arrives twice.
        rate:      bits per second; None: no limit.

    Real namespaces keep loss and rate; this kernel family may lack netem, so delay, jitter,
    reordering and duplication are the simulator's alone.
    """

    latency: Seconds = 0.01
    jitter: Seconds = 0.0
    loss: float = 0.0
    reorder: float = 0.0
    duplicate: float = 0.0
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A network that hosts and routers attach to.

    Attributes:
        ipv4, ipv6: the on-link prefix of each family ("10.0.1.0/24"); None: not spoken here.
    """

    name: str
    ipv4: str | None
    ipv6: str | None = None


@dataclass(frozen=True, slots=True)
class Host:
    """A host on a segment.

    Attributes:
        addresses: its addresses, all inside the segment's prefixes; several are allowed.
        link:      between the host and its segment.
    """

    name: str
    segment: str
    addresses: tuple[str, ...]
    link: Link = Link(latency=0.0)


@dataclass(frozen=True, slots=True)
class Router:
    """A router between an inside and an outside segment, with or without NAT.

    It is a node like any other: a service (PCP, say) can run on it.

    Attributes:
        inside, outside:                     names of segments; defaults point outwards.
        inside_addresses, outside_addresses: one for each family spoken on that side.
        nat:      IPv4 NAT; None: it routes.
        firewall: for both families, after NAT.
        link:     between the router and its outside segment.
    """

    name: str
    inside: str
    outside: str
    inside_addresses: tuple[str, ...]
    outside_addresses: tuple[str, ...]
    nat: Nat | None = None
    firewall: Firewall = Firewall()
    link: Link = Link()


@dataclass(frozen=True, slots=True)
class Topology:
    """Segments joined into a tree whose root is the first segment (the internet).

    Raises (on creation): UsageError: a name twice, a name unknown, an address outside its
    segment, or a segment that no router leads out of.
    """

    segments: tuple[Segment, ...]
    hosts: tuple[Host, ...]
    routers: tuple[Router, ...] = field(default=())

    def __post_init__(self) -> None:
        _unique([s.name for s in self.segments])
        _unique([h.name for h in self.hosts] + [r.name for r in self.routers])
        for host in self.hosts:
            self._check_addresses(host.name, host.segment, host.addresses)
        for router in self.routers:
            self._check_addresses(router.name, router.inside, router.inside_addresses)
            self._check_addresses(router.name, router.outside, router.outside_addresses)
        inside = {router.inside for router in self.routers}
        for segment in self.segments[1:]:
            if segment.name not in inside:
                raise UsageError(f"no router leads out of segment {segment.name!r}")

    def _check_addresses(self, node: str, segment: str, addresses: tuple[str, ...]) -> None:
        known = self.segment(segment)
        prefixes = [ipaddress.ip_network(p) for p in (known.ipv4, known.ipv6) if p is not None]
        for address in addresses:
            ip = ipaddress.ip_address(address)
            if not any(ip in prefix for prefix in prefixes):
                raise UsageError(f"{node}: {address} is outside segment {segment!r}")

    def segment(self, name: str) -> Segment:
        """Return the segment of that name. Raises: UsageError: there is none."""
        for segment in self.segments:
            if segment.name == name:
                return segment
        raise UsageError(f"no segment is called {name!r}")

    def uplink(self, segment: str) -> Router | None:
        """Return the router that leads out of `segment`; None for the root."""
        return next((r for r in self.routers if r.inside == segment), None)


def _unique(names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two things are called {name!r}")


class World(Protocol):
    """A topology that runs. Both backends offer

        run(topology, main, *, seed) -> T

    which builds the world, awaits `main(world)` in it, and takes it down again.
    """

    @property
    def topology(self) -> Topology:
        """What was built."""

    def network(self, node: str) -> Network:
        """Return the network as the host or router `node` sees it. Raises: UsageError."""

    def as_host(self, node: str) -> AbstractContextManager[None]:
        """Open the sockets of asyncio code inside this block on `node`, its tasks' too."""


Main = Callable[[World], Awaitable[T]]
"""What runs in a world."""
