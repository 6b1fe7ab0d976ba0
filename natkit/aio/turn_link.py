"""Messages between the processes of one TURN server, with descriptors where they carry some.

A link is a Unix socket pair whose ends only these processes have, so what comes is their own and
may be unpickled. A message goes in pieces of PIECE, each with a byte that says whether it is the
first and the last: one of any size passes, and what a dead process left unfinished is passed over.

Rule of the file: what the other end does not take in time waits, but for media, which is dropped,
as on any busy link.
"""

from __future__ import annotations

import asyncio
import errno
import os
import pickle
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from natkit.errors import Unsupported

Deliver: TypeAlias = Callable[[Any, list[int]], None]
"""Takes a message, and the descriptors that came with it, which are its own from then on."""

MOST_DESCRIPTORS = 253
"""With one message: SCM_MAX_FD of Linux (net/scm.h)."""

PIECE = 1 << 16
"""Bytes of a message that go at once: well below what a socket holds (net.core.wmem_default)."""

_FIRST, _LAST = 1, 2

_BROKEN = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF})
"""What says that nobody is at the other end; anything else is about one message."""

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
        bound:   bytes that may wait before more messages are dropped; None: all of them wait.
    """

    def __init__(
        self,
        sock: socket.socket,
        deliver: Deliver,
        ended: Callable[[], None] | None = None,
        bound: int | None = None,
    ) -> None:
        self._sock = sock
        self._deliver = deliver
        self._ended = ended
        self._waiting: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._size = 0
        self._bound = float("inf") if bound is None else bound
        self._got = bytearray()
        self._got_descriptors: list[int] = []
        self._closed = False
        self._said = asyncio.Event()
        self._said.set()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._read)

    def send(self, message: object, descriptors: Sequence[int] = ()) -> bool:
        """Send a message; it waits if it must. Descriptors stay the caller's: copies are sent.

        Returns: false where it is dropped: too much waits, or no descriptor is left for a copy.
        """
        if self._closed or self._size >= self._bound:
            return False
        copies = _copies(descriptors)
        if copies is None:
            return False
        idle = not self._waiting
        for piece in _pieces(pickle.dumps(message)):
            self._waiting.append((piece, copies))
            self._size += len(piece)
            copies = ()
        if idle:
            self._said.clear()
            self._write()
        return True

    def send_media(self, message: object) -> bool:
        """Send a message now or not at all; False: it was dropped."""
        if self._waiting or self._closed:
            return False
        data = pickle.dumps(message)
        if len(data) > PIECE:
            return self.send(message)
        try:
            self._sock.send(bytes((_FIRST | _LAST,)) + data)
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
        _close_all(self._got_descriptors)
        self._got_descriptors = []
        self._said.set()

    def _write(self) -> None:
        while self._waiting and not self._closed:
            data, copies = self._waiting[0]
            try:
                _send(self._sock, data, copies)
            except BlockingIOError:
                self._loop.add_writer(self._sock, self._write)
                return
            except OSError as error:
                if error.errno in _BROKEN:
                    self._end()
                    return
            self._waiting.popleft()
            self._size -= len(data)
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
            self._take(data, descriptors)

    def _take(self, data: bytes, descriptors: list[int]) -> None:
        """Put a piece to those before it, and deliver what is whole."""
        if data[0] & _FIRST:
            self._got.clear()
            _close_all(self._got_descriptors)
            self._got_descriptors = descriptors
        elif not self._got:
            return  # of a message whose beginning somebody else has read
        self._got += data[1:]
        if data[0] & _LAST:
            whole, self._got = bytes(self._got), bytearray()
            came, self._got_descriptors = self._got_descriptors, []
            self._deliver(pickle.loads(whole), came)

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
    data, descriptors, _, _ = socket.recv_fds(sock, PIECE + 1, MOST_DESCRIPTORS)
    return data, descriptors


def _pieces(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), PIECE):
        mark = (_FIRST if at == 0 else 0) | (_LAST if at + PIECE >= len(data) else 0)
        yield bytes((mark,)) + data[at : at + PIECE]


def _copies(descriptors: Sequence[int]) -> tuple[int, ...] | None:
    """Return copies of descriptors; None: there are no more to be had."""
    copies: list[int] = []
    try:
        for descriptor in descriptors:
            copies.append(os.dup(descriptor))
    except OSError:
        _close_all(copies)
        return None
    return tuple(copies)


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
