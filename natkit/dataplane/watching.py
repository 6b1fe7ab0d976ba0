"""Waiting for thousands of sockets through one descriptor of the event loop.

A relayed address has a socket, and most of what an event loop does to take one in and let it go is
for what sockets of streams need: uvloop asks the kernel three times and makes a handle of half a
kilobyte. An epoll of one's own, which the loop watches as one descriptor, asks once.
"""

from __future__ import annotations

import asyncio
import select
import socket
import sys
from collections.abc import Callable
from typing import Protocol

from natkit.machine import Instant

AT_ONCE = 64
"""Sockets looked at before the loop gets its turn again."""


class Watching(Protocol):
    """Calls back when a socket can be read, as event loops do."""

    def time(self) -> Instant:
        """Return the time on the event loop's clock."""

    def add_reader(self, sock: socket.socket, callback: Callable[[], None], /) -> object:
        """Call back whenever there is something to read. Raises: NotImplementedError: it cannot."""

    def remove_reader(self, sock: socket.socket, /) -> object:
        """Call back no more. To be said before the socket is closed."""


class EdgeWatching(Watching, Protocol):
    """Calls back once for what came, however much of it is then read: the next time when more
    comes.
    """

    def again(self, sock: socket.socket, /) -> None:
        """Call back once more if there is something left to read."""


if sys.platform == "linux":

    class EpollWatching:
        """An epoll that an event loop watches while there is anything in it.

        Args:
            edges: it is an `EdgeWatching`.
            then:  called after every round of callbacks.
        """

        def __init__(
            self,
            loop: asyncio.AbstractEventLoop,
            *,
            edges: bool = False,
            then: Callable[[], None] = lambda: None,
        ) -> None:
            self.time = loop.time
            self._then = then
            self._loop = loop
            self._what = select.EPOLLIN | (select.EPOLLET if edges else 0)
            self._callbacks: dict[int, Callable[[], None]] = {}

        def add_reader(self, sock: socket.socket, callback: Callable[[], None], /) -> None:
            """Call back whenever there is something to read."""
            if not self._callbacks:
                self._epoll = select.epoll()
                self._loop.add_reader(self._epoll, self._wake)
            descriptor = sock.fileno()
            self._epoll.register(descriptor, self._what)
            self._callbacks[descriptor] = callback

        def again(self, sock: socket.socket, /) -> None:
            """Call back once more if there is something left to read."""
            self._epoll.modify(sock.fileno(), self._what)

        def remove_reader(self, sock: socket.socket, /) -> None:
            """Call back no more."""
            descriptor = sock.fileno()
            del self._callbacks[descriptor]
            self._epoll.unregister(descriptor)
            if not self._callbacks:
                self._loop.remove_reader(self._epoll)
                self._epoll.close()

        def _wake(self) -> None:
            callbacks = self._callbacks
            for descriptor, _ in self._epoll.poll(0, AT_ONCE):
                # An earlier one may have ended this one's life.
                if descriptor in callbacks:
                    callbacks[descriptor]()
            self._then()

    def watching_many(loop: asyncio.AbstractEventLoop) -> Watching:
        """Return what watches many sockets under `loop`."""
        return EpollWatching(loop)

    def watching_edges(loop: asyncio.AbstractEventLoop, then: Callable[[], None]) -> EdgeWatching:
        """Return what watches many sockets under `loop`, and calls `then` after what they had."""
        return EpollWatching(loop, edges=True, then=then)

else:

    def watching_many(loop: asyncio.AbstractEventLoop) -> Watching:
        """Return what watches many sockets: `loop`, since there is no epoll here."""
        return loop

    def watching_edges(_: asyncio.AbstractEventLoop, __: Callable[[], None]) -> EdgeWatching:
        """Raises: NotImplementedError: there is no epoll here."""
        raise NotImplementedError
