"""Watch a NAT packet by packet, in either world, with nothing but UDP sockets and patience.

No STUN and no probe here: the lab is observed by hand before anything trusts it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from natkit.lab.scenarios import STUN, Scenario
from natkit.lab.topology import Hairpin, Nat, Pooling, PortPolicy, World
from natkit.nat.behaviour import Filtering, Mapping
from natkit.network import DatagramEndpoint, Family, IcmpError
from natkit.wire import TransportAddress

SILENCE = 0.15
"""Seconds after which a packet of the lab will not come any more."""

PATIENCE = 5.0
"""Seconds to wait for what ought to come; on a busy machine it may take a while."""

SAMPLES = 5
"""Sockets that are watched: with fewer, a random choice among four addresses may hide."""

FIRST, SECOND = STUN
PORTS = (3478, 3479)


class Socket:
    """A UDP socket that keeps what came in."""

    endpoint: DatagramEndpoint

    def __init__(self) -> None:
        self.received: asyncio.Queue[tuple[bytes, TransportAddress]] = asyncio.Queue()
        self.errors: asyncio.Queue[IcmpError] = asyncio.Queue()

    def datagram_received(self, data: bytes, source: TransportAddress) -> None:
        self.received.put_nowait((data, source))

    def error_received(self, error: IcmpError) -> None:
        self.errors.put_nowait(error)

    def send(self, text: str, destination: TransportAddress, *, ttl: int | None = None) -> None:
        self.endpoint.send(text.encode(), destination, ttl=ttl)

    async def next(self, patience: float = SILENCE) -> tuple[str, TransportAddress] | None:
        """Return the next packet and where it came from; None: none came."""
        try:
            async with asyncio.timeout(patience):
                data, source = await self.received.get()
        except TimeoutError:
            return None
        return data.decode(), source

    async def next_error(self, patience: float = PATIENCE) -> IcmpError | None:
        try:
            async with asyncio.timeout(patience):
                return await self.errors.get()
        except TimeoutError:
            return None

    async def all(self) -> set[str]:
        """Return what comes in, which is something, until nothing more does."""
        texts = set()
        patience = PATIENCE
        while (packet := await self.next(patience)) is not None:
            texts.add(packet[0])
            patience = SILENCE
        return texts


@contextmanager
def closing(*sockets: Socket) -> Iterator[None]:
    try:
        yield
    finally:
        for each in sockets:
            each.endpoint.close()


async def open_socket(
    world: World,
    node: str,
    local: TransportAddress | None = None,
    family: Family = Family.IPV4,
) -> Socket:
    sock = Socket()
    sock.endpoint = await world.network(node).open_datagram(sock, local=local, family=family)
    return sock


async def open_servers(world: World) -> dict[TransportAddress, Socket]:
    """Open sockets on both ports of both addresses of `stun`."""
    addresses = [TransportAddress(ip, port) for ip in STUN for port in PORTS]
    return {address: await open_socket(world, "stun", address) for address in addresses}


async def mapped(inside: Socket, server: Socket, text: str = "who am I") -> TransportAddress | None:
    """Return what `server` sees `inside` as; None: nothing came through."""
    inside.send(text, server.endpoint.local)
    packet = await server.next(PATIENCE)
    return None if packet is None else packet[1]


@dataclass(slots=True)
class Observed:
    """What was seen of a NAT.

    Attributes:
        reached:    a packet came through at all.
        preserved:  every socket kept its port.
        step:       the one distance between consecutive mappings; None: there is no single one.
        one_address: every mapping had the same external address.
    """

    reached: bool = False
    mapping: Mapping | None = None
    filtering: Filtering | None = None
    preserved: bool | None = None
    step: int | None = None
    one_address: bool | None = None
    mappings: list[list[TransportAddress]] = field(default_factory=list, compare=False)


async def observe(world: World) -> Observed:
    """Watch the NAT that `alice` is behind."""
    servers = await open_servers(world)
    with closing(*servers.values()):
        seen = Observed()
        await _observe_mappings(world, list(servers.values()), seen)
        if seen.reached:
            seen.filtering = await _observe_filtering(world, servers)
        return seen


async def _observe_mappings(world: World, servers: list[Socket], seen: Observed) -> None:
    kept = []
    for _ in range(SAMPLES):
        alice = await open_socket(world, "alice")
        with closing(alice):
            row = [await mapped(alice, server) for server in servers]
            if None in row:
                return
            found = [address for address in row if address is not None]
            kept += [address.port == alice.endpoint.local.port for address in found]
            seen.mappings.append(found)
    seen.reached = True
    seen.mapping = _mapping_of(seen.mappings)
    seen.preserved = all(kept)
    flat = [address for row in seen.mappings for address in row]
    seen.one_address = len({address.ip for address in flat}) == 1
    steps = {b.port - a.port for a, b in itertools.pairwise(flat)}
    if seen.mapping is Mapping.ADDRESS_AND_PORT_DEPENDENT and len(steps) == 1:
        seen.step = steps.pop()


def _mapping_of(rows: list[list[TransportAddress]]) -> Mapping:
    """Classify rows of four mappings: both ports of one address, then of the other."""
    if all(len(set(row)) == 1 for row in rows):
        return Mapping.ENDPOINT_INDEPENDENT
    if all(row[0] == row[1] and row[2] == row[3] for row in rows):
        return Mapping.ADDRESS_DEPENDENT
    return Mapping.ADDRESS_AND_PORT_DEPENDENT


async def _observe_filtering(
    world: World, servers: dict[TransportAddress, Socket]
) -> Filtering | None:
    """Let three strangers, each a step further away, send to a mapping that met one server."""
    alice = await open_socket(world, "alice")
    met = servers[TransportAddress(FIRST, PORTS[0])]
    with closing(alice):
        outside = await mapped(alice, met)
        if outside is None:
            return None
        met.send("met", outside)
        servers[TransportAddress(FIRST, PORTS[1])].send("other port", outside)
        servers[TransportAddress(SECOND, PORTS[1])].send("other address", outside)
        heard = await alice.all()
    assert "met" in heard, f"not even the server that alice had asked came through: {heard}"
    if "other address" in heard:
        return Filtering.ENDPOINT_INDEPENDENT
    if "other port" in heard:
        return Filtering.ADDRESS_DEPENDENT
    return Filtering.ADDRESS_AND_PORT_DEPENDENT


def expected(scenario: Scenario) -> Observed:
    """Return what must be seen of a scenario."""
    truth = scenario.truth
    if not truth.udp:
        return Observed()
    nats = [router.nat for router in scenario.topology.routers if router.nat is not None]
    outer = nats[-1] if nats else Nat()
    return Observed(
        reached=True,
        mapping=truth.mapping,
        filtering=truth.filtering,
        preserved=truth.ports is PortPolicy.PRESERVING,
        step=truth.step,
        one_address=outer.pooling is Pooling.PAIRED or len(outer.pool) < 2,
    )


async def hairpins(world: World) -> Hairpin:
    """Find out what becomes of a packet from alice to carol's mapping."""
    servers = await open_servers(world)
    server = servers[TransportAddress(FIRST, PORTS[0])]
    alice, carol = await open_socket(world, "alice"), await open_socket(world, "carol")
    with closing(alice, carol, *servers.values()):
        alice_outside, carol_outside = await mapped(alice, server), await mapped(carol, server)
        assert alice_outside is not None
        assert carol_outside is not None
        alice.send("hello", carol_outside)
        packet = await carol.next()
    if packet is None:
        return Hairpin.NONE
    external = packet[1] == alice_outside
    return Hairpin.EXTERNAL_SOURCE if external else Hairpin.INTERNAL_SOURCE
