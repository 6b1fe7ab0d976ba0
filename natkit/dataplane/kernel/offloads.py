"""Who drives an interface, and what it does to packets by itself: ioctl(SIOCETHTOOL)."""

from __future__ import annotations

import ctypes
import socket
from struct import Struct

_SIOCETHTOOL = 0x8946
_REQUEST = Struct("@16sP16x")  # struct ifreq, with a pointer

# linux/ethtool.h: struct ethtool_drvinfo, ethtool_sset_info with one count, ethtool_gstrings,
# ethtool_gfeatures.
_GET_DRIVER, _DRIVER = 3, Struct("=I32s32s32s32s32s12s5I")
_GET_COUNTS, _COUNTS = 0x37, Struct("=IIQI4x")
_GET_NAMES, _NAMES, _NAME_SIZE = 0x1B, Struct("=III"), 32
_GET_FEATURES, _FEATURES = 0x3A, Struct("=II")
_BLOCK = Struct("=4I")
"""Available, wanted, active and never changed: bits of 32 features each."""
_SET_OF_FEATURES = 4  # ETH_SS_FEATURES

_OF_ANYTHING = frozenset({"tx-checksum-ip-generic"})
_OF_EACH_VERSION = frozenset({"tx-checksum-ipv4", "tx-checksum-ipv6"})


def completes_checksums(interface: int) -> bool:
    """Tell whether an interface, by its index, completes UDP checksums of what it sends.

    False, too, where that cannot be found out.
    """
    try:
        features = _active_features(socket.if_indextoname(interface))
    except OSError:
        return False
    return features >= _OF_ANYTHING or features >= _OF_EACH_VERSION


def driver(name: str) -> str:
    """Return the name of an interface's driver; empty: it does not tell."""
    empty = bytes(32)
    question = _DRIVER.pack(_GET_DRIVER, *[empty] * 5, bytes(12), *[0] * 5)
    try:
        told: bytes = _DRIVER.unpack(_asked(name, question))[1]
    except OSError:
        return ""
    return told.rstrip(b"\0").decode(errors="replace")


def _active_features(name: str) -> set[str]:
    """Raises: OSError."""
    counted = _asked(name, _COUNTS.pack(_GET_COUNTS, 0, 1 << _SET_OF_FEATURES, 0))
    count: int = _COUNTS.unpack(counted)[3]
    header = _NAMES.pack(_GET_NAMES, _SET_OF_FEATURES, count)
    names = _asked(name, header + bytes(count * _NAME_SIZE))[_NAMES.size :]
    blocks = -(-count // 32)
    header = _FEATURES.pack(_GET_FEATURES, blocks)
    told = _asked(name, header + bytes(blocks * _BLOCK.size))[_FEATURES.size :]
    active = [block[2] for block in _BLOCK.iter_unpack(told)]
    return {
        names[at * _NAME_SIZE : (at + 1) * _NAME_SIZE].rstrip(b"\0").decode("ascii", "replace")
        for at in range(count)
        if active[at // 32] >> at % 32 & 1
    }


def _asked(name: str, question: bytes) -> bytes:
    """Return what the kernel has made of a question. Raises: OSError."""
    buffer = ctypes.create_string_buffer(question, len(question))
    request = ctypes.create_string_buffer(
        _REQUEST.pack(name.encode(), ctypes.addressof(buffer)), _REQUEST.size
    )
    libc = ctypes.CDLL(None, use_errno=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        if libc.ioctl(sock.fileno(), _SIOCETHTOOL, request) < 0:
            raise OSError(ctypes.get_errno(), f"{name} does not tell what it does by itself")
    return buffer.raw
