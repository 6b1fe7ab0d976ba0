"""Reading a UDP socket under any event loop, several datagrams to a wake-up.

Measured on CPython 3.11: asyncio's datagram transports cost 37 µs a relayed packet, a reader that
drains the socket 10 µs, and 9 µs an epoll loop of one's own.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Protocol

from natkit.dataplane.marks import FIRST, ROOM, marked_receive
from natkit.dataplane.watching import Watching, watching_many
from natkit.machine import Instant


class Owner(Protocol):
    """Whose socket is read. Neither of these may raise."""

    def received(self, data: bytes, source: Any, now: Instant, mark: int, /) -> None:
        """Take a datagram, its source as the socket module writes it, and its mark
        (natkit.dataplane.marks).
        """

    def failed(self, now: Instant, /) -> None:
        """Take that reading failed with an error other than "nothing there"."""


class Way(Protocol):
    """How datagrams come and go. What received them names their senders by a key."""

    def key(self, address: Any, /) -> Any:
        """Return the key of an address that is written as the socket module does."""

    def address(self, key: Any, /) -> Any:
        """Return the address of a key."""

    def reader(self, sock: socket.socket, owner: Any, /, *, ipv6: bool) -> Reading:
        """Read `sock` from now on. Its owner is an `Owner`, or what the way needs of one."""

    def flush(self) -> None:
        """Send what waits to be sent, if anything does."""

    def close(self) -> None:
        """Give back what the system lent."""


class Reading(Protocol):
    """Reads a socket."""

    def stop(self) -> None:
        """Read no more, and close the socket."""


BURST = 32
"""Datagrams read before the loop gets its turn again: enough to spread what a wake-up costs, and
under a millisecond."""

PROBE_EVERY = 16
"""Wake-ups between looks for a second datagram, while there never is one: asking an empty socket
costs as much as reading a full one."""

LARGEST_DATAGRAM = 65536


class Reader:
    """Reads a non-blocking socket until `stop`.

    Args:
        watching: calls when there is something to read.
        ipv6:     what the socket is, since it takes long to tell.
    """

    __slots__ = (
        "_alone",
        "_crowd",
        "_owner",
        "_receive",
        "_sock",
        "_stopped",
        "_task",
        "_time",
        "_watching",
    )

    def __init__(
        self,
        sock: socket.socket,
        owner: Owner,
        watching: Watching,
        *,
        ipv6: bool,
    ) -> None:
        self._sock = sock
        self._receive = marked_receive(sock, ipv6=ipv6)
        self._owner = owner
        self._watching = watching
        self._time = watching.time
        self._alone = 0
        self._crowd = False
        self._stopped = False
        self._task: asyncio.Task[None] | None = None
        try:
            watching.add_reader(sock, self._drain)
        except NotImplementedError:  # Windows' proactor loop
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._read(loop))

    def stop(self) -> None:
        """Read no more, and close the socket."""
        self._stopped = True
        if self._task is None:
            self._watching.remove_reader(self._sock)
            self._sock.close()
        else:
            self._task.add_done_callback(lambda _: self._sock.close())
            self._task.cancel()

    def _drain(self) -> None:
        now = self._time()
        receive, owner = self._receive, self._owner
        try:
            data, marks, _, source = receive(LARGEST_DATAGRAM, ROOM)
            owner.received(data, source, now, marks[0][2][FIRST] if marks else 0)
            if self._alone:
                self._alone -= 1
                return
            for _ in range(BURST):
                data, marks, _, source = receive(LARGEST_DATAGRAM, ROOM)
                owner.received(data, source, now, marks[0][2][FIRST] if marks else 0)
                self._crowd = True
        except BlockingIOError:
            if not self._crowd:
                self._alone = PROBE_EVERY
            self._crowd = False
        except OSError:
            if not self._stopped:  # what was delivered may have ended this socket's life
                owner.failed(now)

    async def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            try:
                data, source = await loop.sock_recvfrom(self._sock, LARGEST_DATAGRAM)
            except OSError:
                self._owner.failed(loop.time())
                await asyncio.sleep(0)
            else:
                self._owner.received(data, source, loop.time(), 0)


class OneByOne:
    """The way of sockets whose datagrams come and go one at a time: see `Way`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._watching = watching_many(loop)

    def key(self, address: Any) -> Any:
        """Return the address itself."""
        return address

    def address(self, key: Any) -> Any:
        """Return the key itself."""
        return key

    def reader(self, sock: socket.socket, owner: Owner, *, ipv6: bool) -> Reader:
        """Read `sock` from now on."""
        return Reader(sock, owner, self._watching, ipv6=ipv6)

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing was lent."""
