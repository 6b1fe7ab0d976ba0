"""Two homes with servers between them, and whatever plays a call between alice and bob there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from natkit.aio.ice_servers import TurnServer
from natkit.dataplane import Counters
from natkit.errors import UsageError
from natkit.lab import netns, sim
from natkit.lab.call import relay
from natkit.lab.homes import HOMES, two_homes
from natkit.lab.scenarios import STUN
from natkit.lab.servers import STUN_SERVERS, stun_servers
from natkit.lab.sim.packet import Proto
from natkit.lab.sim.trace import Record
from natkit.lab.topology import Link, Topology, World
from natkit.lab.turn import turn_host
from natkit.machine import Seconds
from natkit.nat.verdict import Behaviour
from natkit.network import Network
from natkit.wire import TransportAddress

T = TypeVar("T")

MEETING = TransportAddress(STUN[0], 8080)
"""Where on the internet a program may listen for TCP, so that alice and bob meet there."""

ALSO_CALLED = {"home": "port-restricted"}
"""What people call a kind, as `natkit lab list` does."""

SERVERS = ("stun", "stun2")

BETWEEN = "-vs-"


def kinds_of(pair: str) -> tuple[str, str]:
    """Return the kinds in "home-vs-symmetric". Raises: UsageError: there is none of that name."""
    words = pair.split(BETWEEN)
    kinds = [ALSO_CALLED.get(word, word) for word in words]
    if len(kinds) != 2 or not set(kinds) <= set(HOMES):
        known = ", ".join([*ALSO_CALLED, *HOMES])
        raise UsageError(
            f"no two homes are called {pair!r}", hint=f"Write A{BETWEEN}B, each one of: {known}"
        )
    return kinds[0], kinds[1]


@dataclass(frozen=True, slots=True)
class Drop:
    """A datagram that ended on its way.

    Attributes:
        at:     seconds on the world's clock.
        node:   the router or host that dropped it ("r-alice": alice's, "isp-bob": bob's carrier).
        why:    in words ("no mapping").
        source, destination: as it came to the node.
    """

    at: float
    node: str
    why: str
    source: str
    destination: str


@dataclass(slots=True)
class Stage:
    """What a call has to work with.

    Attributes:
        nats:    what stands before alice and before bob, as a probe would find it.
        stun:    servers, as `Connection` takes them.
        turn:    the lab's relay over UDP and over TCP.
        meeting: where on `network("stun")` a program may listen, and alice and bob reach it.
        carried: what the relay has carried so far.
        drops:   UDP datagrams that ended on their way; None: this backend does not tell.
    """

    world: World
    nats: tuple[Behaviour, Behaviour]
    carried: Counters
    drops: list[Drop] | None = None
    stun: tuple[tuple[str, int], ...] = STUN_SERVERS
    turn: tuple[TurnServer, ...] = field(default_factory=lambda: (relay("udp"), relay("tcp")))
    meeting: TransportAddress = MEETING

    def network(self, name: str) -> Network:
        """Return the network as "alice", "bob" or "stun" sees it."""
        return self.world.network(name)


def on_stage(
    pair: str,
    play: Callable[[Stage], Awaitable[T]],
    *,
    backend: str = "sim",
    seed: int = 0,
    loss: float = 0.0,
    relay_away: Seconds = 0.0,
) -> T:
    """Await `play(stage)` between two homes, and return what it returns.

    Args:
        pair:    "A-vs-B", kinds of `natkit lab matrix`: alice's home and bob's.
        backend: "sim" or "netns".
        loss:    0 .. 1, on each one's way to the internet, each way.
        relay_away: from the middle of the internet to the servers, one way; "sim" alone has delays.
    Raises: UsageError: no such pair, or called inside an event loop. Unsupported: netns cannot.
    """
    a, b = kinds_of(pair)
    topology = _away(two_homes(HOMES[a], HOMES[b], loss=loss), relay_away)
    nats = HOMES[a].behaviour, HOMES[b].behaviour
    drops: list[Drop] = []

    async def watched(world: sim.SimWorld) -> T:
        world.trace(lambda record: _note(record, drops))
        return await staged(world, drops)

    async def staged(world: World, drops: list[Drop] | None = None) -> T:
        async with stun_servers(world), turn_host(world) as host:
            return await play(Stage(world, nats, host.carried, drops))

    if backend == "sim":
        return sim.run(topology, watched, seed=seed)
    netns.prepare()
    return netns.run(topology, staged, seed=seed)


def _away(topology: Topology, seconds: Seconds) -> Topology:
    hosts = (
        replace(host, link=Link(latency=seconds)) if host.name in SERVERS else host
        for host in topology.hosts
    )
    return replace(topology, hosts=tuple(hosts))


def _note(record: Record, drops: list[Drop]) -> None:
    if record.dropped and record.proto is Proto.UDP:
        why = record.verdict.removeprefix("dropped: ")
        drops.append(Drop(record.time, record.node, why, str(record.src), str(record.dst)))
