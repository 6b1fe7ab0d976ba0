"""Relayed addresses: which port of which of the server's addresses, and the socket on it.

The port is drawn at random out of those that are free (RFC 8656 §7.2 asks for unpredictable ones,
RFC 6056), and goes back when its allocation has ended.
"""

from __future__ import annotations

import secrets
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
_BACKLOG = 16


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
        self._addresses = tuple(addresses)
        self._ports = ports
        self._used: set[TransportAddress] = set()

    @property
    def used(self) -> int:
        """How many ports are taken."""
        return len(self._used)

    @property
    def capacity(self) -> int:
        """How many ports there are, taken ones included."""
        return len(self._ports) * len(self._addresses)

    def open(
        self, family: Family, relaying: Relaying, *, even: bool, reserve: bool
    ) -> list[OpenRelaySocket]:
        """Bind a port, and with `reserve` the one above it as well.

        Raises: PortsExhausted: none is free.
        """
        candidates = [address for address in self._addresses if address.family is family]
        if not candidates:
            raise PortsExhausted(f"no relay address has IPv{family:d}")
        address = candidates[_chance(len(candidates))]
        why = f"all of {self._ports[0]}-{self._ports[-1]} are taken"
        for _ in range(_TRIES):
            wanted = self._draw(address, even=even or reserve, reserve=reserve)
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

    def _draw(self, address: RelayAddress, *, even: bool, reserve: bool) -> tuple[int, ...]:
        """Return a random free port, or two in a row; empty: there is none."""

        def fitting(port: int) -> tuple[int, ...]:
            wanted = (port, port + 1) if reserve else (port,)
            if even and port % 2:
                return ()
            for one in wanted:
                at = TransportAddress(address.advertised, one)
                if one not in self._ports or at in self._used:
                    return ()
            return wanted

        for _ in range(_TRIES):
            wanted = fitting(self._ports[_chance(len(self._ports))])
            if wanted:
                return wanted
        left = [wanted for port in self._ports if (wanted := fitting(port))]
        return left[_chance(len(left))] if left else ()

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
        self._used.update(one.relayed for one in opened)
        return opened


def _chance(choices: int) -> int:
    """Return an unpredictable number below `choices`.

    64 bits make what modulo favours immeasurable; secrets.choice would draw again, and with it ask
    the system again, for every second number.
    """
    return int.from_bytes(secrets.token_bytes(8), "big") % choices if choices > 1 else 0


def _socket(local: TransportAddress, relaying: Relaying) -> socket.socket:
    if relaying is Relaying.TCP:
        sock = shared_stream_socket(local)
    else:
        sock = _made(local, socket.SOCK_DGRAM)
    try:
        if relaying is Relaying.TCP:
            sock.listen(_BACKLOG)
        else:
            sock.bind(to_socket(local))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            errqueue.enable(sock)
    except OSError:
        sock.close()
        raise
    return sock


def shared_stream_socket(local: TransportAddress) -> socket.socket:
    """Return a TCP socket bound to `local`, which others may be as well: one listens, the others
    connect from it (RFC 6062 §5.2). Raises: OSError.
    """
    sock = _made(local, socket.SOCK_STREAM)
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


def _made(local: TransportAddress, kind: socket.SocketKind) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if local.is_ipv6 else socket.AF_INET, kind)
    sock.setblocking(False)
    if local.is_ipv6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return sock
