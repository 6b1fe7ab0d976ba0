"""The part of asyncio that opens sockets, on the simulated network.

Code that was written for real sockets and uses `create_datagram_endpoint`, `getaddrinfo` or
`gethostbyname` through the loop runs unchanged. Which host it runs on is a context variable
(`SimWorld.as_host`), so that it follows tasks and callbacks.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, TypeVar

from natkit.errors import NatkitError, Unsupported, UsageError
from natkit.lab.here import network_here
from natkit.lab.sim.loop import VirtualLoop
from natkit.lab.sim.network import SimDatagram, SimNetwork
from natkit.network import Family, IcmpError
from natkit.wire import TransportAddress

T = TypeVar("T")
SocketName = tuple[str, int] | tuple[str, int, int, int]


def current_network() -> SimNetwork:
    """Return the network that this context opens sockets on. Raises: UsageError: none is set."""
    network = network_here()
    if not isinstance(network, SimNetwork):
        raise UsageError(
            "this code runs on no simulated host",
            hint='wrap it in `with world.as_host("alice"):` or `await world.on("alice", …)`',
        )
    return network


def socket_name(address: TransportAddress) -> SocketName:
    """Return the address as sockets give it: two parts for IPv4, four for IPv6."""
    return (address.ip, address.port, 0, 0) if address.is_ipv6 else (address.ip, address.port)


class SimTransport(asyncio.DatagramTransport):
    """asyncio's view of a simulated UDP socket."""

    def __init__(
        self,
        network: SimNetwork,
        protocol: asyncio.DatagramProtocol,
        local: TransportAddress,
        remote: TransportAddress | None,
    ) -> None:
        self._endpoint: SimDatagram = network.bind(self, local)
        names = {"sockname": socket_name(self._endpoint.local)}
        if remote is not None:
            names["peername"] = socket_name(remote)
        super().__init__(names)
        self._protocol = protocol
        self._remote = remote
        self._closing = False

    def sendto(self, data: bytes | bytearray | memoryview, addr: Any = None) -> None:
        """Send one datagram to `addr`, or to the remote address of a connected socket."""
        if self._remote is not None:
            if addr not in (None, socket_name(self._remote)):
                raise ValueError(f"connected to {self._remote}, cannot send to {addr}")
            self._endpoint.send(bytes(data), self._remote)
        else:
            self._endpoint.send(bytes(data), TransportAddress(addr[0], addr[1]))

    def datagram_received(self, data: bytes, source: TransportAddress) -> None:
        """Hand a datagram on; a connected socket sees those of its remote address alone."""
        if self._remote in (None, source):
            self._protocol.datagram_received(data, socket_name(source))

    def error_received(self, error: IcmpError) -> None:
        """Hand an ICMP error on, to a connected socket alone, as systems do."""
        if self._remote is not None and error.destination == self._remote:
            self._protocol.error_received(ConnectionRefusedError(f"{self._remote} refused"))

    def is_closing(self) -> bool:
        """True after `close`."""
        return self._closing

    def close(self) -> None:
        """Release the port; the protocol hears of it a moment later."""
        if not self._closing:
            self._closing = True
            self._endpoint.close()
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    abort = close


class SocketLoop(VirtualLoop):
    """A virtual loop whose sockets are simulated."""

    async def create_datagram_endpoint(  # type: ignore[override]  # narrower: no real sockets
        self,
        protocol_factory: Callable[[], asyncio.DatagramProtocol],
        local_addr: tuple[str, int] | None = None,
        remote_addr: tuple[str, int] | None = None,
        *,
        family: int = 0,
        sock: socket.socket | None = None,
        **_options: Any,
    ) -> tuple[SimTransport, asyncio.DatagramProtocol]:
        """Open a UDP socket on the current host.

        Raises: Unsupported: a real socket was passed.
                OSError: the address cannot be bound, or has no such name.
        """
        if sock is not None:
            raise Unsupported("a real socket cannot be used in the simulator")
        network = current_network()
        remote = None if remote_addr is None else _address(network, remote_addr, family)
        local = _local(network, local_addr, remote, family)
        protocol = protocol_factory()
        try:
            transport = SimTransport(network, protocol, local, remote)
        except NatkitError as error:
            raise OSError(str(error)) from error
        self.call_soon(protocol.connection_made, transport)
        await asyncio.sleep(0)
        return transport, protocol

    async def getaddrinfo(
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        **_options: Any,
    ) -> list[Any]:
        """Resolve names of the topology. Raises: socket.gaierror: there is no such name."""
        found = [
            (info_family, type, proto, "", socket_name(address))
            for info_family, address in _addresses(current_network(), (host, port), family)
        ]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, f"no simulated node is called {host!r}")
        return found

    def run_in_executor(  # type: ignore[override]  # at once: there are no threads here
        self, _executor: object, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Call `func` at once and return it as done: a thread would run on real time."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(
                _gethostbyname(*args) if func is socket.gethostbyname else func(*args)
            )
        except Exception as error:
            future.set_exception(error)
        return future


def _gethostbyname(host: str) -> Any:
    addresses = current_network().lookup(host, Family.IPV4)
    if not addresses:
        raise socket.gaierror(socket.EAI_NONAME, f"no simulated node is called {host!r}")
    return addresses[0]


def _addresses(
    network: SimNetwork, address: tuple[str, int], family: int
) -> list[tuple[socket.AddressFamily, TransportAddress]]:
    """Return every address of a name, IPv4 before IPv6."""
    host, port = address[0], address[1]
    families = ((socket.AF_INET, Family.IPV4), (socket.AF_INET6, Family.IPV6))
    return [
        (system_family, TransportAddress(ip, port))
        for system_family, ip_version in families
        if family in (0, system_family)
        for ip in network.lookup(host, ip_version)
    ]


def _address(network: SimNetwork, address: tuple[str, int], family: int) -> TransportAddress:
    found = _addresses(network, address, family)
    if not found:
        raise socket.gaierror(socket.EAI_NONAME, f"no simulated node is called {address[0]!r}")
    return found[0][1]


def _local(
    network: SimNetwork,
    local: tuple[str, int] | None,
    remote: TransportAddress | None,
    family: int,
) -> TransportAddress:
    """Return what to bind: as asked, or what a connected socket leaves from, or the wildcard."""
    if local is not None:
        return _address(network, local, family)
    if remote is None:
        return TransportAddress("::" if family == socket.AF_INET6 else "0.0.0.0", 0)
    source = network.source_for(remote)
    if source is None:
        raise OSError(f"no route to {remote}")
    return TransportAddress(source, 0)
