"""The settings that let the kernel forward for a relay: made, and put back at its end.

They are that it finds routes, and that network cards leave VLAN tags where the program sees them.

Who made a setting has given up the right to it by then (natkit.dataplane.kernel.privileges), so it
starts a keeper before: this file as a program, which has that right still, waits until its standard
input ends, as it does when the server is killed, and puts back what was there. Every server that
needs the settings holds a lock on them; while another one does, they stay.

Rule of the file: nothing but the standard library, since the keeper runs it alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

SETTINGS = tuple(
    Path(f"/proc/sys/net/{version}/conf/lo/forwarding") for version in ("ipv4", "ipv6")
)
"""The kernel finds routes only for an interface that forwards. For what this machine makes itself,
as a relay does, that is the loopback interface, where it changes nothing else."""

_PATIENCE = 2.0
"""Seconds for a server that was killed, and for its workers, to let go of its locks."""


@dataclass(frozen=True, slots=True)
class Sysctl:
    """A file of the kernel's that says 1 while a relay needs it."""

    file: Path

    wanted: ClassVar[str] = "1"

    def __str__(self) -> str:
        return str(self.file)

    def read(self) -> str | None:
        """Return what it says; None: this kernel has none. Raises: OSError."""
        return self.file.read_text(encoding="ascii").strip() if self.file.exists() else None

    def write(self, value: str) -> None:
        """Have it say something else. Raises: OSError: with the file's name."""
        try:
            self.file.write_text(value, encoding="ascii")
        except OSError as error:
            error.filename = str(self.file)
            raise


_ETHTOOL, _GET_FLAGS, _SET_FLAGS = 0x8946, 0x25, 0x26
_TAKE_TAGS_OUT = 1 << 8
"""ETH_FLAG_RXVLAN (linux/ethtool.h)."""


@dataclass(frozen=True, slots=True)
class Tags:
    """Whether an interface takes VLAN tags out of its frames ("1"): the program
    sees none of those, and takes the frames for untagged ones.
    """

    interface: str

    wanted: ClassVar[str] = "0"

    def __str__(self) -> str:
        return self.interface

    @property
    def file(self) -> Path:
        """What is locked while somebody needs it: a file that every interface has."""
        return Path("/proc/sys/net/ipv4/conf", self.interface, "forwarding")

    def read(self) -> str | None:
        """Return "1" or "0"; None: the interface does not tell."""
        try:
            return str(int(bool(self._flags() & _TAKE_TAGS_OUT)))
        except OSError:
            return None

    def write(self, value: str) -> None:
        """Have it so. A card whose driver takes them out always stays as it is."""
        with contextlib.suppress(OSError):
            others = self._flags() & ~_TAKE_TAGS_OUT
            self._flags(others | (_TAKE_TAGS_OUT if value == "1" else 0))

    def _flags(self, new: int | None = None) -> int:
        if sys.platform == "win32":
            raise OSError
        import fcntl

        asked = struct.pack("=II", _GET_FLAGS if new is None else _SET_FLAGS, new or 0)
        value = ctypes.create_string_buffer(asked, len(asked))
        request = struct.pack("@16sP16x", self.interface.encode(), ctypes.addressof(value))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            fcntl.ioctl(sock, _ETHTOOL, request)
        return int.from_bytes(value.raw[4:], sys.byteorder)


class Forwarding:
    """The settings while a server needs them.

    Args:   interfaces: where the program is to see VLAN tags.
    Raises: OSError: one of them cannot be read or made; `filename` says which.
    """

    def __init__(self, settings: Sequence[Path] = SETTINGS, interfaces: Sequence[str] = ()) -> None:
        self._locks: list[int] = []
        self._before: list[tuple[Sysctl | Tags, str]] = []
        self._keeper: subprocess.Popen[bytes] | None = None
        try:
            wanted: list[Sysctl | Tags] = [*map(Sysctl, settings), *map(Tags, interfaces)]
            for setting in wanted:
                if setting.read() is not None:
                    self._make(setting)
        except BaseException:
            self.close()
            raise

    def _make(self, setting: Sysctl | Tags) -> None:
        self._locks.append(os.open(setting.file, os.O_RDONLY))
        _lock(self._locks[-1], alone=False)
        before = setting.read()
        if before is None or before == setting.wanted:
            return
        setting.write(setting.wanted)
        if setting.read() == before:
            return
        self._before.append((setting, before))

    @property
    def made(self) -> tuple[Path, ...]:
        """The files that said something else before."""
        return tuple(one.file for one, _ in self._before if isinstance(one, Sysctl))

    def keep(self) -> None:
        """Have what was made put back when this process has ended, however it does.

        Raises: OSError: no process can be started for it.
        """
        if self._before and self._keeper is None:
            pairs = [word for setting, value in self._before for word in (str(setting), value)]
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__, *pairs],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    def close(self) -> None:
        """Put back what was there before, unless another server needs it. Twice is harmless."""
        while self._locks:
            os.close(self._locks.pop())
        if self._keeper is not None:
            self._keeper.communicate(b"ended")
            self._keeper = None
        else:
            put_back(self._before)
        self._before.clear()


def put_back(before: Sequence[tuple[Sysctl | Tags, str]], patience: float = 0.0) -> None:
    """Set what was changed to what it was; leave what others need, or have changed since.

    Args: patience: seconds for others to let go.
    """
    end = time.monotonic() + patience
    for setting, value in before:
        with contextlib.suppress(OSError), setting.file.open(encoding="ascii") as locked:
            while not _lock(locked.fileno(), alone=True) and time.monotonic() < end:
                time.sleep(0.02)
            if _lock(locked.fileno(), alone=True) and setting.read() == setting.wanted:
                setting.write(value)


def _lock(descriptor: int, *, alone: bool) -> bool:
    """Lock a file with others, or alone if that is possible at once; False: it is not."""
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH)
    except BlockingIOError:
        return False
    return True


def _setting(name: str) -> Sysctl | Tags:
    """Return the setting of a file, or of an interface: no interface's name has a slash."""
    return Sysctl(Path(name)) if "/" in name else Tags(name)


def main(words: Sequence[str]) -> None:
    """Be the keeper: of settings, each followed by what it was."""
    # Whoever ends the server by these ends all of its group or unit, and this has to outlive it.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    told = sys.stdin.buffer.read()
    before = [(_setting(name), value) for name, value in zip(words[::2], words[1::2], strict=True)]
    put_back(before, 0.0 if told else _PATIENCE)


if __name__ == "__main__":
    main(sys.argv[1:])
