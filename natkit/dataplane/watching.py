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
from typing import Any, Protocol

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


class Epoll:
    """An epoll that an event loop watches while there is anything in it (Linux).

    Args:
        wake:  called when `poll` has something to tell.
        edges: a socket is told of once for what came, however much of it is then read: the next
               time when more comes, or after `again`.

    Attributes:
        poll: `select.epoll.poll`, while there is anything in it.

    Raises: NotImplementedError: this is another system.
    """

    poll: Callable[[float, int], list[tuple[int, int]]]
    _epoll: Any
    _open: Callable[[], Any]
    _what: int

    def __init__(
        self, loop: asyncio.AbstractEventLoop, wake: Callable[[], None], *, edges: bool = False
    ) -> None:
        self._loop = loop
        self._wake = wake
        self._sockets = 0
        if sys.platform != "linux":
            raise NotImplementedError
        self._open = select.epoll
        self._what = select.EPOLLIN | (select.EPOLLET if edges else 0)

    def add(self, descriptor: int) -> None:
        """Tell of a socket whenever there is something to read."""
        if not self._sockets:
            self._epoll = self._open()
            self.poll = self._epoll.poll
            self._loop.add_reader(self._epoll, self._wake)
        self._epoll.register(descriptor, self._what)
        self._sockets += 1

    def again(self, descriptor: int) -> None:
        """Tell of a socket once more if there is something left to read."""
        self._epoll.modify(descriptor, self._what)

    def remove(self, descriptor: int) -> None:
        """Tell of a socket no more. To be said before it is closed."""
        self._epoll.unregister(descriptor)
        self._sockets -= 1
        if not self._sockets:
            self._loop.remove_reader(self._epoll)
            self._epoll.close()


class EpollWatching:
    """An `Epoll` that calls back: see `Watching`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.time = loop.time
        self._epoll = Epoll(loop, self._wake)
        self._callbacks: dict[int, Callable[[], None]] = {}

    def add_reader(self, sock: socket.socket, callback: Callable[[], None], /) -> None:
        """Call back whenever there is something to read."""
        self._epoll.add(sock.fileno())
        self._callbacks[sock.fileno()] = callback

    def remove_reader(self, sock: socket.socket, /) -> None:
        """Call back no more."""
        del self._callbacks[sock.fileno()]
        self._epoll.remove(sock.fileno())

    def _wake(self) -> None:
        callbacks = self._callbacks
        for descriptor, _ in self._epoll.poll(0, AT_ONCE):
            # An earlier one may have ended this one's life.
            if descriptor in callbacks:
                callbacks[descriptor]()


def watching_many(loop: asyncio.AbstractEventLoop) -> Watching:
    """Return what watches many sockets under `loop`: itself, where there is no epoll."""
    return EpollWatching(loop) if sys.platform == "linux" else loop
