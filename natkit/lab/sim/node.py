"""A node's own end of the network: its addresses, its bound ports, and what it answers itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from natkit.errors import NetworkUnreachable
from natkit.lab.sim.fabric import Attachment, Fabric, is_within
from natkit.lab.sim.packet import (
    UNREACHABLE_PORT,
    Flags,
    Packet,
    Proto,
    Quote,
    TcpHeader,
    icmp_error,
)
from natkit.lab.sim.trace import Direction
from natkit.lab.topology import Host, Segment
from natkit.network import Family, Interface
from natkit.wire import TransportAddress

EPHEMERAL_PORTS = range(32768, 61000)
"""Linux's default net.ipv4.ip_local_port_range, bounds included."""

WILDCARDS = {Family.IPV4: "0.0.0.0", Family.IPV6: "::"}


class Socket(Protocol):
    """What is bound to a port."""

    def arrived(self, packet: Packet) -> None:
        """Take a packet for this port."""

    def complained(self, quote: Quote, reporter: str) -> None:
        """Take an ICMP error about a packet from this port."""


def family_of(ip: str) -> Family:
    """Return the IP version of an address in text form."""
    return Family.IPV6 if ":" in ip else Family.IPV4


def interfaces_on(name: str, segment: Segment, addresses: tuple[str, ...]) -> tuple[Interface, ...]:
    """Return an interface `name` with `addresses`, with the segment's prefix lengths."""
    return tuple(Interface(name, ip, _prefix_length(segment, ip)) for ip in addresses)


def _prefix_length(segment: Segment, ip: str) -> int:
    prefix = segment.ipv6 if ":" in ip else segment.ipv4
    return int((prefix or "/0").partition("/")[2])


class Node(ABC):
    """A host or router as its own programs see it: a place to bind ports and to send from."""

    def __init__(self, name: str, interfaces: tuple[Interface, ...], fabric: Fabric) -> None:
        loopback = Interface("lo", "127.0.0.1", 8), Interface("lo", "::1", 128)
        self.name = name
        self.interfaces = (*loopback, *interfaces)
        self.fabric = fabric
        self.addresses = frozenset(i.ip for i in self.interfaces)
        self._sockets: dict[tuple[Proto, str, int], Socket] = {}
        self._connections: dict[tuple[TransportAddress, TransportAddress], Socket] = {}
        self._rng = fabric.rng(f"ports/{name}")
        self._used: set[tuple[Proto, int]] = set()

    def bind(self, proto: Proto, local: TransportAddress, socket: Socket) -> TransportAddress:
        """Bind `socket`; port 0 takes a random ephemeral one that was not used before.

        Raises: NetworkUnreachable: not an address of this node, or the port is taken.
        """
        wildcard = local.ip in WILDCARDS.values()
        if not wildcard and local.ip not in self.addresses:
            raise NetworkUnreachable(f"{self.name} cannot bind {local}", why="not its address")
        port = local.port or self.ephemeral(proto)
        if self._is_bound(proto, local.ip, port):
            raise NetworkUnreachable(f"{self.name} cannot bind {local}", why="the port is in use")
        self._sockets[proto, local.ip, port] = socket
        return TransportAddress(local.ip, port)

    def release(self, proto: Proto, local: TransportAddress) -> None:
        """Free a bound port."""
        self._sockets.pop((proto, *local), None)

    def _is_bound(self, proto: Proto, ip: str, port: int) -> bool:
        wildcard = WILDCARDS[family_of(ip)]
        if ip != wildcard:
            return (proto, ip, port) in self._sockets or (proto, wildcard, port) in self._sockets
        return any(
            (proto, port) == (p, n) and family_of(ip) == family_of(address)
            for p, address, n in self._sockets
        )

    def join(self, local: TransportAddress, remote: TransportAddress, socket: Socket) -> None:
        """Give `socket` the TCP segments from `remote` to `local`.

        Raises: NetworkUnreachable: there is such a connection already.
        """
        if (local, remote) in self._connections:
            raise NetworkUnreachable(f"{local} is connected to {remote} already")
        self._connections[local, remote] = socket

    def leave(self, local: TransportAddress, remote: TransportAddress) -> None:
        """End what `join` began."""
        self._connections.pop((local, remote), None)

    def ephemeral(self, proto: Proto) -> int:
        """Return a random port that was not given before."""
        if len(self._used) > len(EPHEMERAL_PORTS) // 2:
            self._used = {(p, port) for p, _, port in self._sockets}
        while True:
            port = self._rng.choice(EPHEMERAL_PORTS)
            if (proto, port) not in self._used:
                self._used.add((proto, port))
                return port

    @abstractmethod
    def source_for(self, ip: str) -> str | None:
        """Return the local address that packets to `ip` leave from; None: no route."""

    @abstractmethod
    def gateways(self, family: Family) -> tuple[str, ...]:
        """Return the next hop of the default route."""

    @abstractmethod
    def forward(self, packet: Packet) -> None:
        """Put a packet of this node's own on the way."""

    def send(self, packet: Packet) -> None:
        """Send a packet from one of this node's sockets."""
        if not self.fabric.count():
            return
        if self.fabric.observers:
            self.fabric.observe(self.name, Direction.SENT, packet, "sent")
        if packet.dst.ip in self.addresses:
            self.fabric.loop.call_soon(self.deliver, packet)
        else:
            self.forward(packet)

    def deliver(self, packet: Packet) -> None:
        """Hand a packet that is for this node to the socket bound to its port."""
        if packet.quote is not None:
            self._complain(packet.quote, packet.src.ip)
            return
        socket = self._socket_at(packet.proto, packet.dst, packet.src)
        if socket is None:
            self.refuse(packet)
            return
        if self.fabric.observers:
            self.fabric.observe(self.name, Direction.RECEIVED, packet, "delivered")
        socket.arrived(packet)

    def _socket_at(
        self, proto: Proto, local: TransportAddress, remote: TransportAddress
    ) -> Socket | None:
        if proto is Proto.TCP and (local, remote) in self._connections:
            return self._connections[local, remote]
        socket = self._sockets.get((proto, local.ip, local.port))
        if socket is not None:
            return socket
        return self._sockets.get((proto, "::" if ":" in local.ip else "0.0.0.0", local.port))

    def _complain(self, quote: Quote, reporter: str) -> None:
        socket = self._socket_at(quote.proto, quote.src, quote.dst)
        if socket is not None:
            socket.complained(quote, reporter)

    def refuse(self, packet: Packet) -> None:
        """Answer what no socket wants: TCP with RST (RFC 9293 §3.10.7.1), UDP with ICMP."""
        self.fabric.observe(self.name, Direction.RECEIVED, packet, "dropped: the port is closed")
        if packet.tcp is not None:
            if packet.tcp.flags is not Flags.RST:
                self.send(Packet(Proto.TCP, packet.dst, packet.src, tcp=TcpHeader(Flags.RST)))
            return
        kind, code = UNREACHABLE_PORT[packet.dst.is_ipv6]
        self.report(packet, kind, code, packet.dst.ip)

    def report(self, about: Packet, kind: int, code: int, reporter: str) -> None:
        """Send an ICMP error about a packet to its source."""
        error = icmp_error(about, kind, code, reporter)
        if error is not None:
            self.send(error)


class HostNode(Node):
    """A host: one segment, default route through the segment's router."""

    def __init__(self, host: Host, fabric: Fabric) -> None:
        self._host = host
        segment = fabric.topology.segment(host.segment)
        super().__init__(host.name, interfaces_on("eth0", segment, host.addresses), fabric)
        self._plug: Attachment = fabric.attach(
            host.name, host.segment, host.addresses, host.link, self._arrive
        )

    def _arrive(self, packet: Packet) -> None:
        if packet.src.ip in self.addresses:  # systems do not believe packets from themselves
            verdict = "dropped: its source is this host itself"
            self.fabric.observe(self.name, Direction.RECEIVED, packet, verdict)
        else:
            self.deliver(packet)

    def source_for(self, ip: str) -> str | None:
        if ip in self.addresses:
            return ip
        segment = self.fabric.topology.segment(self._host.segment)
        if not is_within(segment, ip) and self.fabric.next_hop(segment.name, ip) is None:
            return None
        return next((a for a in self._host.addresses if family_of(a) is family_of(ip)), None)

    def gateways(self, family: Family) -> tuple[str, ...]:
        uplink = self.fabric.topology.uplink(self._host.segment)
        if uplink is None:
            return ()
        return tuple(a for a in uplink.inside_addresses if family_of(a) is family)

    def forward(self, packet: Packet) -> None:
        self.fabric.transmit(packet, self._plug, self._host.segment)
