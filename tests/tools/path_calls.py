"""Calls in the simulator that go otherwise than in the matrix, as both sides report them."""

from __future__ import annotations

import asyncio
from functools import cache
from random import Random
from typing import Any

import natkit
from natkit.ice.events import State
from natkit.lab.homes import HOMES, two_homes
from natkit.lab.servers import STUN_SERVERS, stun_servers
from natkit.lab.sim import run
from natkit.lab.topology import Topology, World
from tests.ice.homes import RELAY_PORT, server, tell
from tests.lab.turn import turn_host

Report = dict[str, Any]

DEAD = "stun:203.0.113.250"
ONE = "stun:stun"
BOTH = STUN_SERVERS


def reports(
    topology: Topology,
    alice: dict[str, Any],
    bob: dict[str, Any],
    *,
    hosts: tuple[str, str] = ("alice", "bob"),
    password: str | None = None,
    silent: bool = False,
    leaves: bool = False,
    patience: float | None = None,
) -> tuple[Report, Report]:
    """Return both reports of a call, whether or not it connects.

    Args:
        password: what alice takes for bob's.
        silent:   neither tells a candidate.
        leaves:   bob goes away when they are connected.
        patience: seconds after which alice reports, whatever has come of it.
    """

    changed = asyncio.Event()

    async def reached(connection: natkit.Connection, *states: State) -> None:
        while connection.state not in states:
            changed.clear()
            await changed.wait()

    async def main(world: World) -> tuple[Report, Report]:
        async with stun_servers(world), turn_host(world, port=RELAY_PORT):
            a, b = (
                natkit.Connection(
                    controls,
                    network=world.network(name),
                    randomness=Random(name).randbytes,
                    on_state=lambda _: changed.set(),
                    **options,
                )
                for name, controls, options in zip(hosts, (True, False), (alice, bob), strict=True)
            )
            await asyncio.gather(a.gather_candidates(), b.gather_candidates())
            for one, other in ((a, b), (b, a)):
                await tell(one, _Mute(other) if silent else other)
            a.remote_password = password or a.remote_password
            connecting = asyncio.gather(a.connect(), b.connect(), return_exceptions=True)
            if patience is None:
                await connecting
                await reached(a, State.COMPLETED, State.FAILED)
            else:
                await asyncio.sleep(patience)
            if leaves:
                await b.close()
                await reached(a, State.FAILED)
            found = (a.report(), b.report())
            await asyncio.gather(a.close(), b.close())
            await connecting
            return found

    found: tuple[Report, Report] = run(topology, main, debug=False)
    return found


class _Mute:
    """A connection that tells its credentials alone."""

    local_candidates = ()

    def __init__(self, connection: natkit.Connection) -> None:
        self.local_username = connection.local_username
        self.local_password = connection.local_password


def between(a: str, b: str) -> Topology:
    return two_homes(HOMES[a], HOMES[b])


FULL = {"stun_servers": BOTH, "turn_servers": [server()]}


@cache
def refused() -> tuple[Report, Report]:
    wrong = natkit.TurnServer(server().uri, "alice", "wrong")
    alice = {"stun_servers": BOTH, "turn_servers": [wrong]}
    return reports(between("symmetric", "symmetric"), alice, {"stun_servers": BOTH})
