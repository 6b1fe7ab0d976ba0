"""What a running TURN server tells its owner: sessions that begin and end, and refusals."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from natkit.dataplane import Counters
from natkit.machine import Instant, Seconds
from natkit.turn.events import RequestRefused
from natkit.turn.forwarding import CloseReason, Path, Transport
from natkit.wire import TransportAddress


class Session(NamedTuple):
    """An allocation as its owner's log and metrics show it.

    Attributes:
        began: on the event loop's clock.
    """

    path: Path
    relayed: TransportAddress
    user: str
    began: Instant


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """An allocation has ended.

    Attributes: carried: all that it carried; None: nobody knows, its worker is gone.
    """

    session: Session
    reason: CloseReason
    carried: Counters | None
    lasted: Seconds


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A worker process has ended by itself; another one takes its place.

    Attributes:
        sessions: allocations that were on it; each is reported to have ended, too.
    """

    worker: int
    why: str
    sessions: int


@dataclass(frozen=True, slots=True)
class WorkerFailed:
    """A worker process could not do as told: begin, or take another configuration."""

    worker: int
    why: str


@dataclass(slots=True)
class Live:
    """What a server has now, and has carried up to now.

    Attributes:
        allocations: by the transport of their clients.
        carried:     by all allocations, those that stand included.
        challenges:  answers with 401.
        ports_used, ports: relay ports taken, and how many there are.
        workers:     how many answered for this.
        in_kernel:   for how many of them the kernel forwards what it can.
    """

    allocations: Counter[Transport] = field(default_factory=Counter)
    carried: Counters = field(default_factory=Counters)
    challenges: int = 0
    ports_used: int = 0
    ports: int = 0
    workers: int = 1
    in_kernel: int = 0

    def add(self, other: Live) -> None:
        """Add what another worker has."""
        self.allocations.update(other.allocations)
        self.carried.add(other.carried)
        self.challenges += other.challenges
        self.ports_used += other.ports_used
        self.ports += other.ports
        self.workers += other.workers
        self.in_kernel += other.in_kernel


Report: TypeAlias = Session | SessionEnded | RequestRefused | WorkerLost | WorkerFailed
"""What the server's owner may want to know."""
