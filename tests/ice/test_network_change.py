"""A host loses its address and gets another one: noticed in time, and mended by a restart."""

from __future__ import annotations

import asyncio
import subprocess
import time

import pytest

import natkit
from natkit.ice.events import State
from natkit.lab import netns
from natkit.lab.servers import stun_servers
from natkit.lab.topology import World
from tests.ice.homes import KINDS, tell, two_homes

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("root", "nft", "ip"),
    pytest.mark.timeout(120),
]

MOVE = (
    ("ip", "addr", "del", "10.0.1.2/24", "dev", "eth0"),
    ("ip", "addr", "add", "10.0.1.9/24", "dev", "eth0"),
    ("ip", "route", "replace", "default", "via", "10.0.1.1"),
)


def move() -> None:
    for command in MOVE:
        subprocess.run(command, check=True, capture_output=True)


async def meet(a: natkit.Connection, b: natkit.Connection) -> None:
    await asyncio.gather(a.gather_candidates(), b.gather_candidates())
    await tell(a, b)
    await tell(b, a)
    await asyncio.gather(a.connect(), b.connect())


def test_connection_survives_a_new_address():
    async def main(world: World) -> None:
        changed = asyncio.Event()
        a, b = (
            natkit.Connection(
                name == "alice",
                stun_server=("stun", 3478),
                network=world.network(name),
                on_state=lambda _: changed.set(),
            )
            for name in ("alice", "bob")
        )
        async with stun_servers(world):
            await meet(a, b)
            await world.network("alice").in_thread(move)
            began = time.monotonic()
            while a.state is not State.DISCONNECTED or b.state is not State.DISCONNECTED:
                changed.clear()
                await changed.wait()
            assert time.monotonic() - began < 30
            for side in (a, b):
                side.restart()
            await meet(a, b)
            assert [c.host for c in a.local_candidates if c.type == "host"] == ["10.0.1.9"]
            await a.send(b"back again")
            assert await b.recv() == b"back again"
        await asyncio.gather(a.close(), b.close())

    netns.run(two_homes(KINDS["port-restricted"], KINDS["full-cone"]), main)
