"""WebSockets of the generator of Calto's load: thousands in one process, for little of a processor.

What a client needs here and no more (RFC 6455): text frames, whole, and pongs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from natkit.errors import NatkitError

OPEN = 30.0
"""Seconds for one to open, among many."""

_UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_TEXT, _CLOSE, _PING, _PONG = 0x81, 0x88, 0x89, 0x8A
_SHORT, _LONG, _LONGEST = 126, 127, 65_535

Hear = Callable[[bytes], None]


class Socket(asyncio.Protocol):
    """One WebSocket.

    Attributes: hear: gets each text frame; one may come with the answer to the upgrade.  lost: it
    has ended.
    """

    def __init__(self, request: bytes, hear: Hear) -> None:
        self.hear, self.lost = hear, False
        self._request, self._unread = request, b""
        self._transport: Any = None
        self._opened = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(cls, host: str, port: int, path: str, hear: Hear) -> Socket:
        """Return an open one. Raises: NatkitError: the server does not want it."""
        loop = asyncio.get_running_loop()
        request = _UPGRADE.format(path=path, host=f"{host}:{port}").encode()
        async with asyncio.timeout(OPEN):
            _, socket = await loop.create_connection(lambda: cls(request, hear), host, port)
            await socket._opened
        return socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the WebSocket."""
        self._transport = transport
        self._transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note it."""
        self.lost = True
        if not self._opened.done():
            self._opened.set_exception(NatkitError("a WebSocket was not let in", why=str(exc)))

    def data_received(self, data: bytes) -> None:
        """Take what came: the answer to the upgrade, then frames."""
        self._unread += data
        if not self._opened.done():
            head, end, rest = self._unread.partition(b"\r\n\r\n")
            if not end:
                return
            if b" 101 " not in head.split(b"\r\n", 1)[0]:
                self._opened.set_exception(NatkitError("no WebSocket", why=head.decode()))
                return
            self._unread = rest
            self._opened.set_result(None)
        while self._frame():
            pass

    def _frame(self) -> bool:
        """Take a frame; False: there is no whole one."""
        data, start = self._unread, 2
        if len(data) < start:
            return False
        size = data[1]
        if size >= _SHORT:
            start = 4 if size == _SHORT else 10
            size = int.from_bytes(data[2:start])
        if len(data) < start + size:
            return False
        payload, self._unread = data[start : start + size], data[start + size :]
        if data[0] == _TEXT:
            self.hear(payload)
        elif data[0] == _PING:
            self._write(_PONG, payload)
        return True

    def send(self, data: bytes) -> None:
        """Send a text frame."""
        self._write(_TEXT, data)

    def close(self) -> None:
        """End it."""
        self._write(_CLOSE, b"\x03\xe8")
        self._transport.close()

    def _write(self, kind: int, data: bytes) -> None:
        size = len(data)
        if size < _SHORT:
            head = bytes((kind, 0x80 | size))
        elif size <= _LONGEST:
            head = bytes((kind, 0x80 | _SHORT)) + size.to_bytes(2)
        else:
            head = bytes((kind, 0x80 | _LONG)) + size.to_bytes(8)
        # Masked with zeros, which leave everything as it is (RFC 6455 §5.3 wants a mask).
        self._transport.write(head + bytes(4) + data)
