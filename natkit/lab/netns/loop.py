"""asyncio's event loop, with the UDP sockets of code on a lab's host made in its namespace."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from natkit.lab.here import network_here
from natkit.lab.netns.network import NodeNetwork

Name = tuple[str, int]


class NamespaceLoop(asyncio.SelectorEventLoop):
    """Runs code that was written for the machine's own sockets: see `NamespaceWorld.as_host`.

    Addresses are literals there: names of the topology are looked up by `NodeNetwork` alone.
    """

    async def create_datagram_endpoint(  # type: ignore[override]  # the options are asyncio's
        self,
        protocol_factory: Callable[[], asyncio.DatagramProtocol],
        local_addr: Name | None = None,
        remote_addr: Name | None = None,
        **options: Any,
    ) -> tuple[asyncio.DatagramTransport, asyncio.DatagramProtocol]:
        """Open a UDP socket, in the namespace of the host that this code runs on.

        Raises: OSError: the address cannot be bound.
        """
        network = network_here()
        if not isinstance(network, NodeNetwork) or options.get("sock") is not None:
            return await super().create_datagram_endpoint(
                protocol_factory, local_addr, remote_addr, **options
            )
        sock = await network.in_thread(lambda: _socket(local_addr, remote_addr))
        return await super().create_datagram_endpoint(protocol_factory, sock=sock)


def _socket(local: Name | None, remote: Name | None) -> socket.socket:
    """Return a UDP socket made where the calling thread lives."""
    host = (local or remote or ("", 0))[0]
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if local is not None:
            sock.bind(local)
        if remote is not None:
            sock.connect(remote)
    except OSError:
        sock.close()
        raise
    return sock
