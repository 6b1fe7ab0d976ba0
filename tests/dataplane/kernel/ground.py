"""Three machines in namespaces: client – relay – peer, one link between each two.

Whoever has a socket may use it, whatever namespace it is of: one event loop serves all three.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from natkit.dataplane.kernel.syscalls import hardware_address
from natkit.dataplane.kernel.table import FastTable
from natkit.dataplane.sockaddr import to_socket
from natkit.lab.netns.namespace import Namespace
from natkit.wire import TransportAddress
from tests.dataplane.kernel.frames import Seen, read

BUFFER = 1 << 23
_SO_RCVBUFFORCE = 33
GRO, SUMS = 0x2C, 0x17
"""ETHTOOL_SGRO, ETHTOOL_STXCSUM."""
TUN = Path("/dev/net/tun")
AT_TAP = b"\x02\0\0\0\0\x09"
"""The Ethernet address of all that is at a tap's file."""


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
    """The machines; interfaces are called after who is at the other end.

    Attributes: native: tables are attached in drivers.
    """

    client: Namespace
    relay: Namespace
    peer: Namespace
    macs: dict[str, bytes] = field(default_factory=dict)
    native: bool = False

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
            mac = self.relay.call(lambda name=name: hardware_address(name))
            index = self.relay.call(lambda name=name: socket.if_nametoindex(name))
            native = self.relay.call(
                lambda index=index, mac=mac: table.attach(index, mac, native=self.native)
            )
            assert native is self.native

    def go_native(self) -> None:
        """Have tables attached in drivers, with GRO at the far ends, without which veth gives out
        nothing then.
        """
        for node in (self.client, self.peer):
            node.call(lambda: set_offload("link", GRO, on=True))
        self.native = True

    @contextlib.contextmanager
    def tap(self, ip: str, *others: str) -> Iterator[int]:
        """Have a tap at the relay, tap0, which has `ip`; `others` are at its other end, the file.

        What it sends, it sends as it is: it completes no checksums.
        """

        def make() -> int:
            made = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(made, 0x400454CA, struct.pack("16sH22x", b"tap0", 0x1002))  # TUNSETIFF
            return made

        made = self.relay.call(make)
        try:
            self.relay.command(["ip", "addr", "add", f"{ip}/24", "dev", "tap0"])
            self.relay.command(["ip", "link", "set", "tap0", "up"])
            for other in others:
                theirs = ["lladdr", AT_TAP.hex(":"), "dev", "tap0"]
                self.relay.command(["ip", "neigh", "add", other, *theirs])
            yield made
        finally:
            os.close(made)


def out_of(tap: int) -> Seen | None:
    """Return the next UDP datagram that comes out of a tap's file; None: none does."""
    while select.select([tap], [], [], 0.5)[0]:
        seen = read(os.read(tap, 2000))
        if seen is not None:
            return seen
    return None


def set_offload(name: str, command: int, *, on: bool) -> None:
    """Have an interface do something by itself: GRO or SUMS, or not."""
    value = ctypes.create_string_buffer(struct.pack("=II", command, on), 8)
    request = struct.pack("@16sP16x", name.encode(), ctypes.addressof(value))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, 0x8946, request)  # SIOCETHTOOL


@contextlib.contextmanager
def ground() -> Iterator[Ground]:
    """Build it, and take it away."""
    with machines("client", "relay", "peer") as (client, relay, peer):
        made = Ground(client, relay, peer)
        for name, node, far, near in (
            ("client", client, (V4.client, V6.client), (V4.server, V6.server)),
            ("peer", peer, (V4.peer, V6.peer), (V4.relayed, V6.relayed)),
        ):
            made.macs[f"relay to {name}"], made.macs[name] = join(
                relay, name, node, "link", near, far
            )
        for version in ("ipv4", "ipv6"):
            relay.sysctl({f"net/{version}/conf/lo/forwarding": "1"})
        yield made


@contextlib.contextmanager
def machines(*labels: str) -> Iterator[list[Namespace]]:
    """Make machines without links."""
    with contextlib.ExitStack() as stack:
        nodes = [Namespace(label) for label in labels]
        for node in nodes:
            stack.callback(node.close)
            node.sysctl({"net/ipv6/conf/default/accept_dad": "0"})
            node.command(["ip", "link", "set", "lo", "up"])
        yield nodes


def join(
    one: Namespace,
    name: str,
    other: Namespace,
    other_name: str,
    ips: tuple[str, str],
    other_ips: tuple[str, str],
) -> tuple[bytes, bytes]:
    """Lay a link between two machines, with an IPv4 and an IPv6 address at each end.

    Returns: the Ethernet addresses of both ends.
    """
    pair = ["type", "veth", "peer", "name", other_name, "netns", other.path]
    one.command(["ip", "link", "add", name, *pair])

    def set_up(where: Namespace, interface: str, addresses: tuple[str, str]) -> bytes:
        for ip, size in zip(addresses, ("24", "64"), strict=True):
            where.command(["ip", "addr", "add", f"{ip}/{size}", "dev", interface])
        where.command(["ip", "link", "set", "dev", interface, "up"])
        return where.call(lambda: hardware_address(interface))

    return set_up(one, name, ips), set_up(other, other_name, other_ips)
