"""A listening TCP socket of the simulator."""

from __future__ import annotations

import asyncio

from natkit.errors import NetworkUnreachable
from natkit.lab.sim.node import Node
from natkit.lab.sim.packet import Flags, Packet, Proto, Quote
from natkit.lab.sim.stream import SimStream
from natkit.network import StreamHandler
from natkit.wire import TransportAddress


class SimListener:
    """A listening TCP socket: runs `handler(stream)` as a task for every connection.

    The stream is closed when the handler returns; a connection that breaks off ends it quietly.

    Attributes:
        local: the address it listens on.
    """

    def __init__(self, node: Node, handler: StreamHandler, local: TransportAddress) -> None:
        self._node = node
        self._handler = handler
        self._tasks: set[asyncio.Task[None]] = set()
        self.local = node.bind(Proto.TCP, local, self)

    def close(self) -> None:
        """Stop listening; connections that stand go on."""
        self._node.release(Proto.TCP, self.local)

    def arrived(self, packet: Packet) -> None:
        """Take a segment that belongs to no connection: a SYN, or a stray."""
        if packet.tcp is None or packet.tcp.flags is not Flags.SYN:
            self._node.refuse(packet)
            return
        stream = SimStream(self._node, packet.dst, packet.src, Flags.SYN_ACK)
        stream.arrived(packet)
        task = self._node.fabric.loop.create_task(self._serve(stream))
        self._tasks.add(task)
        task.add_done_callback(self._served)

    async def _serve(self, stream: SimStream) -> None:
        try:
            await self._handler(stream)
        except NetworkUnreachable:
            pass  # the caller went away, as callers do
        finally:
            await stream.close()

    def _served(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.result()  # a mistake of the handler ends the run

    def complained(self, quote: Quote, reporter: str) -> None:
        """Take an ICMP error: a listener sends nothing, so it concerns nobody."""
