"""Find out what still gets through where UDP does not: STUN over TCP and TLS.

An answer proves that a port is open all the way. Its absence proves little, since most STUN
servers listen on few ports: so "nothing" is reported as inconclusive, with what happened on each.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from natkit.aio.stun_stream import ask_over_stream
from natkit.errors import MalformedMessage, NetworkUnreachable, Unsupported
from natkit.machine import Seconds
from natkit.nat.behaviour import Mapping, Measured
from natkit.nat.mapping import MORE_SAMPLES, SAMPLES, Sample, has_pool, judge
from natkit.network import Network, StreamEndpoint, Tls
from natkit.stun.binding import BindingFailed, BindingSucceeded
from natkit.wire import TransportAddress

TCP_PORTS = (80, 443)
"""Tried besides the server's own port: what restrictive networks let out."""

TLS_PORTS = (443, 5349)
"""5349 is STUN's own TLS port (RFC 8489 §18.6)."""

MOST_SERVERS = 6
"""Servers asked over TCP on their own port: each try may cost a connection that nobody accepts."""

THOROUGHLY = 3
"""Of those, the ones asked on the other ports and over TLS too: the first may be away."""

Server: TypeAlias = tuple[str, TransportAddress]
"""Its host name, for TLS to ask for, and an address."""


@dataclass(frozen=True, slots=True)
class FallbackReport:
    """What works over streams.

    Attributes:
        tcp:         ports on which a server answered STUN over TCP, at least one.
        tls:         ports on which one answered STUN over TLS, at least one.
        tcp_mapping: how the NAT maps TCP connections from one local port.
    """

    tcp: Measured[tuple[int, ...]]
    tls: Measured[tuple[int, ...]]
    tcp_mapping: Measured[Mapping]


async def find_fallback(
    network: Network,
    servers: Sequence[Server],
    *,
    interface: str | None = None,
    randomness: Callable[[int], bytes],
    budget: Seconds = 2.0,
) -> FallbackReport:
    """Try STUN over TCP on the servers' own ports, 80 and 443, and over TLS on 443 and 5349.

    All at once, and any certificate will do: what is measured is whether packets get through, and
    nothing secret is sent.

    Args:
        servers:    at least one. Those of the first one's IP version are asked, six at most, and
                    the first three of them on all ports.
        interface:  connect from this one's first address; None: as the system routes.
        randomness: for transaction ids.
        budget:     seconds for each of connecting and asking, and thrice that to compare mappings.
    """
    of_a_kind = [s for s in servers if s[1].is_ipv6 == servers[0][1].is_ipv6][:MOST_SERVERS]
    source = _source(network, servers[0][1], interface)
    if source is None:
        return _unmeasured(f"{interface} has no address to reach {servers[0][1].ip} from")
    asking = _Asking(network, source, randomness, budget)
    try:
        async with asyncio.TaskGroup() as group:
            plain = [group.create_task(asking.ask(to)) for to in _over_tcp(of_a_kind)]
            secured = [
                group.create_task(asking.ask(to, tls=Tls(name, verify=False)))
                for to, name in _over_tls(of_a_kind).items()
            ]
            mapping = group.create_task(_mapping(asking, plain, patience=3 * budget))
    finally:
        await asking.close()
    return FallbackReport(
        _ports("TCP", [task.result() for task in plain]),
        _ports("TLS", [task.result() for task in secured]),
        mapping.result(),
    )


def _over_tcp(servers: Sequence[Server]) -> tuple[TransportAddress, ...]:
    addresses = [address for _, address in servers]
    further = (TransportAddress(a.ip, p) for a in addresses[:THOROUGHLY] for p in TCP_PORTS)
    return tuple(dict.fromkeys((*addresses, *further)))


def _over_tls(servers: Sequence[Server]) -> dict[TransportAddress, str]:
    """Return whom to ask, and the host name to ask for there."""
    return {
        TransportAddress(address.ip, port): name
        for name, address in servers[:THOROUGHLY]
        for port in TLS_PORTS
    }


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
    asking: _Asking, tried: Sequence[asyncio.Task[_Answer]], *, patience: Seconds
) -> Measured[Mapping]:
    """Connect to the servers that answered from a few local ports, and compare what they saw."""
    answers = await asyncio.gather(*tried)
    answered = [answer.to for answer in answers if answer.mapped is not None]
    if not answered:
        return Measured.not_measured("no server answered STUN over TCP")
    targets = _spread(answered)
    if len({to.ip for to in targets}) < 2:
        return Measured.not_measured("needs STUN over TCP on two addresses")
    samples: list[Sample] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            await _collect(samples, asking, targets)
    return _judged(samples)


def _spread(answered: Sequence[TransportAddress]) -> tuple[TransportAddress, ...]:
    """Choose two ports each of three IPs, those first that have two."""
    by_ip: dict[str, list[TransportAddress]] = {}
    for target in answered:
        by_ip.setdefault(target.ip, []).append(target)
    two_ports_first = sorted(by_ip.values(), key=lambda targets: len(targets) < 2)
    return tuple(target for targets in two_ports_first[:3] for target in targets[:2])


async def _collect(
    samples: list[Sample], asking: _Asking, targets: Sequence[TransportAddress]
) -> None:
    """Add to `samples` whatever came about, in the order in which it did."""
    # With few targets, agreement by chance is likelier: see natkit.nat.mapping.SAMPLES.
    count = SAMPLES if len(targets) > 3 else 2 * SAMPLES
    await _add(samples, asking, targets, range(count))
    if _is_doubtful(samples):
        await _add(samples, asking, targets, range(count, MORE_SAMPLES))


async def _add(
    samples: list[Sample],
    asking: _Asking,
    targets: Sequence[TransportAddress],
    numbers: Iterable[int],
) -> None:
    async def add(number: int) -> None:
        sample = await _sample(asking, targets, number)
        if sample.mapped:
            samples.append(sample)

    async with asyncio.TaskGroup() as group:  # which ends them all when time is up
        for number in numbers:
            group.create_task(add(number))


def _is_doubtful(samples: list[Sample]) -> bool:
    classes = [c for c in (sample.classify() for sample in samples) if c is not None]
    return has_pool(samples) or len(set(classes)) > 1 or len(classes) < SAMPLES


async def _sample(asking: _Asking, targets: Sequence[TransportAddress], number: int) -> Sample:
    """Connect to one target from any port, then to the others from that one."""
    start = number % len(targets)  # some pools choose an address by the first destination
    first = await asking.ask(targets[start])
    if first.local is None:
        return Sample(None, {})
    others = (*targets[start + 1 :], *targets[:start])
    further = await asyncio.gather(*(asking.ask(to, port=first.local.port) for to in others))
    seen: dict[TransportAddress, tuple[TransportAddress, ...]]
    seen = {a.to: (a.mapped,) for a in (first, *further) if a.mapped is not None}
    return Sample(first.local, seen)


ENOUGH = 6
"""Pairs of connections to be seen alike for "independent". In a pool of two addresses, each pair is
so by chance every other time."""


def _judged(samples: list[Sample]) -> Measured[Mapping]:
    found = judge(samples)
    if found.value is not Mapping.ENDPOINT_INDEPENDENT:
        return found
    if has_pool(samples) and any(sample.depends for sample in samples):
        reason = "several external addresses, and some ports look different to different servers"
        return Measured.inconclusive(reason, *found.evidence)
    if sum(len(sample.mapped) - 1 for sample in samples) < ENOUGH:
        return Measured.inconclusive("too few TCP connections came about", *found.evidence)
    return found


def _ports(kind: str, answers: Sequence[_Answer]) -> Measured[tuple[int, ...]]:
    evidence = tuple(f"{kind} {answer}" for answer in answers)
    refusal = next((a.refusal for a in answers if a.refusal is not None), None)
    if refusal is not None:
        return Measured.not_measured(refusal)
    answered = [a.to for a in answers if a.mapped is not None]
    if answered:
        ports = tuple(dict.fromkeys(to.port for to in answered))
        who = ", ".join(dict.fromkeys(to.ip for to in answered))
        return Measured.found(ports, f"answered by {who}", *evidence)
    connected = any(a.local is not None for a in answers)
    reason = (
        f"{kind} connects, but nothing there speaks STUN"
        if connected
        else f"no {kind} connection came about; the servers may not offer any"
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
