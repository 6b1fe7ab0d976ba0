"""Relayed addresses: which port of which of the server's addresses, and the socket on it.

The port is drawn at random out of those that are free (RFC 8656 §7.2 asks for unpredictable ones,
RFC 6056), and goes back when its allocation has ended.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from natkit.aio import errqueue
from natkit.dataplane.sockaddr import to_socket
from natkit.errors import NatkitError
from natkit.network import Family
from natkit.turn.forwarding import Relaying
from natkit.wire import TransportAddress

_TRIES = 64
"""Ports drawn before giving up: other programs may use some, hardly ever most."""

_BUFFER = 1 << 20  # bytes; the default overflows when several key frames come at once
_BACKLOG = 16  # peers' connections that wait for the event loop's next turn (RFC 6062 §5.3)

_NON_BLOCKING: int = getattr(socket, "SOCK_NONBLOCK", 0)
"""Said with the kind of a new socket, it saves a system call; 0: it cannot be said here."""


class PortsExhausted(NatkitError):
    """No port is free, or none could be bound."""


@dataclass(frozen=True, slots=True)
class RelayAddress:
    """One of the server's addresses to relay from.

    Attributes:
        ip:         the local address that is bound.
        advertised: what clients and peers know it by: another one behind a 1:1 NAT.
        told:       somebody said so, rather than that it is the default.
    """

    ip: str
    advertised: str
    told: bool = False

    @property
    def family(self) -> Family:
        """Its IP version."""
        return Family.IPV6 if ":" in self.ip else Family.IPV4


@dataclass(slots=True)
class OpenRelaySocket:
    """A bound socket.

    Attributes:
        relayed: the advertised address.
        local:   the address it is bound to.
    """

    relayed: TransportAddress
    local: TransportAddress
    sock: socket.socket


def share_of(ports: range, worker: int, workers: int) -> range:
    """Return the ports that one of several workers relays from: as many as its siblings, in one
    piece, from an even one on, so that none of EVEN-PORT's pairs is torn apart.
    """
    first = ports.start + worker * len(ports) // workers
    after = ports.start + (worker + 1) * len(ports) // workers
    return range(max(ports.start, first & ~1), after if worker == workers - 1 else after & ~1)


class RelayPorts:
    """The ports to relay from, per address. What relays UDP and what relays TCP share them: an
    allocation is known by its relayed address alone.

    Args: ports: those that may be used.
    """

    def __init__(self, addresses: Sequence[RelayAddress], ports: range) -> None:
        self._addresses = {
            family: tuple(address for address in addresses if address.family is family)
            for family in Family
        }
        self._ports = ports
        self._used: set[TransportAddress] = set()

    @property
    def used(self) -> int:
        """How many ports are taken."""
        return len(self._used)

    @property
    def capacity(self) -> int:
        """How many ports there are, taken ones included."""
        return len(self._ports) * sum(map(len, self._addresses.values()))

    def open(
        self, family: Family, relaying: Relaying, *, even: bool, reserve: bool
    ) -> list[OpenRelaySocket]:
        """Bind a port, and with `reserve` the one above it as well.

        Raises: PortsExhausted: none is free.
        """
        candidates = self._addresses[family]
        if not candidates:
            raise PortsExhausted(f"no relay address has IPv{family:d}")
        first = _chance(len(candidates))
        failures = []
        for address in (*candidates[first:], *candidates[:first]):
            try:
                return self._open_at(address, relaying, even=even, reserve=reserve)
            except PortsExhausted as error:
                failures.append(error)
        raise failures[0]

    def _open_at(
        self, address: RelayAddress, relaying: Relaying, *, even: bool, reserve: bool
    ) -> list[OpenRelaySocket]:
        """Do as `open` at one of the addresses."""
        why = f"all of {self._ports[0]}-{self._ports[-1]} are taken"
        for _ in range(_TRIES):
            wanted = self._draw(address.advertised, even=even or reserve, reserve=reserve)
            if not wanted:
                break
            try:
                return self._bind(relaying, address, wanted)
            except OSError as error:
                why = str(error)
        raise PortsExhausted(f"no port is free on {address.ip}", why=why)

    def release(self, relayed: TransportAddress) -> None:
        """Take a port back. Unknown ones are ignored."""
        self._used.discard(relayed)

    def _draw(self, ip: str, *, even: bool, reserve: bool) -> tuple[int, ...]:
        """Return a random free port, or two in a row; empty: there is none."""
        ports = self._ports
        for _ in range(_TRIES):
            port = ports[_chance(len(ports))]
            if self._fits(ip, port, even, reserve):
                break
        else:
            left = [port for port in ports if self._fits(ip, port, even, reserve)]
            if not left:
                return ()
            port = left[_chance(len(left))]
        return (port, port + 1) if reserve else (port,)

    def _fits(self, ip: str, port: int, even: bool, reserve: bool) -> bool:
        """Tell whether a port is free and as it has to be, and the one above it where it counts."""
        if (even and port % 2) or (ip, port) in self._used:
            return False
        return not reserve or (port + 1 in self._ports and (ip, port + 1) not in self._used)

    def _bind(
        self, relaying: Relaying, address: RelayAddress, ports: Sequence[int]
    ) -> list[OpenRelaySocket]:
        opened: list[OpenRelaySocket] = []
        try:
            for port in ports:
                local = TransportAddress(address.ip, port)
                relayed = TransportAddress(address.advertised, port)
                opened.append(OpenRelaySocket(relayed, local, _socket(local, relaying)))
        except OSError:
            for one in opened:
                one.sock.close()
            raise
        self._used.update([one.relayed for one in opened])
        return opened


def _chance(choices: int) -> int:
    """Return an unpredictable number below `choices`.

    64 bits make what modulo favours immeasurable; secrets.choice would draw again, and with it ask
    the system again, for every second number.
    """
    return int.from_bytes(os.urandom(8), "big") % choices if choices > 1 else 0


def _socket(local: TransportAddress, relaying: Relaying) -> socket.socket:
    ipv6 = local.is_ipv6
    if relaying is Relaying.TCP:
        sock = shared_stream_socket(local)
    else:
        sock = _made(socket.SOCK_DGRAM, ipv6=ipv6)
    try:
        if relaying is Relaying.TCP:
            sock.listen(_BACKLOG)
        else:
            sock.bind(to_socket(local))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            errqueue.enable(sock, ipv6=ipv6)
    except OSError:
        sock.close()
        raise
    return sock


def shared_stream_socket(local: TransportAddress) -> socket.socket:
    """Return a TCP socket bound to `local`, which others may be as well: one listens, the others
    connect from it (RFC 6062 §5.2). Raises: OSError.
    """
    sock = _made(socket.SOCK_STREAM, ipv6=local.is_ipv6)
    reuse_port = getattr(socket, "SO_REUSEPORT", None)
    if reuse_port is not None:
        sock.setsockopt(socket.SOL_SOCKET, reuse_port, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(to_socket(local))
    except OSError:
        sock.close()
        raise
    return sock


def _made(kind: socket.SocketKind, *, ipv6: bool) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, kind | _NON_BLOCKING)
    if not _NON_BLOCKING:
        sock.setblocking(False)
    if ipv6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return sock
