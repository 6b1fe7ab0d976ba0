"""Messages between the processes of one TURN server, with descriptors where they carry some.

A link is a Unix socket pair whose ends only these processes have, so what comes is their own and
may be unpickled. Rule of the file: what the other end does not take in time waits, but for media,
which is dropped, as on any busy link.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from natkit.errors import Unsupported

Deliver: TypeAlias = Callable[[Any, list[int]], None]
"""Takes a message, and the descriptors that came with it, which are its own from then on."""

MOST_DESCRIPTORS = 253
"""With one message: SCM_MAX_FD of Linux (net/scm.h)."""

_LARGEST = 1 << 17
"""Bytes of a message: a relayed datagram with its path, or a batch of reports."""

_MOST_WAITING = 4096
"""Messages that may wait. Who does not read for so long is dead, or an attacker's tool."""

_BURST = 32
"""Messages taken before the event loop gets its turn again."""


def link_pair() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a new link. Messages keep their order and their bounds.

    Raises: Unsupported: this system has no such sockets.
    """
    if sys.platform == "win32":
        raise Unsupported("workers need Linux")
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (one, other):
        end.setblocking(False)
    return one, other


class Link:
    """One end of a link, in a running event loop.

    Args:
        sock:    the end, non-blocking; owned from now on.
        deliver: takes what comes.
        ended:   hears that the other end is closed; None: somebody always holds it open.
    """

    def __init__(
        self, sock: socket.socket, deliver: Deliver, ended: Callable[[], None] | None = None
    ) -> None:
        self._sock = sock
        self._deliver = deliver
        self._ended = ended
        self._waiting: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._closed = False
        self._said = asyncio.Event()
        self._said.set()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._read)

    def send(self, message: object, descriptors: Sequence[int] = ()) -> None:
        """Send a message; it waits if it must. Descriptors stay the caller's: copies are sent."""
        if self._closed or len(self._waiting) >= _MOST_WAITING:
            return
        copies = tuple(os.dup(descriptor) for descriptor in descriptors)
        self._waiting.append((pickle.dumps(message), copies))
        if len(self._waiting) == 1:
            self._said.clear()
            self._write()

    def send_media(self, message: object) -> bool:
        """Send a message now or not at all; False: it was dropped."""
        if self._waiting or self._closed:
            return False
        try:
            self._sock.send(pickle.dumps(message))
        except OSError:
            return False
        return True

    async def said(self) -> None:
        """Wait until nothing waits any more, or nobody is there to say it to."""
        await self._said.wait()

    def close(self) -> None:
        """Send and take nothing more. Closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        while self._waiting:
            _close_all(self._waiting.popleft()[1])
        self._said.set()

    def _write(self) -> None:
        while self._waiting and not self._closed:
            data, copies = self._waiting[0]
            try:
                _send(self._sock, data, copies)
            except BlockingIOError:
                self._loop.add_writer(self._sock, self._write)
                return
            except OSError:
                self._end()
                return
            self._waiting.popleft()
            _close_all(copies)
        if not self._closed:
            self._loop.remove_writer(self._sock)
            self._said.set()

    def _read(self) -> None:
        for _ in range(_BURST):
            if self._closed:
                return
            try:
                data, descriptors = _receive(self._sock)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._end()
                return
            self._deliver(pickle.loads(data), descriptors)

    def _end(self) -> None:
        self.close()
        if self._ended is not None:
            self._ended()


def _send(sock: socket.socket, data: bytes, descriptors: Sequence[int]) -> None:
    if sys.platform != "win32":
        socket.send_fds(sock, [data], descriptors)


def _receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    if sys.platform == "win32":
        return b"", []
    data, descriptors, _, _ = socket.recv_fds(sock, _LARGEST, MOST_DESCRIPTORS)
    return data, descriptors


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
