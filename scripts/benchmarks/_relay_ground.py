"""The machines of the relay benchmark: clients and peers in one namespace each, and between them a
lane for each contender, so that all of them run at once and nobody's program sees others' packets.

    clients 10.100+n.x.y ─ 10.8.n.2 ── 10.8.n.1 relay n 10.9.n.1 ── 10.9.n.2 peer

A lane without a relay is one link, with the peer at 10.8.n.1. All clients have one socket, and so
have all peers: each call's client has an address of its own, which sendmmsg(2) sends from.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from natkit.lab.netns.namespace import Namespace

PORT = 5000
"""Of clients and peers."""

PATIENCE_US = 50_000
"""After so long without a packet, a receiver looks whether it is to end."""

_BUFFER = 1 << 25
_SO_RCVBUFFORCE = 33
_SO_RCVTIMEO = 20


@dataclass(frozen=True, slots=True)
class Lane:
    """A contender's way from the clients to the peer. Attributes: relay: None: one link."""

    number: int
    relay: Namespace | None

    @property
    def server(self) -> str:
        """The relay's address for clients."""
        return f"10.8.{self.number}.1"

    @property
    def relayed(self) -> str:
        """The relay's address for peers."""
        return f"10.9.{self.number}.1"

    @property
    def peer(self) -> str:
        """The address of all peers."""
        return f"10.9.{self.number}.2" if self.relay else self.server

    def client(self, number: int) -> str:
        """Return the address of a call's client, 0 <= number < 60,000."""
        return str(ipaddress.IPv4Address(f"10.{100 + self.number}.1.0") + number)


@dataclass
class Ground:
    """The namespaces of clients and peers, with a socket in each. Make lanes before use."""

    clients: Namespace
    peers: Namespace
    client_socket: socket.socket
    peer_socket: socket.socket
    _stack: contextlib.ExitStack
    _lanes: int = 0

    def relayed(self, *, forwarding: bool = False) -> Lane:
        """Lay a lane with a machine in between, which may forward packets as a router does."""
        number, relay = self._number(), _machine("relay", self._stack)
        lane = Lane(number, relay)
        for node, name in ((self.clients, "client"), (self.peers, "peer")):
            _link(node, f"to{number}", relay, name)
        _address(self.clients, f"to{number}", f"10.8.{number}.2")
        _address(relay, "client", lane.server)
        _address(relay, "peer", lane.relayed)
        _address(self.peers, f"to{number}", lane.peer)
        self._settle(lane)
        _route(relay, _crowd(number), f"10.8.{number}.2")
        _route(self.peers, _crowd(number), lane.relayed)
        if forwarding:
            _route(self.clients, f"10.9.{number}.0/24", lane.server)
            names = ("client", "peer")
            relay.sysctl({f"net/ipv4/conf/{name}/forwarding": "1" for name in names})
        return lane

    def direct(self) -> Lane:
        """Lay a lane of one link."""
        number = self._number()
        lane = Lane(number, None)
        _link(self.clients, f"to{number}", self.peers, f"to{number}")
        _address(self.clients, f"to{number}", f"10.8.{number}.2")
        _address(self.peers, f"to{number}", lane.peer)
        self._settle(lane)
        _route(self.peers, _crowd(number), f"10.8.{number}.2")
        return lane

    def _number(self) -> int:
        self._lanes += 1
        return self._lanes

    def _settle(self, lane: Lane) -> None:
        """Have the clients' addresses be of their machine."""
        self.clients.command(["ip", "route", "add", "local", _crowd(lane.number), "dev", "lo"])


@contextlib.contextmanager
def ground() -> Iterator[Ground]:
    """Build it, and take it away. Raises: Unsupported: this process may not."""
    with contextlib.ExitStack() as stack:
        clients, peers = _machine("clients", stack), _machine("peers", stack)
        client_socket, peer_socket = (
            stack.enter_context(node.call(_socket)) for node in (clients, peers)
        )
        yield Ground(clients, peers, client_socket, peer_socket, stack)


def _machine(label: str, stack: contextlib.ExitStack) -> Namespace:
    node = Namespace(label)
    stack.callback(node.close)
    node.command(["ip", "link", "set", "lo", "up"])
    return node


def _link(node: Namespace, name: str, other: Namespace, other_name: str) -> None:
    ends = ["name", name, "type", "veth", "peer", "name", other_name, "netns", other.path]
    node.command(["ip", "link", "add", *ends])


def _address(node: Namespace, interface: str, ip: str) -> None:
    node.command(["ip", "addr", "add", f"{ip}/24", "dev", interface])
    node.command(["ip", "link", "set", "dev", interface, "up"])


def _route(node: Namespace, to: str, by: str) -> None:
    node.command(["ip", "route", "add", to, "via", by])


def _crowd(number: int) -> str:
    return f"10.{100 + number}.0.0/16"


def _socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # beside clients that set up calls
    sock.bind(("0.0.0.0", PORT))
    sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, _SO_RCVTIMEO, struct.pack("=qq", 0, PATIENCE_US))
    return sock
