"""The seam: what natkit asks of a network, whatever it is made of.

Three networks stand behind it: the machine's real sockets (natkit.aio.network), sockets inside a
Linux network namespace (natkit.lab.netns) and the simulated internet (natkit.lab.sim). Tools take
a `Network` and cannot tell which one they were given.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol, TypeAlias, TypeVar

from natkit.machine import Instant, Seconds
from natkit.wire import TransportAddress

T = TypeVar("T")


class Family(IntEnum):
    """An IP version."""

    IPV4 = 4
    IPV6 = 6


@dataclass(frozen=True, slots=True)
class Interface:
    """An address that a local network interface has.

    Attributes:
        name:   the system's name for the interface ("eth0").
        ip:     the address in canonical text form, without a scope id.
        prefix: length of the on-link prefix, 0 .. 32 or 0 .. 128.
    """

    name: str
    ip: str
    prefix: int


@dataclass(frozen=True, slots=True)
class IcmpError:
    """An ICMP or ICMPv6 error that came back for something this endpoint sent.

    Attributes:
        kind:        ICMP type as on the wire (IPv4: 3 unreachable, 11 time exceeded;
                     IPv6: 1 unreachable, 3 time exceeded).
        code:        ICMP code as on the wire.
        destination: where the datagram was going.
        reporter:    IP of the router or host that complained; None where the system hides it.
        mtu:         bytes that fit, with "fragmentation needed" (IPv4: 3, 4) and "packet too big"
                     (IPv6: 2); None where nothing says it.
    """

    kind: int
    code: int
    destination: TransportAddress | None
    reporter: str | None
    mtu: int | None = None


class DatagramReceiver(Protocol):
    """What an endpoint calls back. Neither call may block or raise."""

    def datagram_received(self, data: bytes, source: TransportAddress) -> None:
        """A datagram came in."""

    def error_received(self, error: IcmpError) -> None:
        """The network reported that something sent did not arrive."""


class DatagramEndpoint(Protocol):
    """A bound UDP socket."""

    @property
    def local(self) -> TransportAddress:
        """The address it is bound to; the IP is the wildcard unless one was asked for."""

    def send(self, data: bytes, destination: TransportAddress, *, ttl: int | None = None) -> None:
        """Send one datagram, or drop it as a network would: never blocks, never raises."""

    def close(self) -> None:
        """Release the socket. Closing twice is harmless."""


class StreamEndpoint(Protocol):
    """A connected TCP (or TLS) stream."""

    @property
    def local(self) -> TransportAddress:
        """The local address of the connection."""

    @property
    def remote(self) -> TransportAddress:
        """The other end's address."""

    async def read(self, limit: int = 65536) -> bytes:
        """Return 1 .. `limit` bytes as they come, b"" at the end of the stream."""

    async def write(self, data: bytes) -> None:
        """Send all of `data`, waiting while the other end takes nothing."""

    async def close(self) -> None:
        """Close the stream. Closing twice is harmless."""


StreamHandler: TypeAlias = Callable[[StreamEndpoint], Awaitable[None]]
"""What serves one connection; the stream is closed when it returns."""


class StreamListener(Protocol):
    """A listening TCP socket."""

    @property
    def local(self) -> TransportAddress:
        """The address it listens on, with its real port."""

    def close(self) -> None:
        """Stop listening; connections that stand go on."""


@dataclass(frozen=True, slots=True)
class Tls:
    """How to secure a stream: the name the certificate must bear, and whom to believe.

    Attributes:
        server_name: host name for SNI and the certificate check.
        verify:      False accepts any certificate (a probe wants to know what is reachable).
        ca_file:     PEM file of extra trust anchors; None: the system's.
    """

    server_name: str
    verify: bool = True
    ca_file: str | None = None


class Network(Protocol):
    """A place to open sockets from: one host's view of the internet."""

    def now(self) -> Instant:
        """This network's clock: real seconds, or the simulator's."""

    async def sleep(self, delay: Seconds) -> None:
        """Wait by this network's clock."""

    async def open_datagram(
        self,
        receiver: DatagramReceiver,
        *,
        local: TransportAddress | None = None,
        family: Family = Family.IPV4,
        interface: str | None = None,
    ) -> DatagramEndpoint:
        """Bind a UDP socket.

        Args:
            local:     address to bind; None: wildcard and a random ephemeral port; port 0:
                       that address and a random ephemeral port.
            family:    IP version, where `local` does not say it.
            interface: bind to the addresses of this interface only.
        Raises:
            NetworkUnreachable: the address cannot be bound.
            UsageError:         no such interface.
        """

    async def open_stream(
        self,
        remote: TransportAddress,
        *,
        tls: Tls | None = None,
        local: TransportAddress | None = None,
        patience: Seconds = 5.0,
    ) -> StreamEndpoint:
        """Connect a TCP stream, with TLS on it where asked (address reuse is set on `local`).

        Args:
            patience: seconds to wait for the connection and the handshake together.
        Raises:
            NetworkUnreachable: refused, timed out, no route, or the TLS handshake failed.
        """

    async def listen_stream(
        self, handler: StreamHandler, *, local: TransportAddress, shared: bool = False
    ) -> StreamListener:
        """Run `handler(stream)` as a task for every TCP connection to `local`.

        Args:
            local:  port 0: a random one.
            shared: streams may be opened from `local`, too.
        Raises:
            NetworkUnreachable: the address cannot be bound.
        """

    async def resolve(self, host: str, family: Family) -> tuple[str, ...]:
        """Return the addresses of `host` (a name or a literal), best first; empty: it has none."""

    def interfaces(self) -> tuple[Interface, ...]:
        """Return every address of every interface that is up, loopback included."""

    def source_for(self, remote: TransportAddress) -> str | None:
        """Return the local IP that packets to `remote` leave from; None: no route."""

    def gateways(self, family: Family) -> tuple[str, ...]:
        """Return the next hops of the default routes, best first; empty where unknown."""

    async def in_thread(self, blocking: Callable[[], T]) -> T:
        """Run `blocking` in a thread that lives in this network.

        Raises:
            Unsupported: this network has no threads (the simulator).
        """
