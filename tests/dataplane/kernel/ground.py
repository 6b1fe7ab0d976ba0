"""Three machines in namespaces: client – relay – peer, one link between each two.

Whoever has a socket may use it, whatever namespace it is of: one event loop serves all three.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from natkit.dataplane.kernel.syscalls import hardware_address
from natkit.dataplane.kernel.table import FastTable
from natkit.dataplane.sockaddr import to_socket
from natkit.lab.netns.namespace import Namespace
from natkit.wire import TransportAddress

BUFFER = 1 << 23
_SO_RCVBUFFORCE = 33


class Side(NamedTuple):
    """One IP version: who has which address on which link."""

    client: str
    server: str
    relayed: str
    peer: str

    @property
    def ipv6(self) -> bool:
        return ":" in self.client


V4 = Side("10.9.1.2", "10.9.1.1", "10.9.2.1", "10.9.2.2")
V6 = Side("fd00:1::2", "fd00:1::1", "fd00:2::1", "fd00:2::2")


@dataclass
class Ground:
    """The machines; interfaces are called after who is at the other end."""

    client: Namespace
    relay: Namespace
    peer: Namespace
    macs: dict[str, bytes] = field(default_factory=dict)

    def udp(self, node: Namespace, ip: str, port: int) -> socket.socket:
        """Return a socket bound there, which does not block."""
        family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        sock = node.call(lambda: socket.socket(family, socket.SOCK_DGRAM))
        sock.bind(to_socket(TransportAddress(ip, port)))
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER)
        sock.setblocking(False)
        return sock

    def raw(self, node: Namespace, interface: str) -> socket.socket:
        """Return a socket that sends and sees whole frames."""
        kind, every = socket.SOCK_RAW, socket.htons(3)  # ETH_P_ALL
        sock = node.call(lambda: socket.socket(socket.AF_PACKET, kind, every))
        sock.bind((interface, 0))
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER)
        sock.setblocking(False)
        return sock

    def attach(self, table: FastTable, *interfaces: str) -> None:
        """Have `table` forward what comes in on the relay's interfaces."""
        for name in interfaces:
            mac = self.macs[f"relay to {name}"]
            self.relay.call(
                lambda name=name, mac=mac: table.attach(socket.if_nametoindex(name), mac)
            )


@contextlib.contextmanager
def ground() -> Iterator[Ground]:
    """Build it, and take it away."""
    with contextlib.ExitStack() as stack:
        nodes = [Namespace(label) for label in ("client", "relay", "peer")]
        for node in nodes:
            stack.callback(node.close)
        made = Ground(*nodes)
        for node in nodes:
            node.sysctl({"net/ipv6/conf/default/accept_dad": "0"})
            node.command(["ip", "link", "set", "lo", "up"])
        _join(made, made.client, "client", (V4.client, V6.client), (V4.server, V6.server))
        _join(made, made.peer, "peer", (V4.peer, V6.peer), (V4.relayed, V6.relayed))
        for version in ("ipv4", "ipv6"):
            made.relay.sysctl({f"net/{version}/conf/lo/forwarding": "1"})
        yield made


def _join(
    made: Ground, node: Namespace, name: str, far: tuple[str, str], near: tuple[str, str]
) -> None:
    made.relay.command(
        ["ip", "link", "add", name, "type", "veth", "peer", "name", "link", "netns", node.path]
    )
    for where, interface, ips in ((node, "link", far), (made.relay, name, near)):
        for ip, size in zip(ips, ("24", "64"), strict=True):
            where.command(["ip", "addr", "add", f"{ip}/{size}", "dev", interface])
        where.command(["ip", "link", "set", "dev", interface, "up"])
        mac = where.call(lambda interface=interface: hardware_address(interface))
        made.macs["relay to " * (where is made.relay) + name] = mac
