"""Questions to Linux by netlink (7): what it would do with packets that XDP passes it by with."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Iterator
from struct import Struct

_HEADER = Struct("=IHHII")
"""Size, type, flags, number, port (struct nlmsghdr)."""
_REQUEST, _MULTI, _DUMP = 0x1, 0x2, 0x300
_ERROR, _DONE = 2, 3
_CODE = Struct("=i")
_MOST = 1 << 17
"""Bytes of an answer: the kernel fills no more than 32 KiB at once."""

_XFRM = 6
_GET_POLICY, _GET_DEFAULT = 0x15, 0x28
_DIRECTION = 160
"""Where a policy (struct xfrm_userpolicy_info) says for whom it is: 0, 1, 2 are packets that come
in, go out and pass; the rest is for one socket, such as that of a key exchange."""
_DIRECTIONS = 3
_BLOCK = 1
_ABSENT = (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.ECONNREFUSED)
"""What a kernel without IPsec, or without its netlink, says."""


def has_ipsec_policies() -> bool:
    """Tell whether packets have to be asked for IPsec: one policy, or a default that blocks.

    Raises: OSError: this process may not know (CAP_NET_ADMIN).
    """
    try:
        policies = _asked(_XFRM, _GET_POLICY, b"", _DUMP)
    except OSError as error:
        if error.errno in _ABSENT:
            return False
        raise
    if any(policy[_DIRECTION] < _DIRECTIONS for policy in policies):
        return True
    try:
        [defaults] = _asked(_XFRM, _GET_DEFAULT, bytes(4))
    except OSError:  # Linux before 5.15 has none
        return False
    return _BLOCK in defaults[:_DIRECTIONS]


def _asked(protocol: int, kind: int, body: bytes, flags: int = 0) -> list[bytes]:
    """Ask the kernel, and return what its answers carry. Raises: OSError: it does not answer."""
    if sys.platform != "linux":
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as sock:
        size = _HEADER.size + len(body)
        sock.sendto(_HEADER.pack(size, kind, _REQUEST | flags, 1, 0) + body, (0, 0))
        found: list[bytes] = []
        while True:
            for answer, more, payload in _messages(sock.recv(_MOST)):
                if answer in (_ERROR, _DONE):
                    code = -_CODE.unpack_from(payload)[0]
                    if code:
                        raise OSError(code, os.strerror(code))
                    return found
                found.append(payload)
                if not more:
                    return found


def _messages(data: bytes) -> Iterator[tuple[int, bool, bytes]]:
    """Yield the type of each message, whether another one follows, and what it carries."""
    while data:
        size, kind, flags, _, _ = _HEADER.unpack_from(data)
        yield kind, bool(flags & _MULTI), data[_HEADER.size : size]
        data = data[(size + 3) & ~3 :]
