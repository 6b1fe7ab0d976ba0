"""Look up the servers to ask, and keep those that this machine has a way to.

Three things can be missing, and each needs another cure: an address to send from, an answer of the
DNS, and a route. The reasons and errors here keep them apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from natkit.errors import NetworkUnreachable, UsageError
from natkit.machine import Seconds
from natkit.network import Family, Network
from natkit.wire import TransportAddress

RESOLVE_BUDGET: Seconds = 2.0
"""Seconds for all names together; they are looked up side by side."""

Servers = tuple[tuple[str, TransportAddress], ...]
"""(name, address) of each server, in order of preference."""

_FAR_AWAY = {
    Family.IPV4: TransportAddress("192.0.2.1", 3478),
    Family.IPV6: TransportAddress("2001:db8::1", 3478),
}
"""Documentation addresses: what has a route to them has a default route. Nothing is sent there."""


async def look_up_servers(
    network: Network,
    wanted: Sequence[tuple[str, int]],
    families: Sequence[Family],
    interface: str | None = None,
) -> dict[Family, Servers | str]:
    """Return for each IP version its servers, or the reason why there is none to ask.

    Args:
        wanted:    (host, port) of each server, in order of preference.
        interface: what will be sent from; None: as the system routes.
    Raises:
        UsageError:         no interface has that name.
        NetworkUnreachable: no IP version has a server to ask.
    """
    sending = _families_of(network, interface)
    able = [family for family in families if family in sending]
    if not able:
        versions = " or ".join(f"IPv{family:d}" for family in families)
        raise NetworkUnreachable(f"interface {interface} has no {versions} address")
    found = await asyncio.gather(*(_look_up_all(network, wanted, family) for family in able))
    to_ask: dict[Family, Servers | str] = {
        family: f"interface {interface} has no IPv{family:d} address" for family in families
    }
    to_ask |= {each.family: each.with_a_route(network) for each in found}
    if all(isinstance(servers, str) for servers in to_ask.values()):
        raise _nobody_to_ask(network, found)
    return to_ask


def _families_of(network: Network, interface: str | None) -> set[Family]:
    """Return the IP versions that can be sent from `interface`: with more than a link-local."""
    if interface is None:
        return set(Family)
    everything = network.interfaces()
    addresses = [entry.ip for entry in everything if entry.name == interface]
    if not addresses:
        known = ", ".join(dict.fromkeys(entry.name for entry in everything))
        raise UsageError(f"no interface is called {interface!r}", hint=f"There are: {known}")
    usable = (ip for ip in addresses if not ip.startswith("fe80:"))
    return {Family.IPV6 if ":" in ip else Family.IPV4 for ip in usable}


@dataclass(frozen=True, slots=True)
class _Found:
    """What the DNS said for one IP version.

    Attributes:
        nameless: names without an address.
        silent:   names for which no answer came in time.
    """

    family: Family
    servers: Servers
    nameless: tuple[str, ...]
    silent: tuple[str, ...]

    def with_a_route(self, network: Network) -> Servers | str:
        """Return the servers that a route leads to, or why there are none."""
        if self.servers:
            routed = tuple(s for s in self.servers if network.source_for(s[1]) is not None)
            return routed or f"no route over IPv{self.family:d}"
        if self.silent:
            return f"the DNS gave no answer within {RESOLVE_BUDGET:g} s"
        return f"no server has an IPv{self.family:d} address"


async def _look_up_all(
    network: Network, wanted: Sequence[tuple[str, int]], family: Family
) -> _Found:
    names = dict.fromkeys(name for name, _ in wanted)
    answers = await asyncio.gather(*(_look_up(network, name, family) for name in names))
    ips = dict(zip(names, answers, strict=True))
    # One address for each name: a second one is mostly the same server under another number.
    servers = tuple(
        (name, TransportAddress(ip, port)) for name, port in wanted for ip in (ips[name] or ())[:1]
    )
    return _Found(
        family,
        servers,
        nameless=tuple(name for name in names if ips[name] == ()),
        silent=tuple(name for name in names if ips[name] is None),
    )


async def _look_up(network: Network, host: str, family: Family) -> tuple[str, ...] | None:
    """Return the addresses of `host`; None: no answer came in time."""
    try:
        async with asyncio.timeout(RESOLVE_BUDGET):
            return await network.resolve(host, family)
    except TimeoutError:
        return None


def _nobody_to_ask(network: Network, found: Sequence[_Found]) -> NetworkUnreachable:
    families = [each.family for each in found]
    connected = any(network.source_for(_FAR_AWAY[family]) is not None for family in families)
    if not connected or any(each.servers for each in found):
        return _no_route(families)
    if any(each.silent for each in found):
        return NetworkUnreachable(
            "the names of the STUN servers could not be looked up",
            why=f"the DNS gave no answer within {RESOLVE_BUDGET:g} s, though there is a route",
            hint="Check which DNS servers this machine asks, or name a STUN server by its "
            "address: --server ADDRESS[:PORT]",
        )
    versions = " or ".join(f"IPv{family:d}" for family in families)
    names = ", ".join(dict.fromkeys(name for each in found for name in each.nameless))
    return NetworkUnreachable(
        f"no STUN server has an {versions} address",
        why=f"the DNS has none for {names}, or cannot be asked",
        hint="Check the names and this machine's DNS, or name a STUN server by its address: "
        "--server ADDRESS[:PORT]",
    )


def _no_route(families: Sequence[Family]) -> NetworkUnreachable:
    versions = " or ".join(f"IPv{family.value}" for family in families)
    return NetworkUnreachable(
        f"no STUN server can be reached over {versions}",
        why="no server name has an address that this machine has a route to",
        hint="Connect to a network, or see what `natkit doctor` finds",
    )
