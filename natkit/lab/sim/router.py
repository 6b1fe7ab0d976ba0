"""A router: forwards between its inside and its outside segment, through its NAT and firewall.

The order of things is Linux's: a packet's time to live is counted and the firewall asked before
a mapping is made on the way out, and after it is undone on the way in.
"""

from __future__ import annotations

from natkit.lab.sim.fabric import Fabric, is_within
from natkit.lab.sim.firewall import FirewallState, Refusal
from natkit.lab.sim.nat import Translator, rewritten
from natkit.lab.sim.node import Node, family_of, interfaces_on
from natkit.lab.sim.packet import TIME_EXCEEDED, Packet, Proto, Quote
from natkit.lab.sim.trace import Direction
from natkit.lab.topology import Firewall, Hairpin, Link, Router
from natkit.network import Family
from natkit.wire import TransportAddress


class RouterNode(Node):
    """A router; programs can run on it as on a host, reachable from inside only."""

    def __init__(self, router: Router, fabric: Fabric) -> None:
        topology = fabric.topology
        lan = interfaces_on("lan", topology.segment(router.inside), router.inside_addresses)
        wan = interfaces_on("wan", topology.segment(router.outside), router.outside_addresses)
        super().__init__(router.name, lan + wan, fabric)
        self._router = router
        self.nat = self._translator()
        self._external_ips = frozenset(self.nat.addresses if self.nat is not None else ())
        self._firewall = FirewallState(router.firewall)
        self._own = FirewallState(Firewall(stateful=True))
        self._inside = fabric.attach(
            router.name, router.inside, router.inside_addresses, Link(latency=0), self.from_inside
        )
        outside_addresses = (*router.outside_addresses, *self._external_ips)
        self._outside = fabric.attach(
            router.name, router.outside, outside_addresses, router.link, self.from_outside
        )

    def _translator(self) -> Translator | None:
        router, fabric = self._router, self.fabric
        if router.nat is None:
            return None
        outside = next(a for a in router.outside_addresses if ":" not in a)
        rng = fabric.rng(f"nat/{router.name}")
        return Translator(router.nat, outside, fabric.ipv4_on(router.inside), rng)

    # As a node of its own.

    def source_for(self, ip: str) -> str | None:
        if ip in self.addresses:
            return ip
        inwards = self._leads_inwards(ip)
        ours = self._router.inside_addresses if inwards else self._router.outside_addresses
        return next((a for a in ours if family_of(a) is family_of(ip)), None)

    def gateways(self, family: Family) -> tuple[str, ...]:
        uplink = self.fabric.topology.uplink(self._router.outside)
        if uplink is None:
            return ()
        return tuple(a for a in uplink.inside_addresses if family_of(a) is family)

    def forward(self, packet: Packet) -> None:
        if self._leads_inwards(packet.dst.ip):
            self.fabric.transmit(packet, self._inside, self._router.inside)
            return
        self._own.note(packet.proto, packet.src, packet.dst, now=self.fabric.now())
        self.fabric.transmit(packet, self._outside, self._router.outside)

    def _leads_inwards(self, ip: str) -> bool:
        if is_within(self.fabric.topology.segment(self._router.inside), ip):
            return True
        hop = self.fabric.next_hop(self._router.inside, ip)
        return hop is not None and hop is not self._inside

    # From inside.

    def from_inside(self, packet: Packet) -> None:
        """Take a packet that came in through the inside interface."""
        if self.nat is not None and packet.dst.ip in self._external_ips:
            self._turn_back(self.nat, packet)
        elif packet.dst.ip in self.addresses:
            self.deliver(packet)
        elif packet.ttl <= 1:
            self._expire(packet, Direction.OUTWARDS, self._router.inside_addresses)
        elif not self._firewall.allows_out(packet.proto, packet.dst):
            self._drop(packet, Direction.OUTWARDS, Refusal.POLICY)
        else:
            self._out(packet)

    def _out(self, packet: Packet) -> None:
        self._firewall.note(packet.proto, packet.src, packet.dst, now=self.fabric.now())
        leaving = packet
        if self.nat is not None and ":" not in packet.dst.ip:
            mapped = self._mapped(self.nat, packet)
            if isinstance(mapped, Refusal):
                self._drop(packet, Direction.OUTWARDS, mapped)
                return
            leaving = mapped
        if self.fabric.observers:
            verdict = f"source {packet.src} becomes {leaving.src}"
            self._show(leaving, Direction.OUTWARDS, verdict if leaving is not packet else "routed")
        self.fabric.transmit(leaving.aged(), self._outside, self._router.outside)

    def _mapped(self, nat: Translator, packet: Packet) -> Packet | Refusal:
        now = self.fabric.now()
        if packet.quote is not None:
            return self._mapped_error(nat, packet, packet.quote)
        external = nat.outbound(packet.proto, packet.src, packet.dst, now=now)
        if isinstance(external, Refusal):
            return external
        real = nat.destination_outside(packet.proto, packet.src, packet.dst)
        leaving = packet.between(external, real)
        if nat.config.rewrites_payload:
            data = rewritten(packet.data, packet.src.ip, external.ip)
            leaving = leaving._replace(data=data)
        return leaving

    def _mapped_error(self, nat: Translator, packet: Packet, quote: Quote) -> Packet | Refusal:
        """Translate an ICMP error that a host inside sends about a packet from outside."""
        now = self.fabric.now()
        external = nat.quoted_outbound(quote.proto, quote.dst, quote.src, now=now)
        if external is None:
            return Refusal.UNSOLICITED
        leaving = packet.between(TransportAddress(external.ip, 0), packet.dst)
        return leaving._replace(quote=quote._replace(dst=external))

    def _turn_back(self, nat: Translator, packet: Packet) -> None:
        """Send a packet from inside to an external address back inside (RFC 4787 §6)."""
        if nat.config.hairpin is Hairpin.NONE or packet.quote is not None:
            self.deliver(packet)
            return
        now = self.fabric.now()
        source: TransportAddress | Refusal = packet.src
        if nat.config.hairpin is Hairpin.EXTERNAL_SOURCE:
            source = nat.outbound(packet.proto, packet.src, packet.dst, now=now)
        if isinstance(source, Refusal):
            self._drop(packet, Direction.HAIRPIN, source)
            return
        target = nat.hairpin(packet.proto, packet.dst, source, now=now)
        if target is None:
            self.deliver(packet)  # nobody's mapping, so it is for the router itself
            return
        turned = packet.between(source, target)
        self._show(turned, Direction.HAIRPIN, f"turned back, source {packet.src} is {source}")
        self.fabric.transmit(turned.aged(), self._inside, self._router.inside)

    # From outside.

    def from_outside(self, packet: Packet) -> None:
        """Take a packet that came in through the outside interface."""
        if packet.dst.ip in self._external_ips and self.nat is not None:
            self._undo(self.nat, packet)
        elif packet.dst.ip in self.addresses:
            self._deliver_if_asked(packet, Refusal.UNSOLICITED)
        else:
            self._in(packet, packet)

    def _undo(self, nat: Translator, packet: Packet) -> None:
        now = self.fabric.now()
        if packet.quote is not None:
            self._undo_error(nat, packet, packet.quote)
            return
        inside = nat.inbound(packet.proto, packet.dst, packet.src, now=now)
        if isinstance(inside, Refusal):
            self._deliver_if_asked(packet, inside)
            return
        source = nat.source_inside(packet.proto, inside, packet.dst, packet.src, now=now)
        entering = packet.between(source, inside)
        if nat.config.rewrites_payload:
            data = rewritten(packet.data, packet.dst.ip, inside.ip)
            entering = entering._replace(data=data)
        self._in(packet, entering)

    def _undo_error(self, nat: Translator, packet: Packet, quote: Quote) -> None:
        """Translate an ICMP error about a packet that went out through this NAT."""
        inside = nat.quoted_inbound(quote.proto, quote.src, quote.dst, now=self.fabric.now())
        if inside is None:
            self._deliver_if_asked(packet, Refusal.UNSOLICITED)
            return
        entering = packet.between(packet.src, TransportAddress(inside.ip, 0))
        self._in(packet, entering._replace(quote=quote._replace(src=inside)))

    def _deliver_if_asked(self, packet: Packet, otherwise: Refusal) -> None:
        """Take a packet for the router itself, if one of its own sockets asked for it."""
        asked = self._own.admits(*_inside_flow(packet), now=self.fabric.now())
        if packet.dst.ip in self.addresses and asked:
            self.deliver(packet)
        else:
            self._drop(packet, Direction.INWARDS, otherwise)

    def _in(self, packet: Packet, entering: Packet) -> None:
        """Forward inwards. `packet` is it as it came, `entering` is it with the NAT undone."""
        if packet.ttl <= 1:
            self._expire(packet, Direction.INWARDS, self._router.outside_addresses)
            return
        if not self._admits(entering):
            self._drop(packet, Direction.INWARDS, Refusal.FILTERED)
            return
        if self.fabric.observers:
            verdict = f"destination {packet.dst} becomes {entering.dst}"
            self._show(entering, Direction.INWARDS, verdict if entering is not packet else "routed")
        self.fabric.transmit(entering.aged(), self._inside, self._router.inside)

    def _admits(self, packet: Packet) -> bool:
        return self._firewall.admits(*_inside_flow(packet), now=self.fabric.now())

    # Endings.

    def _expire(self, packet: Packet, direction: Direction, ours: tuple[str, ...]) -> None:
        self._show(packet, direction, "dropped: time to live exceeded")
        reporter = next((a for a in ours if family_of(a) is family_of(packet.dst.ip)), None)
        if reporter is not None:
            kind, code = TIME_EXCEEDED[packet.dst.is_ipv6]
            self.report(packet, kind, code, reporter)

    def _drop(self, packet: Packet, direction: Direction, why: Refusal) -> None:
        self._show(packet, direction, why.value)

    def _show(self, packet: Packet, direction: Direction, verdict: str) -> None:
        self.fabric.observe(self.name, direction, packet, verdict)


def _inside_flow(packet: Packet) -> tuple[Proto, TransportAddress, TransportAddress]:
    """Return the protocol, inside end and remote end that a packet coming in belongs to.

    An ICMP error belongs to the packet that it quotes, which went the other way.
    """
    if packet.quote is not None:
        return packet.quote.proto, packet.quote.src, packet.quote.dst
    return packet.proto, packet.dst, packet.src
