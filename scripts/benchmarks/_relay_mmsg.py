"""Many datagrams with one system call: sendmmsg(2) and recvmmsg(2), on buffers prepared before.

No packet is touched in Python. All datagrams of an `Outbox` gather the same bytes: a header, a
stamp, and what fills them up; the stamp is written once for each system call, right before it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import time
from collections.abc import Sequence
from typing import NamedTuple

BATCH = 64
"""Datagrams of one system call, at most."""

STAMP = 8
"""Bytes: nanoseconds of the monotonic clock, as this machine writes them."""

_ROOM = 2048
"""Bytes that a datagram may take in an `Inbox`."""

_MSG_WAITFORONE = 0x10000
_IP_PKTINFO = 8
_TOO_BUSY = (errno.EAGAIN, errno.ENOBUFS, errno.EINTR)


class _Piece(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Datagram(ctypes.Structure):
    """struct mmsghdr."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("pieces", ctypes.c_void_p),
        ("piece_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int64),  # 32 bits of them are filling
        ("length", ctypes.c_uint64),
    )


_DATAGRAM, _LENGTH = 64, 56
"""Its size, and where `length` is in it."""

_libc = ctypes.CDLL(None, use_errno=True)
_ARGUMENTS = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)


class Way(NamedTuple):
    """Where a datagram goes.

    Attributes: source: an IP of this machine; "": what the route says.
    """

    source: str
    ip: str
    port: int


class Outbox:
    """Sends datagrams to ways in turn.

    Args:
        sock: an IPv4 socket.
        ways: one for each call.
        size: bytes of a datagram beside `header`, >= STAMP.
    """

    def __init__(self, sock: socket.socket, ways: Sequence[Way], header: bytes, size: int) -> None:
        self._descriptor = sock.fileno()
        self._stamp = ctypes.c_int64()
        self._length = -(-4 * BATCH // len(ways)) * len(ways)
        self._datagrams = (_Datagram * self._length)()
        self._start, self._at = ctypes.addressof(self._datagrams), 0
        self._send = _libc.sendmmsg
        self._send.argtypes = _ARGUMENTS
        self._kept: list[object] = []
        pieces = (_Piece * 3)()
        for piece, text in ((pieces[0], header), (pieces[2], bytes(size - STAMP))):
            piece.base, piece.length = self._keep(text)
        pieces[1].base, pieces[1].length = ctypes.addressof(self._stamp), STAMP
        self._kept.append(pieces)
        names = [self._keep(_name(way)) for way in ways]
        controls = [self._keep(_control(way.source)) for way in ways]
        for number, datagram in enumerate(self._datagrams):
            datagram.name, datagram.name_length = names[number % len(ways)]
            datagram.control, datagram.control_length = controls[number % len(ways)]
            datagram.pieces, datagram.piece_count = ctypes.addressof(pieces), 3

    def send(self, count: int) -> int:
        """Send up to `count`, BATCH at most; return how many the kernel took."""
        count = min(count, BATCH, self._length - self._at)
        where = self._start + self._at * _DATAGRAM
        self._stamp.value = time.monotonic_ns()
        sent: int = self._send(self._descriptor, where, count, 0)
        if sent < 0:
            code = ctypes.get_errno()
            if code not in _TOO_BUSY:
                raise OSError(code, os.strerror(code))
            return 0
        self._at = (self._at + sent) % self._length
        return sent

    def _keep(self, text: bytes) -> tuple[int | None, int]:
        """Return where these bytes are from now on, and how many."""
        if not text:
            return None, 0
        buffer = ctypes.create_string_buffer(text, len(text))
        self._kept.append(buffer)
        return ctypes.addressof(buffer), len(text)


def _name(way: Way) -> bytes:
    """Return struct sockaddr_in."""
    return struct.pack("=H", socket.AF_INET) + struct.pack(
        "!H4s8x", way.port, socket.inet_aton(way.ip)
    )


def _control(source: str) -> bytes:
    """Return ancillary data that has the datagram sent from there (ip(7), IP_PKTINFO)."""
    if not source:
        return b""
    info = struct.pack("=i4s4x", 0, socket.inet_aton(source))
    header = struct.pack("=Qii", 16 + len(info), socket.IPPROTO_IP, _IP_PKTINFO)
    return (header + info).ljust(32, b"\0")


class Inbox:
    """Receives the datagrams of an `Outbox`.

    Args:
        sock:   a socket that blocks, with a time limit of the kernel's (SO_RCVTIMEO).
        header: bytes before the stamp.
        size:   bytes from the stamp on; datagrams of other sizes do not count.
    """

    def __init__(self, sock: socket.socket, header: int, size: int) -> None:
        self._descriptor, self._wanted = sock.fileno(), header + size
        self._buffer = (ctypes.c_char * (_ROOM * BATCH))()
        self._headers = (ctypes.c_char * BATCH)()
        self._datagrams = (_Datagram * BATCH)()
        self._start = ctypes.addressof(self._datagrams)
        self._receive = _libc.recvmmsg
        self._receive.argtypes = (*_ARGUMENTS, ctypes.c_void_p)
        self._pieces = (_Piece * (2 * BATCH))()
        base, heads = ctypes.addressof(self._buffer), ctypes.addressof(self._headers)
        for number, datagram in enumerate(self._datagrams):
            head, body = self._pieces[2 * number], self._pieces[2 * number + 1]
            head.base, head.length = heads, header
            body.base, body.length = base + number * _ROOM, _ROOM
            datagram.pieces, datagram.piece_count = ctypes.addressof(head), 2
        self._stamps = memoryview(self._buffer).cast("B").cast("q")[:: _ROOM // STAMP]
        self._lengths = (
            memoryview(self._datagrams).cast("B").cast("I")[_LENGTH // 4 :: _DATAGRAM // 4]
        )

    def receive(self) -> list[int]:
        """Wait for datagrams; return their stamps, none where the time limit is over."""
        count = self._receive(self._descriptor, self._start, BATCH, _MSG_WAITFORONE, None)
        if count <= 0:
            return []
        stamps = self._stamps[:count].tolist()
        lengths = self._lengths[:count].tolist()
        if lengths.count(self._wanted) == count:
            return stamps
        return [s for s, length in zip(stamps, lengths, strict=True) if length == self._wanted]
