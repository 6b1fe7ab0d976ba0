"""Gathering on a host of which one interface leads nowhere, in network namespaces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from natkit.lab import netns
from natkit.lab.homes import HOMES, two_homes
from natkit.lab.netns import capability, programs
from natkit.lab.scenarios import STUN
from natkit.lab.servers import STUN_PORT, stun_servers
from natkit.lab.topology import World

LIVE, DEAD = (STUN[0], STUN_PORT), ("203.0.113.250", STUN_PORT)

INTERFACE = (
    "ip link add dead0 type veth peer name nowhere0",
    "ip link set nowhere0 up",
    "ip link set dead0 up",
    "ip addr add 10.99.0.2/24 dev dead0",
    "ip route add default via 10.99.0.1 dev dead0 table 99",
    "ip rule add from 10.99.0.2 table 99",
)
"""Makes an interface that looks like any: it has an address and, for what comes from there, a
router. But nobody is behind it, and what is sent there is lost."""

Measure = Callable[[], Coroutine[Any, Any, float]]


def can_measure() -> bool:
    """Tell whether there can be namespaces here."""
    return capability().ready


def measured(alone: list[Measure], beside: list[Measure]) -> tuple[list[float], list[float]]:
    """Return what each measures on a host at home, and once that has a dead interface, too.

    `LIVE` is a STUN server for it, at `DEAD` nobody is. Each has an event loop of its own.
    """

    async def main(world: World) -> tuple[list[float], list[float]]:
        home = world.network("alice")

        async def taken(measures: list[Measure]) -> list[float]:
            return [await home.in_thread(partial(_run, measure)) for measure in measures]

        async with stun_servers(world):
            before = await taken(alone)
            await home.in_thread(add_interface)
            return before, await taken(beside)

    found: tuple[list[float], list[float]] = netns.run(
        two_homes(HOMES["port-restricted"], HOMES["none"]), main
    )
    return found


def _run(measure: Measure) -> float:
    return asyncio.run(measure())


def add_interface() -> None:
    """Add the dead interface to the namespace of this thread."""
    for command in INTERFACE:
        programs.run(command.split())
