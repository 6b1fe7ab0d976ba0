"""`natkit.network.Network` on a simulated node."""

from __future__ import annotations

import asyncio
import contextvars
import ipaddress
from collections.abc import Callable
from typing import TypeVar

from natkit.errors import NetworkUnreachable, Unsupported, UsageError
from natkit.lab.sim.listener import SimListener
from natkit.lab.sim.node import WILDCARDS, Node, family_of
from natkit.lab.sim.packet import DEFAULT_TTL, Packet, Proto, Quote
from natkit.lab.sim.stream import SimStream, connect
from natkit.machine import Instant, Seconds
from natkit.network import DatagramReceiver, Family, IcmpError, Interface, StreamHandler, Tls
from natkit.wire import TransportAddress

T = TypeVar("T")


class SimDatagram:
    """A bound UDP socket. Its receiver is called from the event loop, never from within `send`."""

    def __init__(self, node: Node, receiver: DatagramReceiver, local: TransportAddress) -> None:
        self._node = node
        self._receiver = receiver
        self._closed = False
        self._context = contextvars.copy_context()
        self.local = node.bind(Proto.UDP, local, self)

    def send(self, data: bytes, destination: TransportAddress, *, ttl: int | None = None) -> None:
        """Send one datagram; without a route, or after `close`, it is dropped."""
        if self._closed:
            return
        source = self.local
        if source.ip in WILDCARDS.values():
            ip = self._node.source_for(destination.ip)
            if ip is None:
                return
            source = TransportAddress(ip, source.port)
        ttl = DEFAULT_TTL if ttl is None else ttl
        self._node.send(Packet(Proto.UDP, source, destination, bytes(data), ttl))

    def close(self) -> None:
        """Release the port."""
        if not self._closed:
            self._closed = True
            self._node.release(Proto.UDP, self.local)

    def arrived(self, packet: Packet) -> None:
        """Take a packet from the node."""
        self._call(self._datagram, packet.data, packet.src)

    def complained(self, quote: Quote, reporter: str) -> None:
        """Take an ICMP error from the node."""
        self._call(self._error, IcmpError(quote.kind, quote.code, quote.dst, reporter))

    def _call(self, call: Callable[..., None], *args: object) -> None:
        self._node.fabric.loop.call_soon(call, *args, context=self._context)

    def _datagram(self, data: bytes, source: TransportAddress) -> None:
        if not self._closed:
            self._receiver.datagram_received(data, source)

    def _error(self, error: IcmpError) -> None:
        if not self._closed:
            self._receiver.error_received(error)


class SimNetwork:
    """The network as one host or router sees it.

    Args:
        names: the names that resolve here, and their addresses.
    """

    def __init__(self, node: Node, names: dict[str, tuple[str, ...]]) -> None:
        self._node = node
        self._names = names

    def now(self) -> Instant:
        """Return the virtual time, seconds."""
        return self._node.fabric.now()

    async def sleep(self, delay: Seconds) -> None:
        """Let `delay` virtual seconds pass."""
        await asyncio.sleep(delay)

    async def open_datagram(
        self,
        receiver: DatagramReceiver,
        *,
        local: TransportAddress | None = None,
        family: Family = Family.IPV4,
        interface: str | None = None,
    ) -> SimDatagram:
        """Bind a UDP socket: see `Network.open_datagram`."""
        return self.bind(receiver, self._local(local, family, interface))

    def bind(self, receiver: DatagramReceiver, local: TransportAddress) -> SimDatagram:
        """Bind a UDP socket at once. Raises: NetworkUnreachable: see `Node.bind`."""
        return SimDatagram(self._node, receiver, local)

    def _local(
        self, local: TransportAddress | None, family: Family, interface: str | None
    ) -> TransportAddress:
        if interface is None:
            return local or TransportAddress(WILDCARDS[family], 0)
        if interface not in {i.name for i in self.interfaces()}:
            raise UsageError(f"{self._node.name} has no interface {interface!r}")
        if local is not None and local.ip not in WILDCARDS.values():
            return local
        family = family_of(local.ip) if local is not None else family
        port = local.port if local is not None else 0
        for candidate in self.interfaces():
            if candidate.name == interface and family_of(candidate.ip) is family:
                return TransportAddress(candidate.ip, port)
        raise NetworkUnreachable(f"{interface} has no IPv{family} address")

    async def open_stream(
        self,
        remote: TransportAddress,
        *,
        tls: Tls | None = None,
        local: TransportAddress | None = None,
        patience: Seconds = 5.0,
    ) -> SimStream:
        """Connect a TCP stream: see `Network.open_stream`. Raises: Unsupported: TLS was asked."""
        if tls is not None:
            raise Unsupported("the simulator speaks no TLS", why="it simulates TCP, not OpenSSL")
        source = self._node.source_for(remote.ip)
        if source is None:
            raise NetworkUnreachable(f"{self._node.name} has no route to {remote}")
        if local is None or local.ip in WILDCARDS.values():
            local = TransportAddress(source, local.port if local is not None else 0)
        if local.ip not in self._node.addresses:
            raise NetworkUnreachable(f"{self._node.name} cannot bind {local}")
        return await connect(self._node, local, remote, patience)

    async def listen_stream(
        self, handler: StreamHandler, *, local: TransportAddress, shared: bool = False
    ) -> SimListener:
        """Listen for TCP: see `Network.listen_stream`. Every port here is shared."""
        del shared
        return SimListener(self._node, handler, local)

    async def resolve(self, host: str, family: Family) -> tuple[str, ...]:
        """Return the addresses of a literal, or of a host or router of the topology."""
        return self.lookup(host, family)

    def lookup(self, host: str, family: Family) -> tuple[str, ...]:
        """Return what `resolve` returns, at once."""
        try:
            addresses: tuple[str, ...] = (str(ipaddress.ip_address(host)),)
        except ValueError:
            addresses = self._names.get(host, ())
        return tuple(a for a in addresses if family_of(a) is family)

    def interfaces(self) -> tuple[Interface, ...]:
        """Return lo, and eth0 of a host, or lan and wan of a router."""
        return self._node.interfaces

    def source_for(self, remote: TransportAddress) -> str | None:
        """Return the local IP that packets to `remote` leave from; None: no route."""
        return self._node.source_for(remote.ip)

    def gateways(self, family: Family) -> tuple[str, ...]:
        """Return the inside address of the segment's router; empty on the internet."""
        return self._node.gateways(family)

    async def in_thread(self, blocking: Callable[[], T]) -> T:
        """Raises: Unsupported: a thread would run on real time."""
        name = getattr(blocking, "__name__", "this")
        raise Unsupported(f"{name} cannot run in the simulator", why="a thread has a real clock")
