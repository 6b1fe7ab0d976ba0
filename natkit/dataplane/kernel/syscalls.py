"""bpf(2) through ctypes: maps, programs and links, as descriptors that close with this process.

Nothing is pinned: when the last process that holds a descriptor ends, by whatever cause, the kernel
takes the program off its interface and frees the maps. Linux 5.9 and newer (links to XDP).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
from enum import IntEnum
from struct import Struct

from natkit.errors import NatkitError

NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}
"""The number of the system call, by machine (asm/unistd.h)."""

_MAP_CREATE, _LOOK_UP, _UPDATE, _DELETE, _NEXT_KEY = range(5)
_PROG_LOAD, _LINK_CREATE = 5, 28
_XDP = 6
"""A program's type."""
_ATTACH_XDP = 37
_SKB_MODE, _DRIVER_MODE = 1 << 1, 1 << 2
_LICENSE = b"Dual BSD/GPL\0"
"""The look-up of routes is for programs under the GPL or a licence that goes with it."""
_LOG_SIZE = 1 << 20
_TAIL_OF_LOG = 12
"""Lines of the verifier's log that a person is shown: the end says what it did not like."""
_ATTEMPTS = 5
"""Of loading a program, as many as libbpf makes: a signal that comes while the kernel verifies it,
for a tenth of a second, ends that with EAGAIN."""


class MapKind(IntEnum):
    """What a map is (linux/bpf.h, bpf_map_type)."""

    HASH = 1
    ARRAY = 2
    PER_CPU_ARRAY = 6


MMAPABLE = 1 << 10
"""Flag of an array that this process may map into its memory."""


_CAPABILITIES = "The process needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"
"""The last one to subtract pointers: how long a packet is."""
_THERE = "Another XDP program is there: see `ip link`, and stop what put it there"
_HINTS = {
    errno.EPERM: _CAPABILITIES,
    errno.EBUSY: _THERE,
    errno.EEXIST: _THERE,
    errno.EAGAIN: "Signals came each time while it looked at the program: start it again",
    errno.ENOSYS: "It needs Linux 5.9 or newer, on a machine of 64 bits",
}


class BpfRefused(NatkitError):
    """The kernel does not do what it was asked."""

    def __init__(self, what: str, code: int, log: str = "") -> None:
        self.code, self.log = code, log
        hint = _HINTS.get(code)
        if "pointer prohibited" in log:
            hint = _CAPABILITIES
        elif log and hint is None:
            hint = "\n".join(log.splitlines()[-_TAIL_OF_LOG:])
        super().__init__(f"the kernel does not {what}", why=os.strerror(code), hint=hint)


def _bpf(command: int, attributes: bytes) -> tuple[int, int]:
    """Make the system call; return its result and errno."""
    number = NUMBERS.get(platform.machine())
    if number is None or platform.system() != "Linux":
        return -1, errno.ENOSYS
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    result = libc.syscall(number, command, buffer, len(attributes))
    return result, ctypes.get_errno() if result < 0 else 0


_CREATE = Struct("=IIIII")


def create_map(kind: MapKind, key: int, value: int, entries: int, flags: int = 0) -> int:
    """Return the descriptor of a new map.

    Args:   key, value: sizes in bytes.
    Raises: BpfRefused.
    """
    made, code = _bpf(_MAP_CREATE, _CREATE.pack(kind, key, value, entries, flags))
    if made < 0:
        raise BpfRefused(f"make a map of {entries} entries", code)
    return made


_ELEMENT = Struct("=I4xQQQ")


def update(descriptor: int, key: bytes, value: bytes) -> None:
    """Put a value into a map. Raises: BpfRefused: it is full."""
    keep_key, keep_value = (ctypes.create_string_buffer(b, len(b)) for b in (key, value))
    element = _ELEMENT.pack(descriptor, ctypes.addressof(keep_key), ctypes.addressof(keep_value), 0)
    result, code = _bpf(_UPDATE, element)
    if result < 0:
        raise BpfRefused("take an entry into its table", code)


def delete(descriptor: int, key: bytes) -> None:
    """Take a value out of a map; nothing happens where there is none."""
    keep = ctypes.create_string_buffer(key, len(key))
    result, code = _bpf(_DELETE, _ELEMENT.pack(descriptor, ctypes.addressof(keep), 0, 0))
    if result < 0 and code != errno.ENOENT:
        raise BpfRefused("take an entry out of its table", code)


def entries(descriptor: int, key_size: int, value_size: int) -> list[tuple[bytes, bytes]]:
    """Return all that is in a map, as far as nobody changes it meanwhile."""
    found: list[tuple[bytes, bytes]] = []
    key, value = ctypes.create_string_buffer(key_size), ctypes.create_string_buffer(value_size)
    at, where, into = 0, ctypes.addressof(key), ctypes.addressof(value)
    while _bpf(_NEXT_KEY, _ELEMENT.pack(descriptor, at, where, 0))[0] == 0:
        at = where
        if _bpf(_LOOK_UP, _ELEMENT.pack(descriptor, where, into, 0))[0] == 0:
            found.append((key.raw, value.raw))
    return found


_LOAD = Struct("=IIQQIIQII16s")


def load_program(code: bytes, name: str) -> int:
    """Return the descriptor of a verified program.

    Raises: BpfRefused: with the verifier's log where it is the verifier that refuses.
    """
    instructions = ctypes.create_string_buffer(code, len(code))
    license_, log = ctypes.create_string_buffer(_LICENSE), ctypes.create_string_buffer(_LOG_SIZE)

    def attempt(level: int) -> tuple[int, int]:
        where, size = (ctypes.addressof(log), _LOG_SIZE) if level else (0, 0)
        attributes = _LOAD.pack(
            _XDP,
            len(code) // 8,
            ctypes.addressof(instructions),
            ctypes.addressof(license_),
            level,
            size,
            where,
            0,
            0,
            name.encode()[:15],
        )
        return _bpf(_PROG_LOAD, attributes)

    for _ in range(_ATTEMPTS):
        loaded, error = attempt(0)
        if error != errno.EAGAIN:
            break
    if loaded < 0:
        if error not in (errno.EPERM, errno.EAGAIN):
            attempt(1)
        raise BpfRefused(f"load the program {name}", error, log.value.decode(errors="replace"))
    return loaded


_SIOCGIFHWADDR = 0x8927
_ETHERNET = 1  # linux/if_arp.h
_INTERFACE = Struct("=16sH22x")


def hardware_address(name: str) -> bytes:
    """Return an interface's Ethernet address; empty: it has none. Raises: OSError."""
    request = ctypes.create_string_buffer(_INTERFACE.pack(name.encode(), 0), _INTERFACE.size)
    libc = ctypes.CDLL(None, use_errno=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        if libc.ioctl(sock.fileno(), _SIOCGIFHWADDR, request) < 0:
            raise OSError(ctypes.get_errno(), f"{name} does not tell its address")
    _, kind = _INTERFACE.unpack_from(request)
    return request.raw[18:24] if kind == _ETHERNET else b""


_LINK = Struct("=IIII")


def attach(program: int, interface: int, *, driver: bool = False) -> int:
    """Return the descriptor of a link that has `program` see what comes in on an interface.

    Args:   driver: in the interface's driver, before the kernel has made a packet of it.
    Raises: BpfRefused: another program is there, or the driver cannot.
    """
    mode = _DRIVER_MODE if driver else _SKB_MODE
    linked, code = _bpf(_LINK_CREATE, _LINK.pack(program, interface, _ATTACH_XDP, mode))
    if linked < 0:
        raise BpfRefused(f"attach a program to interface {interface}", code)
    return linked
