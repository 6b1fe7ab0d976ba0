"""Two people behind NATs of their own, with a STUN and a TURN server between them, simulated."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random
from typing import Any

import natkit
from natkit.ice.events import State
from natkit.lab.scenarios import AD, ADF, APD, APDF, EIF, INTERNET
from natkit.lab.servers import stun_servers
from natkit.lab.sim import run
from natkit.lab.topology import (
    Firewall,
    Host,
    Link,
    Nat,
    PortPolicy,
    Router,
    Segment,
    Topology,
    World,
)
from tests.turn_world import IP, turn_host

RELAY_PORT = 3480
"""The STUN server of the lab has 3478 and 3479."""

KINDS = {
    "full-cone": Nat(filtering=EIF),
    "address-restricted": Nat(filtering=ADF),
    "port-restricted": Nat(),
    "address-dependent": Nat(AD, APDF, PortPolicy.HASHED, (30000, 49999)),
    "symmetric": Nat(APD, APDF, PortPolicy.RANDOM),
    "symmetric-sequential": Nat(APD, APDF, PortPolicy.SEQUENTIAL, (40000, 40511)),
    "symmetric-eif": Nat(APD, EIF, PortPolicy.RANDOM),
    "symmetric-adf": Nat(APD, ADF, PortPolicy.RANDOM),
}


def two_homes(a: Nat, b: Nat, *, loss: float = 0.0, udp_blocked: bool = False) -> Topology:
    """Return alice behind `a` and bob behind `b`; loss is on each one's way, each way."""
    link = Link(loss=loss)
    blocked = Firewall(udp_blocked=True) if udp_blocked else Firewall()
    return Topology(
        (INTERNET, Segment("home", "10.0.1.0/24"), Segment("home2", "10.0.2.0/24")),
        (
            Host("alice", "home", ("10.0.1.2",)),
            Host("bob", "home2", ("10.0.2.2",)),
            Host("stun", "internet", (IP, "203.0.113.11"), Link(latency=0.0)),
            Host("stun2", "internet", ("203.0.113.20",), Link(latency=0.0)),
        ),
        (
            Router("ra", "home", "internet", ("10.0.1.1",), ("203.0.113.100",), a, blocked, link),
            Router("rb", "home2", "internet", ("10.0.2.1",), ("203.0.113.101",), b, link=link),
        ),
    )


@dataclass
class Outcome:
    """How a call between the two went.

    Attributes: path: "direct" or "relayed"; seconds: until both could send.
    """

    path: str
    seconds: float
    reports: tuple[Any, Any]


def server(transport: str = "udp") -> natkit.TurnServer:
    return natkit.TurnServer(f"turn:{IP}:{RELAY_PORT}?transport={transport}", "alice", "wonderland")


async def tell(connection: natkit.Connection, other: natkit.Connection) -> None:
    for candidate in other.local_candidates:
        text = candidate.to_sdp()
        await connection.add_remote_candidate(natkit.Candidate.from_sdp(text))
    await connection.add_remote_candidate(None)
    connection.remote_username = other.local_username
    connection.remote_password = other.local_password


async def talk(a: natkit.Connection, b: natkit.Connection) -> None:
    """See data arrive each way, with some of it lost on the way."""
    for sender, receiver in ((a, b), (b, a)):
        for _ in range(20):
            await sender.send(b"hello")
            await asyncio.sleep(0.05)
        assert await receiver.recv() == b"hello"


async def call(world: World, seed: int, *, transport: str = "udp") -> Outcome:
    """Connect alice and bob, and let them talk."""
    changed = asyncio.Event()
    async with stun_servers(world), turn_host(world, port=RELAY_PORT):
        a, b = (
            natkit.Connection(
                controls,
                stun_servers=[("stun", 3478), ("stun2", 3478)],
                turn_servers=[server(transport)],
                on_state=lambda _: changed.set(),
                network=world.network(name),
                randomness=Random(f"{name}{seed}").randbytes,
            )
            for name, controls in (("alice", True), ("bob", False))
        )
        await asyncio.gather(a.gather_candidates(), b.gather_candidates())
        await tell(a, b)
        await tell(b, a)
        began = world.network("alice").now()
        await asyncio.gather(a.connect(), b.connect())
        took = world.network("alice").now() - began
        while {a.state, b.state} != {State.COMPLETED}:
            changed.clear()
            await changed.wait()
        await talk(a, b)
        pair = a.selected_pair()
        assert pair is not None
        assert pair.nominated
        found = Outcome("relayed" if pair.is_relayed else "direct", took, (a.report(), b.report()))
        await asyncio.gather(a.close(), b.close())
        return found


def outcome(topology: Topology, *, seed: int = 0, transport: str = "udp") -> Outcome:
    return run(topology, lambda world: call(world, seed, transport=transport), seed=seed)
