"""Be a rendezvous: rooms over HTTP, or HTTPS, on this network's addresses."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

from natkit.aio.listener import Listener
from natkit.aio.network import SocketNetwork
from natkit.aio.rendezvous_server import RendezvousServer
from natkit.wire import TransportAddress


class RendezvousService:
    """A running rendezvous. Close it when done."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = listeners

    @property
    def listening(self) -> tuple[TransportAddress, ...]:
        """Every address it answers on, with the real ports."""
        return tuple(listener.local for listener in self._listeners)

    async def close(self) -> None:
        """Stop serving. Closing twice is harmless."""
        for listener in self._listeners:
            await listener.stop()


async def serve(
    network: SocketNetwork, listen: Sequence[TransportAddress], *, tls: ssl.SSLContext | None = None
) -> RendezvousService:
    """Run one rendezvous on all of `listen`.

    Args:   tls: a server context; None: plain HTTP.
    Raises: NetworkUnreachable: one of them cannot be bound.
    """
    server = RendezvousServer(network)
    listeners: list[Listener] = []
    service = RendezvousService(listeners)
    try:
        for local in listen:
            listeners.append(await network.listen_stream(server.serve, local=local, tls=tls))
    except BaseException:
        await service.close()
        raise
    return service
