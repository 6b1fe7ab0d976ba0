"""Two ICE agents and what lies between them, in memory and on a clock of their own."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable

from natkit.ice.agent import IceAgent
from natkit.ice.candidate import Candidate, CandidateType, Local, Origin
from natkit.ice.events import AgentEvent, State, StateChanged
from natkit.ice.messages import Outgoing
from natkit.ice.priority import BEST_LOCAL_PREFERENCE, priority
from natkit.machine import soonest
from natkit.wire import Message, TransportAddress

A = TransportAddress("192.0.2.1", 1000)
B = TransportAddress("198.51.100.1", 2000)
A6 = TransportAddress("2001:db8::1", 1000)
B6 = TransportAddress("2001:db8::2", 2000)
A_RELAY = TransportAddress("203.0.113.1", 3000)
B_RELAY = TransportAddress("203.0.113.2", 4000)


def local(
    base: TransportAddress,
    kind: CandidateType = CandidateType.HOST,
    *,
    at: TransportAddress | None = None,
    component: int = 1,
    preference: int = BEST_LOCAL_PREFERENCE,
    foundation: str | None = None,
) -> Local:
    """Return a candidate of ours; `at` is where others see it."""
    where = at or base
    value = priority(kind, preference, component)
    name = foundation or f"{kind}{where.ip.replace('.', '').replace(':', '')}"
    candidate = Candidate(name, component, "udp", value, where.ip, where.port, kind)
    return Local(candidate, base, Origin(0.0, "eth0"))


class Peer:
    """One side.

    Attributes: events: all that the agent has reported; states: those of the connection.
    """

    def __init__(self, agent: IceAgent) -> None:
        self.agent = agent
        self.events: list[AgentEvent] = []
        self.sent: list[Outgoing] = []
        self.data: list[bytes] = []

    @property
    def state(self) -> State:
        return self.agent.state


Fate = Callable[[Outgoing], bool]


class Duo:
    """Two agents with a path between them.

    Attributes:
        drops:   decides which datagram is lost.
        routes:  where a datagram to an address comes in; addresses without a route are dead.
        seen_as: what the other side takes a base for: a NAT.
    """

    def __init__(
        self,
        *,
        latency: float = 0.01,
        loss: float = 0.0,
        jitter: float = 0.0,
        seed: int = 1,
        **options: object,
    ) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.latency, self.loss, self.jitter = latency, loss, jitter
        a, b = random.Random(2 * seed), random.Random(2 * seed + 1)
        self.a = Peer(IceAgent(controlling=True, randomness=a.randbytes, **options))
        self.b = Peer(IceAgent(controlling=False, randomness=b.randbytes, **options))
        self.drops: Fate = lambda _: False
        self.routes: dict[TransportAddress, tuple[Peer, TransportAddress]] = {}
        self.seen_as: dict[TransportAddress, TransportAddress] = {}
        self._order = itertools.count()
        self._air: list[tuple[float, int, Peer, Outgoing, TransportAddress, TransportAddress]] = []

    def other(self, peer: Peer) -> Peer:
        return self.b if peer is self.a else self.a

    def give(self, peer: Peer, *locals_: Local, signal: bool = True) -> None:
        """Give an agent candidates, and have them signalled to the other."""
        for found in locals_:
            self.routes.setdefault(found.base, (peer, found.base))
            peer.agent.add_local(found, now=self.now)
            if signal:
                self.other(peer).agent.add_remote(found.candidate, now=self.now)

    def end(self) -> None:
        for peer in (self.a, self.b):
            peer.agent.end_of_local(now=self.now)
            peer.agent.end_of_remote(now=self.now)

    def introduce(self) -> None:
        """Exchange credentials."""
        for peer in (self.a, self.b):
            own = self.other(peer).agent.session.own
            peer.agent.set_remote(own, now=self.now)

    def start(self) -> None:
        self.introduce()
        for peer in (self.a, self.b):
            peer.agent.start(now=self.now)
        self.settle()

    def settle(self) -> None:
        """Take what both want to send and say."""
        for peer in (self.a, self.b):
            for out in peer.agent.transmits():
                peer.sent.append(out)
                if not self.drops(out) and self.rng.random() >= self.loss:
                    self._launch(out)
            peer.events += peer.agent.events()

    def _launch(self, out: Outgoing) -> None:
        route = self.routes.get(out.destination)
        if route is None:
            return
        there, base = route
        source = self.seen_as.get(out.base, out.base)
        at = self.now + self.latency + self.jitter * self.rng.random()
        entry = (at, next(self._order), there, out, source, base)
        heapq.heappush(self._air, entry)

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> None:
        """Let time pass, until a condition holds if there is one."""
        end = self.now + seconds
        for _ in range(100_000):
            self.settle()
            if until is not None and until():
                return
            due = [peer.agent.deadline() for peer in (self.a, self.b)]
            arrival = self._air[0][0] if self._air else None
            at = soonest((*due, arrival))
            if at is None or at > end:
                self.now = end
                return
            self.now = max(self.now, at)
            if arrival is not None and arrival <= self.now:
                _, _, there, out, source, base = heapq.heappop(self._air)
                there.agent.receive(out.data, source, at=base, tcp=out.tcp, now=self.now)
            else:
                for peer in (self.a, self.b):
                    peer.agent.tick(now=self.now)
        raise AssertionError("the agents never come to rest")

    def connect(self, seconds: float = 60.0) -> None:
        self.run(seconds, lambda: all(p.state is State.COMPLETED for p in (self.a, self.b)))


def requests(peer: Peer) -> list[Message]:
    """Return the checks that a side has sent, answers left out."""
    found = [Message.decode(out.data) for out in peer.sent]
    return [message for message in found if message.message_class.name == "REQUEST"]


def simple(**options: object) -> Duo:
    """Return two hosts that reach each other, before they have been told to start."""
    duo = Duo(**options)
    duo.give(duo.a, local(A))
    duo.give(duo.b, local(B))
    duo.end()
    return duo


def states(peer: Peer) -> list[State]:
    """Return the states that a side has reported, in order."""
    return [event.state for event in peer.events if isinstance(event, StateChanged)]
