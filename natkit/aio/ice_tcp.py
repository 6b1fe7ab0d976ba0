"""TCP candidates as endpoints: packets of ICE over connections (RFC 6544, RFC 4571).

A connection is known by its remote address. An active candidate makes one when something is first
sent there, a passive one has those that were made to it, and a simultaneous-open one has both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol

from natkit.aio.stream_carrier import StreamCarrier
from natkit.errors import NatkitError
from natkit.ice.candidate import DISCARD_PORT, TcpType
from natkit.machine import Seconds
from natkit.network import DatagramReceiver, IcmpError, Network, StreamEndpoint, StreamListener
from natkit.stun.transaction import RELIABLE
from natkit.wire import TransportAddress
from natkit.wire.header import MAGIC_COOKIE
from natkit.wire.packets import LARGEST, PacketReader, framed

PATIENCE: Seconds = RELIABLE.patience
"""To connect: as long as the check that asks for it waits for its answer."""

MOST_CONNECTIONS = 100
"""Of one endpoint: pairs are no more, and strangers can connect, too."""

HELLO: Seconds = 10.0
"""For who connects to say something; the peer's check comes with the connection."""

_COOKIE = MAGIC_COOKIE.to_bytes(4, "big")


class TcpReceiver(DatagramReceiver, Protocol):
    """What a TCP endpoint calls back."""

    def connection_ended(self, remote: TransportAddress, why: str) -> None:
        """A connection could not be made, or the other end has closed it."""


class TcpEndpoint:
    """A `natkit.network.DatagramEndpoint` made of connections; made by `open`."""

    def __init__(
        self, network: Network, receiver: TcpReceiver, tcptype: TcpType, local: TransportAddress
    ) -> None:
        self.local = local
        self._network, self._receiver, self._tcptype = network, receiver, tcptype
        self._listener: StreamListener | None = None
        self._links: dict[TransportAddress, _Link] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    @classmethod
    async def open(
        cls, network: Network, receiver: TcpReceiver, tcptype: TcpType, ip: str, component: int
    ) -> TcpEndpoint:
        """Listen at `ip`, unless it is an active one.

        An active one has no port: its `local` has a number that tells components apart.

        Raises: NetworkUnreachable: the address cannot be bound.
        """
        at = TransportAddress(ip, DISCARD_PORT + component - 1)
        endpoint = cls(network, receiver, tcptype, at)
        if tcptype is not TcpType.ACTIVE:
            shared = tcptype is TcpType.SIMULTANEOUS_OPEN
            endpoint._listener = await network.listen_stream(
                endpoint._accept, local=TransportAddress(ip, 0), shared=shared
            )
            endpoint.local = endpoint._listener.local
        return endpoint

    def send(self, data: bytes, destination: TransportAddress, *, ttl: int | None = None) -> None:
        """Send a packet, over a connection that is made where there is none and we may; or drop it.

        Args: ttl: ignored: TCP has its own.
        """
        del ttl
        if self._closed or len(data) > LARGEST:
            return
        link = self._links.get(destination)
        if link is None:
            if self._tcptype is TcpType.PASSIVE or len(self._links) >= MOST_CONNECTIONS:
                why = f"there is no connection from {destination}"
                asyncio.get_running_loop().call_soon(self._tell, destination, why)
                return
            link = self._links[destination] = _Link()
            self._spawn(self._connect(destination, link))
        link.send(framed(data))

    def keep(self, remote: TransportAddress) -> None:
        """Close every connection but the one with `remote`, and take no more."""
        if self._listener is not None:
            self._listener.close()
        for other, link in list(self._links.items()):
            if other != remote:
                self._drop(other, link)

    def close(self) -> None:
        """Close every connection. Closing twice is harmless."""
        self._closed = True
        if self._listener is not None:
            self._listener.close()
        for remote, link in list(self._links.items()):
            self._drop(remote, link)
        for task in self._tasks:
            task.cancel()

    async def close_and_wait(self) -> None:
        """Close, and wait until it is done."""
        links = list(self._links.values())
        self.close()
        closing = [link.wait_closed() for link in links]
        await asyncio.gather(*self._tasks, *closing, return_exceptions=True)

    async def _connect(self, remote: TransportAddress, link: _Link) -> None:
        ours = self._tcptype is TcpType.SIMULTANEOUS_OPEN
        local = self.local if ours else TransportAddress(self.local.ip, 0)
        try:
            stream = await self._network.open_stream(remote, local=local, patience=PATIENCE)
        except NatkitError as error:
            if not ours:  # else the peer's own may be on its way, or here already
                self._ended(remote, link, str(error))
            return
        if link.stands or link.over.is_set():
            await stream.close()
        else:
            self._attach(stream, link)

    async def _accept(self, stream: StreamEndpoint) -> None:
        link = self._links.get(stream.remote)
        if self._closed or (link is None and len(self._links) >= MOST_CONNECTIONS):
            return
        link = self._links.setdefault(stream.remote, _Link())
        if not link.stands:
            self._attach(stream, link)
        try:
            async with asyncio.timeout(HELLO):
                await link.heard.wait()
        except TimeoutError:
            self._drop(stream.remote, link)
        await link.over.wait()

    def _attach(self, stream: StreamEndpoint, link: _Link) -> None:
        receiver = _Unframing(self._receiver, stream.remote, link)
        link.attach(stream, receiver, partial(self._ended, stream.remote, link))

    def _ended(self, remote: TransportAddress, link: _Link, why: str) -> None:
        self._drop(remote, link)
        self._tell(remote, why)

    def _drop(self, remote: TransportAddress, link: _Link) -> None:
        if self._links.get(remote) is link:
            del self._links[remote]
        link.close()

    def _tell(self, remote: TransportAddress, why: str) -> None:
        if not self._closed:
            self._receiver.connection_ended(remote, why)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Link:
    """One connection, or one that is being made.

    Attributes: heard: the other end has sent something; over: it has ended.
    """

    def __init__(self) -> None:
        self.heard, self.over = asyncio.Event(), asyncio.Event()
        self._carrier: StreamCarrier | None = None
        self._waiting: list[bytes] = []

    @property
    def stands(self) -> bool:
        return self._carrier is not None

    def send(self, frame: bytes) -> None:
        if self._carrier is not None:
            self._carrier.send(frame, self._carrier.local)
        elif not _is_data(frame):
            self._waiting.append(frame)

    def attach(
        self, stream: StreamEndpoint, receiver: DatagramReceiver, on_end: Callable[[str], None]
    ) -> None:
        self._carrier = StreamCarrier(stream, receiver, on_end, _is_data)
        waiting, self._waiting = self._waiting, []
        for frame in waiting:
            self.send(frame)

    def close(self) -> None:
        self.heard.set()
        self.over.set()
        if self._carrier is not None:
            self._carrier.close()

    async def wait_closed(self) -> None:
        if self._carrier is not None:
            await self._carrier.wait_closed()


class _Unframing(DatagramReceiver):
    """Cuts what a connection brings into packets."""

    def __init__(self, receiver: DatagramReceiver, remote: TransportAddress, link: _Link) -> None:
        self._receiver, self._remote, self._link = receiver, remote, link
        self._reader = PacketReader()

    def datagram_received(self, data: bytes, source: TransportAddress) -> None:
        del source
        for packet in self._reader.feed(data):
            self._link.heard.set()
            self._receiver.datagram_received(packet, self._remote)

    def error_received(self, error: IcmpError) -> None:
        """A stream has no such errors: it ends."""


def _is_data(frame: bytes) -> bool:
    """Tell the peer's data from STUN, which is never dropped: TCP checks are not sent again."""
    return frame[6:10] != _COOKIE
