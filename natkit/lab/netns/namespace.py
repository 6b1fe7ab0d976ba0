"""One network namespace: held by a file descriptor, entered by a pool of threads.

A namespace has no name under /run/netns. The kernel keeps it while a descriptor, a thread or a
socket refers to it, and takes it away with its interfaces and rules when the last of them goes.
A process that is killed therefore leaves nothing behind.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from natkit.errors import Unsupported
from natkit.lab.netns import programs

T = TypeVar("T")

CLONE_NEWUSER = 0x10000000  # linux/sched.h
CLONE_NEWNET = 0x40000000

_THREADS = 8  # more than one: a slow look-up must not hold up the making of a socket


def unshare(flags: int) -> None:
    """Move the calling thread into new namespaces (Python has os.unshare only from 3.12 on).

    Raises: OSError.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def enter(descriptor: int) -> None:
    """Move the calling thread into a network namespace, by its descriptor. Raises: OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def enter_user_namespace() -> None:
    """Make this whole process root in a user namespace of its own, for good.

    Files stay those of the user who started it. For programs (the command line calls it when it
    is not root), not for libraries: it must happen before the first thread.

    Raises: Unsupported: the kernel refuses, or the process has threads already.
    """
    user, group = os.geteuid(), os.getegid()
    try:
        unshare(CLONE_NEWUSER)
        # The order is the kernel's: groups may be mapped only once they can no longer be changed.
        for name, line in (
            ("setgroups", "deny"),
            ("uid_map", f"0 {user} 1"),
            ("gid_map", f"0 {group} 1"),
        ):
            Path("/proc/self", name).write_text(line, encoding="ascii")
    except OSError as error:
        raise Unsupported(
            "this process cannot enter a user namespace", why=error.strerror, hint=_MEND
        ) from error


_MEND = "Run it as root, or see what `natkit doctor` says about namespaces"


class Namespace:
    """A new, empty network namespace.

    Args:    label: for the names of threads.
    Raises:  Unsupported: the kernel refuses (no privilege, or no room).
    """

    def __init__(self, label: str) -> None:
        self._descriptor = _create(label)
        self._pool = ThreadPoolExecutor(
            _THREADS,
            thread_name_prefix=f"netns-{label}",
            initializer=enter,
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
        """Run a program inside: see `programs.run`."""
        return self.call(lambda: programs.run(argv, text))

    def sysctl(self, settings: dict[str, str]) -> None:
        """Write kernel settings ("net/ipv4/ip_forward": "1"); what is absent is left out.

        Absent are the settings of parts that this kernel lacks (IPv6, say).
        Raises: Unsupported: they are read-only here.
        """

        def write() -> None:
            # /proc/sys/net shows the namespace of the thread that opens it.
            for name, value in settings.items():
                path = Path("/proc/sys", name)
                if path.exists():
                    path.write_text(value, encoding="ascii")

        try:
            self.call(write)
        except OSError as error:
            raise Unsupported(
                f"cannot write {error.filename}",
                why=error.strerror,
                hint="A container may mount /proc/sys read-only: run it with --privileged",
            ) from error

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
            hint=_MEND,
        ) from made
    return made
