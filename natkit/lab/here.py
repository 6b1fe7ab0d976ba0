"""On which host of a lab ordinary asyncio code runs: a context variable, so it follows tasks.

A backend's event loop asks it where to open sockets (`World.as_host` sets it).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from natkit.network import Network

_here: ContextVar[Network] = ContextVar("the lab's host that this code runs on")


@contextmanager
def standing_on(network: Network) -> Iterator[None]:
    """Make `network` the one that code inside this block opens sockets on, its tasks' too."""
    token = _here.set(network)
    try:
        yield
    finally:
        _here.reset(token)


def network_here() -> Network | None:
    """Return the network that this context opens sockets on; None: the machine's own."""
    return _here.get(None)
