"""A node's sockets: `SocketNetwork`, made in the threads of the node's namespace."""

from __future__ import annotations

import asyncio
import socket

from natkit.aio.network import SocketNetwork
from natkit.aio.streams import SocketStreamEndpoint
from natkit.errors import NetworkUnreachable
from natkit.lab.netns.namespace import Namespace
from natkit.lab.topology import StreamHandler, Topology
from natkit.network import Family
from natkit.wire import TransportAddress


class NodeNetwork(SocketNetwork):
    """The network as a node sees it. The names of the topology's nodes resolve in it."""

    def __init__(self, topology: Topology, namespace: Namespace) -> None:
        super().__init__(in_thread=namespace.submit)
        self._names = {host.name: host.addresses for host in topology.hosts}
        self._names |= {router.name: router.outside_addresses for router in topology.routers}

    async def resolve(self, host: str, family: Family) -> tuple[str, ...]:
        """Return the addresses of a literal, or of a host or router of the topology."""
        if host in self._names:
            return tuple(ip for ip in self._names[host] if (":" in ip) == (family is Family.IPV6))
        return await super().resolve(host, family)

    async def listen_stream(self, handler: StreamHandler, *, local: TransportAddress) -> Listener:
        """Listen for TCP: see `LabNetwork.listen_stream`."""
        sock = await self.in_thread(lambda: self._bound(socket.SOCK_STREAM, local, None))

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await listener.serve(handler, SocketStreamEndpoint(reader, writer, self._scopes))

        listener = Listener()
        listener.server = await asyncio.start_server(accepted, sock=sock)
        return listener


class Listener:
    """A listening TCP socket."""

    server: asyncio.Server

    async def serve(self, handler: StreamHandler, stream: SocketStreamEndpoint) -> None:
        """Serve one connection, and close it."""
        try:
            await handler(stream)
        except NetworkUnreachable:
            pass  # the caller went away, as callers do
        finally:
            await stream.close()

    def close(self) -> None:
        """Stop listening; connections that stand go on."""
        self.server.close()
