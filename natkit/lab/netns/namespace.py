"""One network namespace: held by a file descriptor, entered by a pool of threads.

A namespace has no name under /run/netns. The kernel keeps it while a descriptor, a thread or a
socket refers to it, and takes it away with its interfaces and rules when the last of them goes.
A process that is killed therefore leaves nothing behind.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from natkit.errors import NatkitError, Unsupported

T = TypeVar("T")

CLONE_NEWUSER = 0x10000000  # linux/sched.h
CLONE_NEWNET = 0x40000000

_THREADS = 8  # more than one: a slow look-up must not hold up the making of a socket
_PATIENCE = 20.0  # seconds for one `ip` or `nft` run; they take milliseconds


def unshare(flags: int) -> None:
    """Move the calling thread into new namespaces (Python has os.unshare only from 3.12 on).

    Raises: OSError.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Namespace:
    """A new, empty network namespace.

    Args:    label: for thread names and messages.
    Raises:  Unsupported: the kernel refuses (no privilege, or no room).
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self._descriptor = _create(label)
        self._pool = ThreadPoolExecutor(
            _THREADS,
            thread_name_prefix=f"netns-{label}",
            initializer=_enter,
            initargs=(self._descriptor,),
        )

    @property
    def path(self) -> str:
        """A path by which other processes of this user can refer to the namespace."""
        return f"/proc/{os.getpid()}/fd/{self._descriptor}"

    def submit(self, blocking: Callable[[], T]) -> Future[T]:
        """Run `blocking` in a thread that lives in the namespace."""
        return self._pool.submit(blocking)

    def call(self, blocking: Callable[[], T]) -> T:
        """Run `blocking` in a thread that lives in the namespace, and wait for its result."""
        return self.submit(blocking).result()

    def command(self, argv: Sequence[str], text: str = "") -> str:
        """Run a command inside, with `text` on its standard input.

        Returns: its standard output.
        Raises:  Unsupported: it is not installed. NatkitError: it failed, with its own words.
        """
        return self.call(lambda: run_command(argv, text, where=self.label))

    def sysctl(self, settings: dict[str, str]) -> None:
        """Write kernel settings ("net/ipv4/ip_forward": "1"); what is absent is left out.

        Absent are the settings of parts that this kernel lacks, IPv6 or the bridge filter say.
        """

        def write() -> None:
            # /proc/sys/net shows the namespace of the thread that opens it.
            for name, value in settings.items():
                path = Path("/proc/sys", name)
                if path.exists():
                    path.write_text(value, encoding="ascii")

        self.call(write)

    def close(self) -> None:
        """Let go. The kernel removes the namespace once no socket or process is left in it."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        os.close(self._descriptor)


def _create(label: str) -> int:
    """Return a descriptor of a new namespace, made in a thread that ends at once."""
    result: list[int | OSError] = []

    def make() -> None:
        try:
            unshare(CLONE_NEWNET)
            result.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            result.append(error)

    thread = threading.Thread(target=make, name=f"netns-{label}-make")
    thread.start()
    thread.join()
    made = result[0]
    if isinstance(made, OSError):
        raise Unsupported(
            "this process may not make network namespaces",
            why=made.strerror,
            hint="Run it as root, or in a user namespace: "
            "unshare --user --map-root-user --net COMMAND",
        ) from made
    return made


def run_command(argv: Sequence[str], text: str, *, where: str) -> str:
    """Run a command in the calling thread's namespace: see `Namespace.command`."""
    try:
        done = subprocess.run(
            argv, input=text, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except FileNotFoundError as error:
        raise Unsupported(
            f"the program {argv[0]!r} is missing", hint=f"Install it: {PACKAGES[argv[0]]}"
        ) from error
    if done.returncode != 0:
        raise NatkitError(f"{' '.join(argv)} failed in {where}", why=done.stderr.strip()[:2000])
    return done.stdout


PACKAGES = {
    "ip": "the package iproute2",
    "tc": "the package iproute2",
    "nft": "the package nftables",
    "setpriv": "the package util-linux",
}
"""Where each program that the lab runs comes from (the names are Debian's)."""
