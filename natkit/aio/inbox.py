"""What has come for a connection, and that it is lost, for whoever waits for either."""

from __future__ import annotations

import asyncio


class Inbox:
    """Datagrams with their components, in order.

    Attributes: lost: set while the connection is.
    """

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self._received: asyncio.Queue[tuple[bytes, int] | None] = asyncio.Queue()

    @property
    def is_empty(self) -> bool:
        """True when `get` would wait."""
        return self._received.empty()

    def put(self, data: bytes, component: int) -> None:
        """Take a datagram."""
        self._received.put_nowait((data, component))

    def lose(self) -> None:
        """Wake up everybody who waits."""
        self.lost.set()
        self._received.put_nowait(None)

    def find(self) -> None:
        """Undo `lose`: those who wait from now on wait for another path; what has come stays."""
        self.lost.clear()
        kept = [self._received.get_nowait() for _ in range(self._received.qsize())]
        for received in filter(None, kept):
            self._received.put_nowait(received)

    async def get(self) -> tuple[bytes, int]:
        """Return the next datagram. Raises: ConnectionError: it was lost."""
        received = await self._received.get()
        if received is None:
            raise ConnectionError("Connection lost while receiving data")
        return received
