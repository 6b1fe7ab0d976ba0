"""The segments and links between the nodes: who is next for an address, and when it gets there."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import lru_cache
from random import Random
from typing import NamedTuple

from natkit.errors import NatkitError
from natkit.lab.sim.channel import Channel
from natkit.lab.sim.loop import Schedule, VirtualLoop
from natkit.lab.sim.packet import Packet
from natkit.lab.sim.trace import Direction, Observer, record
from natkit.lab.topology import Link, Router, Segment, Topology
from natkit.machine import Instant

BROADCAST = "255.255.255.255"

Arrive = Callable[[Packet], None]


class Attachment(NamedTuple):
    """Where a node is plugged into a segment.

    Attributes:
        node:    its name.
        up:      towards the segment.
        down:    towards the node.
        arrive:  the node's way to take a packet here.
    """

    node: str
    up: Channel
    down: Channel
    arrive: Arrive


class Fabric:
    """Carries packets between attachments on the loop's virtual clock, and shows them to observers.

    Args:
        max_packets: how many packets nodes may send before the run ends with an error.
        seed:        every link gets random numbers of its own from it.
    """

    def __init__(
        self, topology: Topology, loop: VirtualLoop, *, seed: int, max_packets: int
    ) -> None:
        self.topology = topology
        self.loop = loop
        self.schedule = Schedule(loop)
        self.observers: list[Observer] = []
        self.packets = 0
        self._seed = seed
        self._max_packets = max_packets
        self._on_segment: dict[str, dict[str, Attachment]] = {s.name: {} for s in topology.segments}
        self._next_hops: dict[tuple[str, str], Attachment | None] = {}

    def now(self) -> Instant:
        """Return the virtual time, seconds."""
        return self.loop.time()

    def rng(self, purpose: str) -> Random:
        """Return random numbers that depend on the seed and `purpose` alone."""
        return Random(f"{self._seed}/{purpose}")

    def ipv4_on(self, segment: str) -> tuple[str, ...]:
        """Return the IPv4 addresses on `segment` in topology order, its uplink's left out."""
        topology = self.topology
        hosts = (a for h in topology.hosts if h.segment == segment for a in h.addresses)
        routers = (a for r in topology.routers if r.outside == segment for a in r.outside_addresses)
        return tuple(a for a in (*hosts, *routers) if ":" not in a)

    def attach(
        self, node: str, segment: str, addresses: tuple[str, ...], link: Link, arrive: Arrive
    ) -> Attachment:
        """Plug `node` into `segment` through `link`, answering for `addresses`."""
        up = Channel(link, self.rng(f"link/{node}/{segment}/up"))
        down = Channel(link, self.rng(f"link/{node}/{segment}/down"))
        attachment = Attachment(node, up, down, arrive)
        self._on_segment[segment].update(dict.fromkeys(addresses, attachment))
        return attachment

    def count(self) -> bool:
        """Count a packet that a node sends; False when the ceiling is reached."""
        self.packets += 1
        if self.packets > self._max_packets:
            self.loop.fail(
                NatkitError(
                    f"the simulation would pass {self._max_packets} packets",
                    hint="look for two nodes that answer each other, or raise max_packets",
                )
            )
            return False
        return True

    def observe(self, node: str, direction: Direction, packet: Packet, verdict: str) -> None:
        """Show a step to the observers."""
        if self.observers:
            step = record(self.now(), node, direction, packet, verdict)
            for observer in self.observers:
                observer(step)

    def transmit(self, packet: Packet, source: Attachment, segment: str) -> None:
        """Send `packet` from `source` into `segment`, to whoever is next for its destination."""
        now = self.loop.time()
        arrivals = source.up.arrivals(packet.size, now=now)
        if not arrivals:
            self.observe(source.node, Direction.SENT, packet, "dropped: lost on the link")
        for at in arrivals:
            if at <= now:
                self._switch(packet, source, segment)
            else:
                self.schedule.at(at, self._switch, packet, source, segment)

    def _switch(self, packet: Packet, source: Attachment, segment: str) -> None:
        target = self.next_hop(segment, packet.dst.ip)
        if target is None or target is source:
            self.observe(source.node, Direction.SENT, packet, "dropped: nobody has this address")
            return
        now = self.loop.time()
        arrivals = target.down.arrivals(packet.size, now=now)
        if not arrivals:
            self.observe(target.node, Direction.RECEIVED, packet, "dropped: lost on the link")
        for at in arrivals:
            if at <= now:
                target.arrive(packet)
            else:
                self.schedule.at(at, target.arrive, packet)

    def next_hop(self, segment: str, ip: str) -> Attachment | None:
        """Return who on `segment` takes packets for `ip`; None: nobody."""
        try:
            return self._next_hops[segment, ip]
        except KeyError:
            hop = self._next_hops[segment, ip] = self._find_hop(self.topology.segment(segment), ip)
            return hop

    def _find_hop(self, segment: Segment, ip: str) -> Attachment | None:
        here = self._on_segment[segment.name]
        if ip in here:
            return here[ip]
        if is_within(segment, ip) or ip == BROADCAST or ipaddress.ip_address(ip).is_multicast:
            return None
        for router in self.topology.routers:
            if router.outside == segment.name and self.is_behind(router, ip):
                return here[router.outside_addresses[0]]
        uplink = self.topology.uplink(segment.name)
        return here[uplink.inside_addresses[0]] if uplink is not None else None

    def is_behind(self, router: Router, ip: str) -> bool:
        """Tell whether `ip` is inside of `router` and visible from its outside (so not NATed)."""
        if router.nat is not None and ":" not in ip:
            return False
        if is_within(self.topology.segment(router.inside), ip):
            return True
        deeper = (r for r in self.topology.routers if r.outside == router.inside)
        return any(self.is_behind(r, ip) for r in deeper)


@lru_cache(maxsize=4096)
def is_within(segment: Segment, ip: str) -> bool:
    """Tell whether `ip` is in one of the segment's prefixes."""
    prefix = segment.ipv6 if ":" in ip else segment.ipv4
    return prefix is not None and ipaddress.ip_address(ip) in ipaddress.ip_network(prefix)
