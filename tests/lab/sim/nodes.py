"""What the tests put on simulated hosts: ears that remember, servers that answer; and a trace."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from natkit.lab import sim
from natkit.lab.sim import Record, SimWorld
from natkit.lab.topology import Topology
from natkit.network import DatagramEndpoint, IcmpError
from natkit.wire import Message, TransportAddress, XorMappedAddress

ALICE = TransportAddress("10.0.1.2", 40000)
STUN = TransportAddress("203.0.113.10", 3478)
STUN_PORT2 = TransportAddress("203.0.113.10", 3479)
STUN_IP2 = TransportAddress("203.0.113.11", 3478)
STUN2 = TransportAddress("203.0.113.20", 3478)
WAN = "203.0.113.100"


@dataclass
class Ear:
    """Remembers what came in: (data, source), and ICMP errors."""

    heard: list[tuple[bytes, TransportAddress]] = field(default_factory=list)
    errors: list[IcmpError] = field(default_factory=list)
    endpoint: DatagramEndpoint | None = None

    def datagram_received(self, data: bytes, source: TransportAddress) -> None:
        self.heard.append((data, source))

    def error_received(self, error: IcmpError) -> None:
        self.errors.append(error)

    @property
    def sources(self) -> list[TransportAddress]:
        return [source for _, source in self.heard]

    def send(self, data: bytes, to: TransportAddress, ttl: int | None = None) -> None:
        assert self.endpoint is not None
        self.endpoint.send(data, to, ttl=ttl)


@dataclass
class StunServer(Ear):
    """Answers Binding requests with what it saw."""

    def datagram_received(self, data: bytes, source: TransportAddress) -> None:
        self.send(Message.decode(data).success(XorMappedAddress(source)).encode(), source)


async def listen(
    world: SimWorld, node: str, local: TransportAddress | None = None, ear: Ear | None = None
) -> Ear:
    """Open an endpoint on `node`."""
    ear = ear or Ear()
    ear.endpoint = await world.network(node).open_datagram(ear, local=local)
    return ear


async def settle(world: SimWorld, seconds: float = 0.5) -> None:
    """Let every packet under way arrive."""
    await world.network("stun").sleep(seconds)


Play = Callable[[SimWorld], Awaitable[None]]


def play(topology: Topology, main: Play) -> list[Record]:
    """Run `main` and return every step of every packet."""
    steps: list[Record] = []

    async def traced(world: SimWorld) -> None:
        world.trace(steps.append)
        await main(world)

    sim.run(topology, traced)
    return steps


def verdicts(steps: list[Record], node: str) -> list[str]:
    return [step.verdict for step in steps if step.node == node]
