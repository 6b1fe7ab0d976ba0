"""Load a TURN server from here: calls through it, and what becomes of their packets.

Each client has an allocation, and a plain socket beside it for its peer; packets cross the relay on
a channel, up (client to peer), down, or both ways. Sender and receiver share one clock and this
process, so a latency holds one crossing of the relay and what this machine adds to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct

from natkit.aio.turn_client import Randomness, RelayedEndpoint
from natkit.aio.turn_failure import Server
from natkit.errors import NatkitError, NetworkUnreachable, UsageError
from natkit.machine import Seconds
from natkit.network import DatagramEndpoint, Family, Network, Tls
from natkit.tools.places import SrvLookup, server_places
from natkit.tools.stun import Trust
from natkit.tools.turn_load import BenchReport, Direction, Flow, Histogram, Load
from natkit.tools.turn_path import Inbox, Outside
from natkit.tools.turn_words import permission_problem
from natkit.turn.client_allocation import Wish
from natkit.turn.client_auth import Login
from natkit.turn.client_events import Cause
from natkit.turn.client_uri import TurnUri
from natkit.turn.forwarding import Transport
from natkit.wire import TransportAddress

AT_ONCE = 20
"""Clients set up side by side, so that a rate limit of the server is not what is measured."""

TICK: Seconds = 0.005
"""How often packets are sent; those due since the last time go together."""

STRAGGLERS: Seconds = 1.0
"""How long to wait for the last packets."""

PATIENCE: Seconds = 5.0
"""For a server to answer at the end: four tries over UDP (RFC 8489 §6.2.1)."""

_NOBODY = {Family.IPV4: "192.0.2.1", Family.IPV6: "2001:db8::1"}
"""Peers that are asked for to see whether the server answers, be it with 403 (RFC 5737, 3849)."""

_STAMP = Struct("!16sd")
"""What a packet begins with: the mark of its client, and when it was sent."""


class _Meter(Inbox):
    """Counts the packets of the load that come in; others go where an `Inbox` has them."""

    def __init__(self, network: Network, mark: bytes, latencies: Histogram) -> None:
        super().__init__()
        self._network = network
        self._mark = mark
        self._latencies = latencies

    def datagram_received(self, data: bytes, source: TransportAddress) -> None:
        """Count it."""
        if len(data) < _STAMP.size or not data.startswith(self._mark):
            super().datagram_received(data, source)
            return
        _, sent_at = _STAMP.unpack_from(data)
        self._latencies.add(self._network.now() - sent_at)


@dataclass(frozen=True, slots=True)
class _Call:
    """One client and its peer."""

    relay: RelayedEndpoint
    outside: Outside
    peer: TransportAddress

    def ends(self) -> Iterable[tuple[Direction, DatagramEndpoint, TransportAddress]]:
        """Yield who sends to whom."""
        yield Direction.UP, self.relay, self.peer
        if self.outside.endpoint is not None:
            yield Direction.DOWN, self.outside.endpoint, self.relay.local


async def find_server(
    network: Network,
    uri: TurnUri,
    trust: Trust,
    randomness: Randomness,
    look_up_srv: SrvLookup | None = None,
) -> Server:
    """Return the first address of `uri`, with the first transport that it stands for.

    Args:   as of `places`.
    Raises: NetworkUnreachable: it has no address.
            UsageError: it wants DTLS.
    """
    transport = uri.transports[0]
    if transport is Transport.DTLS:
        raise UsageError(f"{uri} asks for DTLS, which natkit's client does not speak")
    found = await server_places(network, uri, transport, randomness, look_up_srv)
    if not found:
        raise NetworkUnreachable(
            f"found no address for {uri.host}",
            why="the DNS has none, or cannot be asked",
            hint=f"Check the name; this was read as the server {uri}",
        )
    tls = Tls(uri.host, trust.verify, trust.ca_file)
    return Server(found[0], transport, tls if transport is Transport.TLS else None)


async def bench(
    network: Network, server: Server, login: Login | None, load: Load, randomness: Randomness
) -> BenchReport:
    """Put `load` on `server` and count what arrives.

    Raises: UsageError: the load is out of bounds.
            NatkitError: not one client got through the relay; says why the first did not.
    """
    load.check()
    mark = randomness(16)
    seen = {way: Histogram() for way in (Direction.UP, Direction.DOWN)}
    began = network.now()
    one = _Setup(network, server, login, randomness, mark, seen, asyncio.Semaphore(AT_ONCE))
    results = await asyncio.gather(*(one.call() for _ in range(load.clients)))
    calls = [result for result in results if isinstance(result, _Call)]
    failures = [result for result in results if isinstance(result, NatkitError)]
    if not calls:
        raise _with_a_hint(failures[0])
    setup = network.now() - began
    try:
        sent, seconds = await _send(network, calls, load, mark)
        await _stragglers(network, seen, sent)
        lost = any(seen[way].count < sent[way] for way in sent)
        gone = await _gone(calls[:AT_ONCE]) if lost else None
    finally:
        for call in calls:
            call.outside.close()
        await asyncio.gather(*(call.relay.close_and_wait() for call in calls))
    flows = {way.value: _flow(sent[way], seen[way]) for way in sent}
    failed = tuple(str(failure) for failure in failures)
    return BenchReport(
        server.address, server.transport, load, len(calls), failed, setup, seconds, flows, gone
    )


def _with_a_hint(error: NatkitError) -> NatkitError:
    """Return the error of a server that nothing was heard from with what to look at."""
    if not isinstance(error, NetworkUnreachable) or error.hint is not None:
        return error
    why = error.why or "nothing there speaks TURN, or a firewall is in between"
    hint = "Check address, port and transport; more is found by: natkit turn check"
    return NetworkUnreachable(error.what, why=why, hint=hint)


async def _gone(calls: list[_Call]) -> str | None:
    """Return what became of a server that does nothing more for any call; None: it does."""
    answers = await asyncio.gather(*(_answer(call) for call in calls))
    if None in answers:
        return None
    return "it has no allocation of these calls any more" if 437 in answers else "it is silent"


async def _answer(call: _Call) -> int | None:
    """Ask the server for a little: None: it answers; 437, or 0 for nothing at all, where not."""
    family = Family.IPV6 if call.relay.local.is_ipv6 else Family.IPV4
    try:
        async with asyncio.timeout(PATIENCE):
            failure = await call.relay.try_to_permit(_NOBODY[family])
    except TimeoutError:
        return 0
    if failure is None or (failure.cause is Cause.REFUSED and failure.code != 437):
        return None
    return failure.code or 0


@dataclass(frozen=True, slots=True)
class _Setup:
    """Makes calls; the fields are what they share."""

    network: Network
    server: Server
    login: Login | None
    randomness: Randomness
    mark: bytes
    seen: dict[Direction, Histogram]
    room: asyncio.Semaphore

    async def call(self) -> _Call | NatkitError:
        """Allocate, permit, and open a channel; return the error where one of it fails."""
        async with self.room:
            try:
                return await self._call()
            except NatkitError as error:
                return error

    async def _call(self) -> _Call:
        down = _Meter(self.network, self.mark, self.seen[Direction.DOWN])
        up = _Meter(self.network, self.mark, self.seen[Direction.UP])
        family = Family.IPV6 if self.server.address.is_ipv6 else Family.IPV4
        relay = await RelayedEndpoint.open(
            self.network,
            self.server,
            self.login,
            down,
            randomness=self.randomness,
            wish=Wish((family,)),
        )
        outside = Outside(self.network, self.randomness, up)
        try:
            await _permit(relay)
            crossing = await outside.into(relay, down)
            if crossing is None:
                raise NetworkUnreachable(
                    f"nothing that is sent from here to {relay.local} arrives",
                    hint="See: natkit turn check",
                )
            await relay.open_channel(crossing.source)
        except BaseException:
            outside.close()
            await relay.close_and_wait()
            raise
        return _Call(relay, outside, crossing.source)


async def _permit(relay: RelayedEndpoint) -> None:
    """Let ourselves be sent to. Raises: NatkitError."""
    ip = relay.allocated.mapped.ip
    failure = await relay.try_to_permit(ip)
    if failure is not None:
        problem = permission_problem(failure, ip, own=ip == relay.local.ip)
        raise NatkitError(problem.what, hint=problem.mend)


async def _send(
    network: Network, calls: list[_Call], load: Load, mark: bytes
) -> tuple[dict[Direction, int], Seconds]:
    """Send all packets at an even pace; return how many went each way, and in how many seconds."""
    ends = [
        end for call in calls for end in call.ends() if load.direction in (end[0], Direction.BOTH)
    ]
    sent = dict.fromkeys((end[0] for end in ends), 0)
    filler = bytes(load.size - _STAMP.size)
    rate = load.rate * len(ends)
    began, count = network.now(), 0
    total = round(rate * load.duration)
    while count < total and network.now() - began < load.duration + STRAGGLERS:
        due = min(total, int((network.now() - began) * rate) + 1)
        while count < due:
            way, endpoint, destination = ends[count % len(ends)]
            endpoint.send(_STAMP.pack(mark, network.now()) + filler, destination)
            sent[way] += 1
            count += 1
        await network.sleep(TICK)
    return sent, network.now() - began


async def _stragglers(
    network: Network, seen: dict[Direction, Histogram], sent: dict[Direction, int]
) -> None:
    """Wait until all has arrived, or has had its time."""
    until = network.now() + STRAGGLERS
    while network.now() < until:
        if all(seen[way].count >= sent[way] for way in sent):
            return
        await network.sleep(0.02)


def _flow(sent: int, seen: Histogram) -> Flow:
    median, p90, p99 = (seen.percentile(share) for share in (0.5, 0.9, 0.99))
    return Flow(sent, seen.count, median, p90, p99, seen.most if seen.count else None)
