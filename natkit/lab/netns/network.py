"""A node's sockets: `SocketNetwork`, made in the threads of the node's namespace."""

from __future__ import annotations

from natkit.aio.network import SocketNetwork
from natkit.lab.netns.namespace import Namespace
from natkit.lab.topology import Topology
from natkit.network import Family


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
