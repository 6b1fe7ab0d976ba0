"""Two sides of a call in the simulator, and signalling that is two queues."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from random import Random
from typing import Any

from natkit.aio.ice_servers import TurnServer
from natkit.ice.report import Json
from natkit.lab.call import relay
from natkit.lab.homes import HOMES, two_homes
from natkit.lab.servers import STUN_SERVERS, stun_servers
from natkit.lab.sim import SimWorld, run
from natkit.lab.turn import turn_host
from natkit.rendezvous.description import Description
from natkit.tools.connect import Call, CallEvent, Wishes
from natkit.tools.connect_report import Report


@dataclass(eq=False)
class Queues:
    """One side's signalling. Attributes: told: all that it has said."""

    ours: asyncio.Queue[Description]
    theirs: asyncio.Queue[Description]
    trickles: bool = True
    derives: bool = True
    told: list[Description] = field(default_factory=list)

    def password(self, ufrag: str) -> str | None:
        return f"{ufrag}/the+code+makes+it" if self.derives else None

    async def arrival(self) -> None:
        pass

    async def tell(self, part: Description) -> None:
        self.told.append(part)
        self.theirs.put_nowait(part)

    async def hear(self) -> Description:
        return await self.ours.get()

    async def close(self) -> None:
        pass


def queues(kind: type[Queues] = Queues, **how: bool) -> tuple[Queues, Queues]:
    a: asyncio.Queue[Description] = asyncio.Queue()
    b: asyncio.Queue[Description] = asyncio.Queue()
    return kind(a, b, **how), Queues(b, a, **how)


@dataclass
class Outcome:
    """What both sides report; what happened to alice, and what she said."""

    alice: Report
    bob: Report
    events: list[CallEvent]
    told: list[Description]
    seconds: float

    @property
    def json(self) -> tuple[Json, Json]:
        return self.alice.to_json(), self.bob.to_json()


def wishes(**more: Any) -> Wishes:
    turn: tuple[TurnServer, ...] = (relay(),)
    return Wishes(**{"stun": STUN_SERVERS, "turn": turn, "count": 2, **more})


def meet(
    a: str,
    b: str,
    of_alice: Wishes,
    of_bob: Wishes | None = None,
    *,
    seed: int = 0,
    loss: float = 0.0,
    kind: type[Queues] = Queues,
    **how: bool,
) -> Outcome:
    """Let alice behind a NAT of kind `a` and bob behind one of kind `b` meet.

    Args: kind: of alice's signalling.
    """

    async def main(world: SimWorld) -> Outcome:
        events: list[CallEvent] = []
        ends = queues(kind, **how)
        async with stun_servers(world), turn_host(world):
            alice, bob = (
                Call(
                    world.network(name),
                    end,
                    of_alice if name == "alice" else of_bob or of_alice,
                    Random(f"{name}{seed}").randbytes,
                )
                for name, end in zip(("alice", "bob"), ends, strict=True)
            )
            reports = await asyncio.gather(alice.run(events.append), bob.run(lambda _: None))
            return Outcome(*reports, events, ends[0].told, world.network("alice").now())

    return run(two_homes(HOMES[a], HOMES[b], loss=loss), main, seed=seed)
