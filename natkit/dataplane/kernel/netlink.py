"""Questions to Linux by netlink (7): what it would do with packets that XDP passes it by with."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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


_ROUTE = 0
_GET_LINK = 18
_LINK = Struct("=BxHiII")
"""Family, type, index, flags, change (struct ifinfomsg)."""
_ATTRIBUTE = Struct("=HH")
_BELOW, _MASTER, _INFO, _ELSEWHERE, _ASKED_OF = 5, 10, 18, 37, 46
"""IFLA_LINK, MASTER, LINKINFO, LINK_NETNSID, TARGET_NETNSID (linux/if_link.h)."""
_KIND, _DATA, _FILTERS_TAGS = 1, 2, 7
"""IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_BR_VLAN_FILTERING."""
_NUMBER = Struct("=i")


@dataclass(frozen=True, slots=True)
class Link:
    """An interface as others see it.

    Attributes:
        kind:      "veth", "bridge", "vlan", …; empty: hardware.
        below:     the index of what it is on, or of its other end; 0: of nothing.
        elsewhere: the number of the namespace where that is; None: the interface's own.
        master:    the index of the bridge that it is a port of; 0: of none.
        filters:   it is a bridge that goes by VLAN tags.
    """

    kind: str = ""
    below: int = 0
    elsewhere: int | None = None
    master: int = 0
    filters: bool = False


def links(namespace: int | None = None) -> dict[int, Link]:
    """Return all interfaces by index.

    Args:   namespace: by the number that this one has for it; None: this one's.
    Raises: OSError: this process may not know (CAP_NET_ADMIN, there).
    """
    body = _LINK.pack(0, 0, 0, 0, 0)
    if namespace is not None:
        size = _ATTRIBUTE.size + _NUMBER.size
        body += _ATTRIBUTE.pack(size, _ASKED_OF) + _NUMBER.pack(namespace)
    found = {}
    for answer in _asked(_ROUTE, _GET_LINK, body, _DUMP):
        _, _, index, _, _ = _LINK.unpack_from(answer)
        found[index] = _link(_attributes(answer[_LINK.size :]))
    return found


def is_hardware(index: int) -> bool:
    """Tell whether an interface is there, and not made of software."""
    try:
        one = links().get(index)
    except OSError:
        return False
    return one is not None and not one.kind


def has_hidden_tags(index: int) -> bool:
    """Tell whether frames are known to come to an interface with VLAN tags that XDP does not see.

    Software hands a tag over beside the frame: of a veth its other end is asked about as well.
    Hardware can be told to leave it in (`tools.relay_forwarding`).

    Raises: OSError: this process may not know.
    """
    here = links()
    one = here.get(index, Link())
    if not one.kind:
        return False
    if one.kind != "veth" or not one.below:
        return goes_by_tags(index, here)
    there = here if one.elsewhere is None else links(one.elsewhere)
    return goes_by_tags(index, here) or goes_by_tags(one.below, there)


def goes_by_tags(index: int, among: Mapping[int, Link]) -> bool:
    """Tell whether an interface has VLANs on it, or is a bridge that filters them, or its port."""
    one = among.get(index, Link())
    if one.filters or among.get(one.master, Link()).filters:
        return True
    return any(
        other.kind == "vlan" and other.below == index and other.elsewhere is None
        for other in among.values()
    )


def _link(told: Mapping[int, bytes]) -> Link:
    info = _attributes(told.get(_INFO, b""))
    kind = info.get(_KIND, b"").rstrip(b"\0").decode()
    data = _attributes(info.get(_DATA, b"")) if kind == "bridge" else {}
    return Link(
        kind,
        _number(told.get(_BELOW)) or 0,
        _number(told.get(_ELSEWHERE)),
        _number(told.get(_MASTER)) or 0,
        data.get(_FILTERS_TAGS, b"\0")[0] == 1,
    )


def _number(value: bytes | None) -> int | None:
    return None if value is None else int(_NUMBER.unpack(value)[0])


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    while data:
        size, kind = _ATTRIBUTE.unpack_from(data)
        found[kind & 0x3FFF] = data[_ATTRIBUTE.size : size]
        data = data[(size + 3) & ~3 :]
    return found


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
