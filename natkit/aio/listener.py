"""TCP and TLS listeners: a task for every connection, as long as there is room."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

from natkit.aio.sockaddr import Scopes
from natkit.aio.streams import SocketStreamEndpoint
from natkit.errors import NatkitError
from natkit.machine import Seconds
from natkit.network import StreamHandler
from natkit.wire import TransportAddress

HANDSHAKE: Seconds = 10.0
"""For TLS: until it is done a connection counts nowhere, and asyncio would wait for a minute."""

STREAM_LIMIT = 500
"""Connections served at once: each holds a descriptor, of which 1024 is a usual limit."""


class Listener:
    """A listening socket; made by `SocketNetwork.listen_stream`.

    Attributes: local: the bound address, with its real port.
    """

    def __init__(self, sock: socket.socket, handler: StreamHandler, scopes: Scopes) -> None:
        self.local: TransportAddress = scopes.from_socket(sock.getsockname())
        self._sock = sock
        self._handler = handler
        self._scopes = scopes
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, tls: ssl.SSLContext | None) -> None:
        """Begin to accept."""
        self._server = await asyncio.start_server(
            self._accepted,
            sock=self._sock,
            ssl=tls,
            ssl_handshake_timeout=None if tls is None else HANDSHAKE,
        )

    def close(self) -> None:
        """Stop listening; connections that stand go on. Closing twice is harmless."""
        if self._server is not None:
            self._server.close()

    async def stop(self) -> None:
        """Stop listening, and end the connections that stand."""
        self.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._tasks) >= STREAM_LIMIT:
            writer.close()
            return
        self._tasks.add(task)
        try:
            # The caller went away, as callers do; or `stop` cancelled us.
            with contextlib.suppress(NatkitError, OSError, asyncio.CancelledError):
                await self._handler(SocketStreamEndpoint(reader, writer, self._scopes))
        finally:
            self._tasks.discard(task)
            writer.close()
