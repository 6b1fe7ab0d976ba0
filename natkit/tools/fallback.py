"""Find out what still gets through where UDP does not: STUN over TCP and TLS.

An answer proves that a port is open all the way. Its absence proves little, since most STUN
servers listen on few ports: so "nothing" is reported as inconclusive, with what happened on each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from natkit.aio.stun_stream import ask_over_stream
from natkit.errors import MalformedMessage, NetworkUnreachable, Unsupported
from natkit.machine import Seconds
from natkit.nat.behaviour import Mapping, Measured
from natkit.nat.mapping import Sample
from natkit.network import Network, StreamEndpoint, Tls
from natkit.stun.binding import BindingFailed, BindingSucceeded
from natkit.wire import TransportAddress

TCP_PORTS = (80, 443)
"""Tried besides the server's own port: what restrictive networks let out."""

TLS_PORTS = (443, 5349)
"""5349 is STUN's own TLS port (RFC 8489 §18.6)."""


@dataclass(frozen=True, slots=True)
class FallbackReport:
    """What works over streams.

    Attributes:
        tcp:         ports on which the server answered STUN over TCP, at least one.
        tls:         ports on which it answered STUN over TLS, at least one.
        tcp_mapping: how the NAT maps TCP connections from one local port.
    """

    tcp: Measured[tuple[int, ...]]
    tls: Measured[tuple[int, ...]]
    tcp_mapping: Measured[Mapping]


async def find_fallback(
    network: Network,
    server: TransportAddress,
    *,
    name: str | None = None,
    others: Sequence[TransportAddress] = (),
    interface: str | None = None,
    randomness: Callable[[int], bytes],
    budget: Seconds = 2.0,
) -> FallbackReport:
    """Try STUN over TCP on `server`'s own port, 80 and 443, and over TLS on 443 and 5349.

    Args:
        name:       host name for TLS to ask for; None: the IP. Any certificate will do: what is
                    measured is whether packets get through, and nothing secret is sent.
        others:     further STUN servers, to see how the NAT maps TCP.
        interface:  connect from this one's first address; None: as the system routes.
        randomness: for transaction ids.
        budget:     seconds for the connections, and again for those that compare mappings.
    """
    source = _source(network, server, interface)
    if source is None:
        return _unmeasured(f"{interface} has no address to reach {server.ip} from")
    asking = _Asking(network, source, randomness, budget)
    tls = Tls(name or server.ip, verify=False)
    over_tcp = [TransportAddress(server.ip, p) for p in _unique(server.port, *TCP_PORTS)]
    over_tls = [TransportAddress(server.ip, p) for p in TLS_PORTS]
    same_family = [to for to in others if to.is_ipv6 == server.is_ipv6]
    try:
        async with asyncio.TaskGroup() as group:
            plain = [group.create_task(asking.ask(to)) for to in over_tcp]
            secured = [group.create_task(asking.ask(to, tls=tls)) for to in over_tls]
            mapping = group.create_task(_mapping(asking, plain, [*over_tcp, *same_family]))
    finally:
        await asking.close()
    return FallbackReport(
        _ports("TCP", [task.result() for task in plain]),
        _ports("TLS", [task.result() for task in secured]),
        mapping.result(),
    )


@dataclass(frozen=True, slots=True)
class _Answer:
    """What became of one try.

    Attributes:
        local:   the local end of the connection; None: there was none.
        mapped:  what the server saw; None: it did not say.
        refusal: why this was not even tried; None: it was.
        outcome: in words.
    """

    to: TransportAddress
    local: TransportAddress | None
    mapped: TransportAddress | None
    outcome: str
    refusal: str | None = None

    def __str__(self) -> str:
        return f"{self.to}: {self.outcome}"


class _Asking:
    """Keeps every connection open until `close`: a NAT forgets a closed one's mapping."""

    def __init__(
        self,
        network: Network,
        source: str,
        randomness: Callable[[int], bytes],
        budget: Seconds,
    ) -> None:
        self._network = network
        self._source = source
        self._randomness = randomness
        self._budget = budget
        self._streams: list[StreamEndpoint] = []

    async def close(self) -> None:
        await asyncio.gather(*(stream.close() for stream in self._streams))

    async def ask(
        self,
        to: TransportAddress,
        *,
        tls: Tls | None = None,
        port: int = 0,
    ) -> _Answer:
        """Connect from local `port` (0: any) and send a Binding request."""
        # A local address even where any will do: it makes the port one that can be shared.
        local = TransportAddress(self._source, port)
        try:
            stream = await self._network.open_stream(
                to, tls=tls, local=local, patience=self._budget
            )
        except Unsupported as error:
            return _Answer(to, None, None, str(error), refusal=str(error))
        except NetworkUnreachable as error:
            refused = isinstance(error.__cause__, ConnectionRefusedError)
            return _Answer(to, None, None, "refused" if refused else error.why or error.what)
        self._streams.append(stream)
        try:
            event = await ask_over_stream(
                self._network,
                stream,
                transaction_id=lambda: self._randomness(12),
                patience=self._budget,
            )
        except (MalformedMessage, NetworkUnreachable) as error:
            return _Answer(to, stream.local, None, f"connected, but no STUN: {error}")
        match event:
            case BindingSucceeded(mapped=mapped):
                return _Answer(to, stream.local, mapped, f"answered, saw {mapped}")
            case BindingFailed(reason=reason):
                return _Answer(to, stream.local, None, f"connected, but STUN failed: {reason}")
        outcome = f"connected, but no STUN: no answer in {self._budget:g} s"
        return _Answer(to, stream.local, None, outcome)


async def _mapping(
    asking: _Asking, tried: Sequence[asyncio.Task[_Answer]], targets: Sequence[TransportAddress]
) -> Measured[Mapping]:
    """Connect to further servers from a port that is connected already, and compare."""
    first = await _first_answered(tried)
    if first is None or first.local is None or first.mapped is None:
        return Measured.not_measured("no server answered STUN over TCP")
    port = first.local.port
    further = [asking.ask(to, port=port) for to in targets if to != first.to]
    answers = (first, *await asyncio.gather(*further))
    seen: dict[TransportAddress, tuple[TransportAddress, ...]]
    seen = {a.to: (a.mapped,) for a in answers if a.mapped is not None}
    sample = Sample(first.local, seen)
    evidence = tuple(f"from port {port}: {a}" for a in answers)
    value = sample.classify()
    if value is not None:
        return Measured.found(value, f"{len(seen)} servers compared from one port", *evidence)
    if len({to.ip for to in seen}) < 2:
        reason = "needs STUN over TCP on two addresses"
        return Measured.not_measured(reason, *evidence)
    reason = "it depends on the destination; whether on its port too needs a server with two"
    return Measured.inconclusive(reason, *evidence)


async def _first_answered(tried: Sequence[asyncio.Task[_Answer]]) -> _Answer | None:
    """Return the first to be answered, without waiting for the others."""
    for task in asyncio.as_completed(tried):
        answer = await task
        if answer.mapped is not None:
            return answer
    return None


def _ports(kind: str, answers: Sequence[_Answer]) -> Measured[tuple[int, ...]]:
    evidence = tuple(f"{kind} {answer}" for answer in answers)
    refusal = next((a.refusal for a in answers if a.refusal is not None), None)
    if refusal is not None:
        return Measured.not_measured(refusal)
    open_ports = tuple(a.to.port for a in answers if a.mapped is not None)
    if open_ports:
        return Measured.found(open_ports, f"the server answered STUN over {kind}", *evidence)
    connected = any(a.local is not None for a in answers)
    reason = (
        f"{kind} connects, but nothing there speaks STUN"
        if connected
        else f"no {kind} connection came about; the server may not offer any"
    )
    return Measured.inconclusive(reason, *evidence)


def _source(network: Network, to: TransportAddress, interface: str | None) -> str | None:
    """Return the local IP to connect from: the wildcard, or the interface's; None: it has none."""
    if interface is None:
        return "::" if to.is_ipv6 else "0.0.0.0"
    named = (i.ip for i in network.interfaces() if i.name == interface)
    usable = (ip for ip in named if (":" in ip) == to.is_ipv6 and not ip.startswith("fe80:"))
    return next(usable, None)


def _unmeasured(reason: str) -> FallbackReport:
    return FallbackReport(
        Measured.not_measured(reason), Measured.not_measured(reason), Measured.not_measured(reason)
    )


def _unique(*ports: int) -> tuple[int, ...]:
    return tuple(dict.fromkeys(ports))
