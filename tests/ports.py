"""Ports for tests that cannot bind port 0, such that test processes side by side do not meet."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import socket

PORTS = range(10_000, 20_000)
"""Below those that systems hand out to whoever binds port 0, and above those of services."""


def _share() -> range:
    """Return the part of `PORTS` that is this process's, where pytest-xdist runs several."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return PORTS[number * len(PORTS) // workers : (number + 1) * len(PORTS) // workers]


# Not where another run of the tests has begun, and never the same port soon again.
_SHARE = _share()
_NEXT = itertools.count(secrets.randbelow(len(_SHARE)))


def free_port(count: int = 2, ip: str = "127.0.0.1") -> int:
    """Return the first of `count` ports in a row that nothing uses on `ip`, for UDP or TCP."""
    for _ in range(len(_SHARE)):
        ports = [_SHARE[next(_NEXT) % len(_SHARE)] for _ in range(count)]
        if ports[-1] - ports[0] == count - 1 and all(is_free(port, ip) for port in ports):
            return ports[0]
    raise OSError(f"no port of {_SHARE} is free on {ip}")


def is_free(port: int, ip: str = "127.0.0.1") -> bool:
    """Tell whether a socket of either kind can be bound there."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(family, kind) as sock, contextlib.suppress(OSError):
            sock.bind((ip, port))
            continue
        return False
    return True
