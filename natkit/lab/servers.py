"""The STUN servers of the scenarios: natkit's own, on `stun` (RFC 5780) and `stun2` (plain).

They answer over UDP, and over TCP on the ports that restrictive networks let out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, closing

from natkit.aio.stun_server import serve_binding
from natkit.aio.stun_stream import answer_stream
from natkit.lab.topology import World
from natkit.wire import TransportAddress

STUN_PORT, OTHER_PORT = 3478, 3479
STREAM_PORTS = (STUN_PORT, 80, 443)

STUN_SERVERS = (("stun", STUN_PORT), ("stun2", STUN_PORT))
"""What a probe in a scenario asks, by name."""


@asynccontextmanager
async def stun_servers(world: World) -> AsyncIterator[None]:
    """Answer STUN requests in `world`, which is built from a scenario, inside this block."""
    addresses = {host.name: host.addresses for host in world.topology.hosts}
    with ExitStack() as resources:
        for name, ports in (("stun", (STUN_PORT, OTHER_PORT)), ("stun2", (STUN_PORT,))):
            network, ips = world.network(name), addresses[name]
            service = await serve_binding(network, ips, ports, rfc5780=len(ports) > 1)
            resources.enter_context(closing(service))
            for local in (TransportAddress(ip, port) for ip in ips for port in STREAM_PORTS):
                listener = await network.listen_stream(answer_stream, local=local)
                resources.enter_context(closing(listener))
        yield
