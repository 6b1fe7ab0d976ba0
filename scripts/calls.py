"""Let two peers behind NATs call each other in the simulator, and watch every packet.

A peer is ICE reduced to what a NAT can see: ask a STUN server, learn the other's mapped address
(no packet is drawn for that), send checks to it, answer each check to wherever it came from. A path
is found when a check was answered.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass, field

from natkit.aio.stun_server import serve_binding
from natkit.lab.scenarios import SCENARIOS
from natkit.lab.sim import Direction, Record, SimWorld, run
from natkit.lab.topology import Host, Link, Nat, Router, Segment, Topology, World
from natkit.network import DatagramEndpoint, IcmpError
from natkit.wire import Message, Method, TransportAddress, XorMappedAddress

STUN = TransportAddress("203.0.113.10", 3478)
ALICE = TransportAddress("10.0.1.2", 50000)
BOB = TransportAddress("10.0.2.2", 60000)
NAT_A, NAT_B = "203.0.113.100", "203.0.113.200"

START = 0.1
"""When alice sends her first check, seconds: both have asked the STUN server by then."""
INTERVAL = 0.1
"""Between two checks of one peer."""
BEHIND = 0.03
"""How much later bob starts, since signalling takes time, too: longer than a packet's way."""
CHECKS = 2


@dataclass(slots=True)
class Packet:
    """A packet on its way.

    Attributes:
        kind:  "ask", "told", "check" or "answer".
        steps: what the nodes recorded, in order.
    """

    kind: str
    steps: list[Record] = field(default_factory=list)


@dataclass(slots=True)
class Call:
    """What became of a call.

    Attributes:
        direct:  a check was answered.
        kinds:   payload length -> kind, of all checks and answers.
        packets: in the order sent, where the world could be watched.
    """

    direct: bool = False
    kinds: dict[int, str] = field(default_factory=dict)
    packets: list[Packet] = field(default_factory=list)


class _Peer:
    """One end of the call.

    Every payload has a length that no other packet of the call has: by it, the observer knows what
    a packet is and which steps belong together.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self.endpoint: DatagramEndpoint
        self.mapped: TransportAddress | None = None

    def ask(self) -> None:
        request = Message.request(Method.BINDING, bytes(12)).encode()
        self.endpoint.send(request, STUN)

    def say(self, kind: str, to: TransportAddress) -> None:
        size = 100 + len(self._call.kinds)
        self._call.kinds[size] = kind
        self.endpoint.send(kind.encode().ljust(size), to)

    def datagram_received(self, data: bytes, source: TransportAddress) -> None:
        if source == STUN:
            told = Message.decode(data).find(XorMappedAddress)
            self.mapped = told.address if told is not None else None
        elif data.startswith(b"check"):
            self.say("answer", source)
        else:
            self._call.direct = True

    def error_received(self, error: IcmpError) -> None:
        """A NAT that drops says nothing; the peers would not listen if it did."""


def between(a: Nat, b: Nat) -> Topology:
    """Return alice behind NAT A and bob behind NAT B, with a STUN server on the internet."""
    still = Link(latency=0.0)
    return Topology(
        (
            Segment("internet", "203.0.113.0/24"),
            Segment("home a", "10.0.1.0/24"),
            Segment("home b", "10.0.2.0/24"),
        ),
        (
            Host("stun", "internet", (STUN.ip,), still),
            Host("alice", "home a", (ALICE.ip,)),
            Host("bob", "home b", (BOB.ip,)),
        ),
        (
            Router("NAT A", "home a", "internet", ("10.0.1.1",), (NAT_A,), a),
            Router("NAT B", "home b", "internet", ("10.0.2.1",), (NAT_B,), b),
        ),
    )


def nat_of(scenario: str) -> Nat:
    """Return the NAT of a scenario that has one."""
    nat = SCENARIOS[scenario].topology.routers[0].nat
    if nat is None:
        raise ValueError(f"{scenario} has no NAT")
    return nat


def call(a: str, b: str, *, seed: int = 1) -> Call:
    """Let alice, behind the NAT of scenario `a`, and bob, behind that of `b`, call each other."""

    async def main(world: SimWorld) -> Call:
        result = Call()
        world.trace(_Watch(result).observe)
        await converse(world, result)
        return result

    return run(between(nat_of(a), nat_of(b)), main, seed=seed, debug=False)


async def converse(world: World, result: Call) -> None:
    """Make the call in a world that `between` describes."""
    alice, bob = _Peer(result), _Peer(result)
    with ExitStack() as resources:
        service = await serve_binding(world.network("stun"), [STUN.ip], rfc5780=False)
        resources.enter_context(closing(service))
        for peer, node, local in ((alice, "alice", ALICE), (bob, "bob", BOB)):
            peer.endpoint = await world.network(node).open_datagram(peer, local=local)
            resources.enter_context(closing(peer.endpoint))
        await _talk(world, alice, bob)


async def _talk(world: World, alice: _Peer, bob: _Peer) -> None:
    clock = world.network("stun")
    alice.ask()
    await clock.sleep(START / 2)
    bob.ask()
    await clock.sleep(START / 2)
    if alice.mapped is None or bob.mapped is None:
        raise RuntimeError("the STUN server did not answer")
    for _ in range(CHECKS):
        alice.say("check", bob.mapped)
        await clock.sleep(BEHIND)
        bob.say("check", alice.mapped)
        await clock.sleep(INTERVAL - BEHIND)


class _Watch:
    """Sorts the records of the trace by packet."""

    def __init__(self, result: Call) -> None:
        self._result = result
        self._latest: dict[int, Packet] = {}

    def observe(self, record: Record) -> None:
        if record.direction is Direction.SENT:
            kind = self._result.kinds.get(record.size) or ("told" if record.src == STUN else "ask")
            self._latest[record.size] = Packet(kind)
            self._result.packets.append(self._latest[record.size])
        self._latest[record.size].steps.append(record)
