"""How often each source may ask, counted by the minute for a bounded number of sources."""

from __future__ import annotations

import ipaddress

from natkit.machine import Instant, Seconds

_PERIOD: Seconds = 60.0
_SOURCES = 4096
"""Counted at once; beyond them the one that came first is forgotten."""


class Budget:
    """Lets each source ask `most` times in a minute."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._spent: dict[str, int] = {}
        self._began: Instant | None = None

    def spend(self, source: str, *, now: Instant) -> bool:
        """Count one request; False: that is one too many."""
        if self._began is None or now >= self._began + _PERIOD:
            self._began = now
            self._spent.clear()
        if source not in self._spent and len(self._spent) >= _SOURCES:
            del self._spent[next(iter(self._spent))]
        self._spent[source] = self._spent.get(source, 0) + 1
        return self._spent[source] <= self._most


def source_of(ip: str) -> str:
    """Return what counts as one source: an IPv4 address, or the /64 that an IPv6 host is in."""
    address = ipaddress.ip_address(ip.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return ip
    return str(ipaddress.ip_network((address, 64), strict=False))
