"""Show the hops on the way to a STUN server, by Binding requests that die on the way.

A request leaves for every distance at once, each from a socket of its own: an ICMP error does not
say which request it is about, but the socket it reaches does.

Not to be run while ports are compared: on a NAT that numbers in sequence these sockets use up
numbers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from natkit.aio.driver import Driver
from natkit.errors import NetworkUnreachable
from natkit.nat.layers import Hop, Trace, is_private, is_shared
from natkit.network import Family, IcmpError, Network
from natkit.stun.binding import BindingClient, BindingEvent, BindingFailed, BindingSucceeded
from natkit.stun.transaction import Retransmission
from natkit.wire import TransportAddress

FARTHEST = 8
"""Hops looked at: NATs stand at home and at the edge of the carrier, not in the middle."""

PATIENCE = Retransmission(rto=0.1, count=3, final=4)
"""Requests at 0, 0.1 and 0.3 s, over at 0.7 s. Three, since packets get lost, and not more, since
routers answer with a few ICMP errors a second only (RFC 1812 §4.3.2.8)."""

_TIME_EXCEEDED = {Family.IPV4: 11, Family.IPV6: 3}
_UNREACHABLE = {Family.IPV4: 3, Family.IPV6: 1}
"""Types of ICMP (RFC 792) and ICMPv6 (RFC 4443 §3)."""


MOST_SERVERS = 2
"""Servers to trace the way to: the first may be away, and two say what more would."""


async def trace_first_shown(
    network: Network,
    servers: Sequence[TransportAddress],
    *,
    interface: str | None = None,
    randomness: Callable[[int], bytes],
) -> Trace:
    """Return the hops to the first of `servers`, or to the second where those end in silence.

    Args:
        servers:    at least one; of the first one's IP version, the first two count.
        interface:  send from this one only; None: as the system routes.
        randomness: for transaction ids.
    """
    traces: list[Trace] = []
    same_family = [to for to in servers if to.is_ipv6 == servers[0].is_ipv6]
    for server in same_family[:MOST_SERVERS]:
        trace = await trace_hops(network, server, interface=interface, randomness=randomness)
        traces.append(trace)
        if trace.arrived is not None or any(_looks_public(hop.reporter) for hop in trace.hops):
            break
    return max(traces, key=lambda trace: (trace.arrived is not None, len(trace.hops)))


async def trace_hops(
    network: Network,
    server: TransportAddress,
    *,
    interface: str | None = None,
    randomness: Callable[[int], bytes],
) -> Trace:
    """Return the hops to `server`, in under a second.

    It ends early where nothing further matters: all hops are known up to the first public one, or
    up to the server. natkit.nat.layers.count_layers says what they mean.

    Args:
        interface:  send from this one only; None: as the system routes.
        randomness: for transaction ids.
    """
    way = _Way(network, server, interface)
    try:
        for distance in range(1, FARTHEST + 1):
            await way.probe(distance, randomness)
        await way.known()
    except NetworkUnreachable as error:
        return Trace((), None, str(error))
    finally:
        way.close()
    return way.trace()


class _Way:
    """What is known so far of each distance."""

    def __init__(self, network: Network, server: TransportAddress, interface: str | None) -> None:
        self._network = network
        self._server = server
        self._interface = interface
        self._family = Family.IPV6 if server.is_ipv6 else Family.IPV4
        self._drivers: dict[int, Driver[BindingEvent]] = {}
        self._reporters: dict[int, str] = {}
        self._arrived: set[int] = set()
        self._silent: set[int] = set()
        self._barrier: str | None = None
        self._known = asyncio.Event()

    async def probe(self, distance: int, randomness: Callable[[int], bytes]) -> None:
        """Send the requests for one distance."""
        client = BindingClient(lambda: randomness(12), PATIENCE)
        driver = await Driver.open(
            self._network,
            client,
            family=self._family,
            interface=self._interface,
            on_event=lambda event: self._heard(distance, event),
            on_error=lambda error: self._failed(distance, error),
        )
        self._drivers[distance] = driver
        client.ask(self._server, ttl=distance, now=self._network.now())
        driver.kick()

    async def known(self) -> None:
        """Wait until all that matters is known, or all patience is over."""
        await self._known.wait()

    def close(self) -> None:
        """Release the sockets."""
        for driver in self._drivers.values():
            driver.close()

    def trace(self) -> Trace:
        """Return what is known."""
        arrived = min(self._arrived, default=None)
        last = max(self._reporters, default=0) if arrived is None else arrived - 1
        hops = tuple(Hop(n, self._reporters.get(n)) for n in range(1, last + 1))
        reason = self._barrier
        if not self._reporters and arrived != 1 and reason is None:
            reason = "no router answered, or this system does not say which one did"
        return Trace(hops, arrived, reason)

    def _heard(self, distance: int, event: BindingEvent) -> None:
        if isinstance(event, BindingSucceeded | BindingFailed):
            self._arrived.add(distance)
        else:
            self._silent.add(distance)
        self._look()

    def _failed(self, distance: int, error: IcmpError) -> None:
        if error.reporter is None:
            return
        if error.kind == _TIME_EXCEEDED[self._family]:
            self._reporters[distance] = error.reporter
        elif error.reporter == self._server.ip:
            self._arrived.add(distance)
        elif error.kind == _UNREACHABLE[self._family]:
            self._reporters[distance] = error.reporter
            self._barrier = f"{error.reporter} lets no packet through (ICMP code {error.code})"
        else:
            return
        self._drivers[distance].close()  # asks no more
        self._look()

    def _look(self) -> None:
        """Find out whether more answers could still change the picture."""
        for distance in range(1, FARTHEST + 1):
            if distance in self._arrived or self._is_public(distance):
                break
            if distance not in self._reporters and distance not in self._silent:
                return
        self._known.set()

    def _is_public(self, distance: int) -> bool:
        return _looks_public(self._reporters.get(distance))


def _looks_public(ip: str | None) -> bool:
    return ip is not None and not (is_private(ip) or is_shared(ip))
