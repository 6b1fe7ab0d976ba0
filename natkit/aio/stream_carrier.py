"""A stream in the clothes of a datagram endpoint, so that one machine runs on both."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

from natkit.errors import NatkitError
from natkit.network import DatagramReceiver, StreamEndpoint
from natkit.wire import TransportAddress

BACKLOG = 64 * 1024
"""Bytes that may wait to be written. Data beyond that is dropped, as a full link would drop it: a
call wants the next packet, not all of the late ones."""


class StreamCarrier:
    """Sends each "datagram" as the next bytes of the stream, hands over bytes as they come.

    Args:
        receiver: `datagram_received` gets the bytes, with the other end's address.
        on_end:   told once, in words, when the other end or the network has ended the stream.
        is_data:  tells what may be dropped from what may not.
    """

    def __init__(
        self,
        stream: StreamEndpoint,
        receiver: DatagramReceiver,
        on_end: Callable[[str], None],
        is_data: Callable[[bytes], bool],
    ) -> None:
        self._stream = stream
        self._receiver = receiver
        self._on_end, self._is_data = on_end, is_data
        self._waiting: deque[bytes] = deque()
        self._backlog = 0
        self._wake = asyncio.Event()
        self._closed = False
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]

    @property
    def local(self) -> TransportAddress:
        """The local address of the connection."""
        return self._stream.local

    def send(self, data: bytes, _destination: TransportAddress, *, ttl: int | None = None) -> None:
        """Queue `data`; a stream has no destination of its own, and no TTL for some of it."""
        del ttl
        if self._closed or (self._backlog > BACKLOG and self._is_data(data)):
            return
        self._waiting.append(data)
        self._backlog += len(data)
        self._wake.set()

    def close(self) -> None:
        """Close the stream; what waits to be written is dropped. Closing twice is harmless."""
        if not self._closed:
            self._closed = True
            for task in self._tasks:
                task.cancel()
            self._tasks.append(asyncio.create_task(self._stream.close()))

    async def wait_closed(self) -> None:
        """Wait until all is over, after `close`."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _read(self) -> None:
        why = "the other end closed the connection"
        try:
            while data := await self._stream.read():
                self._receiver.datagram_received(data, self._stream.remote)
        except NatkitError as error:
            why = str(error)
        self._ended(why)

    async def _write(self) -> None:
        with contextlib.suppress(NatkitError):  # the reader finds out as well, and tells
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    data = self._waiting.popleft()
                    self._backlog -= len(data)
                    await self._stream.write(data)

    def _ended(self, why: str) -> None:
        if not self._closed:
            self._on_end(why)
