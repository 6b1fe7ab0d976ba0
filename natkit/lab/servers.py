"""The STUN servers of the scenarios: natkit's own, on `stun` (RFC 5780) and `stun2` (plain).

They answer over UDP, and over TCP on the ports that restrictive networks let out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, closing

from natkit.aio.stun_server import serve_binding
from natkit.lab.topology import World
from natkit.network import StreamEndpoint
from natkit.stun.server import BindingServer
from natkit.wire import TransportAddress

STUN_PORT, OTHER_PORT = 3478, 3479
STREAM_PORTS = (STUN_PORT, 80, 443)

STUN_SERVERS = (("stun", STUN_PORT), ("stun2", STUN_PORT))
"""What a probe in a scenario asks, by name."""

_HEADER_SIZE = 20
_MAGIC_COOKIE = bytes.fromhex("2112a442")  # RFC 8489 §5


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


async def answer_stream(stream: StreamEndpoint) -> None:
    """Answer Binding requests until the stream ends, or says something that is not STUN."""
    server = BindingServer()
    while True:
        header = await _exactly(stream, _HEADER_SIZE)
        if header is None or header[4:8] != _MAGIC_COOKIE:
            return
        rest = await _exactly(stream, int.from_bytes(header[2:4], "big"))
        if rest is None:
            return
        reply = server.answer(header + rest, stream.remote, at=stream.local)
        if reply is not None:
            await stream.write(reply.data)


async def _exactly(stream: StreamEndpoint, size: int) -> bytes | None:
    """Read `size` bytes. Returns: None: the stream ended before."""
    data = b""
    while len(data) < size:
        more = await stream.read(size - len(data))
        if not more:
            return None
        data += more
    return data
