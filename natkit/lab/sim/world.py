"""Build the simulated internet of a topology, and run a program in it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from random import Random
from typing import TypeVar

from natkit.errors import UsageError
from natkit.lab.here import standing_on
from natkit.lab.sim.fabric import Fabric
from natkit.lab.sim.network import SimNetwork
from natkit.lab.sim.node import HostNode, Node
from natkit.lab.sim.router import RouterNode
from natkit.lab.sim.sockets import SocketLoop
from natkit.lab.sim.trace import Observer
from natkit.lab.topology import Topology
from natkit.machine import Seconds

T = TypeVar("T")


class SimWorld:
    """A topology that runs on virtual time (see `run`)."""

    def __init__(self, topology: Topology, fabric: Fabric) -> None:
        self.topology = topology
        self._fabric = fabric
        nodes: list[Node] = [HostNode(host, fabric) for host in topology.hosts]
        nodes += [RouterNode(router, fabric) for router in topology.routers]
        self._nodes = {node.name: node for node in nodes}
        names = {h.name: h.addresses for h in topology.hosts}
        names |= {r.name: r.outside_addresses for r in topology.routers}
        self._networks = {name: SimNetwork(node, names) for name, node in self._nodes.items()}

    @property
    def packets(self) -> int:
        """How many packets nodes have sent so far."""
        return self._fabric.packets

    def network(self, node: str) -> SimNetwork:
        """Return the network as the host or router `node` sees it. Raises: UsageError."""
        try:
            return self._networks[node]
        except KeyError:
            known = ", ".join(self._networks)
            raise UsageError(f"no node is called {node!r}", hint=f"known: {known}") from None

    def as_host(self, node: str) -> AbstractContextManager[None]:
        """Open the sockets of asyncio code inside this block on `node`, its tasks' too."""
        return standing_on(self.network(node))

    async def on(self, node: str, work: Awaitable[T]) -> T:
        """Await `work` on `node`: see `as_host`."""
        with self.as_host(node):
            return await work

    def trace(self, observer: Observer) -> None:
        """Show every later step of every packet to `observer`."""
        self._fabric.observers.append(observer)

    def rng(self, purpose: str) -> Random:
        """Return random numbers that depend on the run's seed and `purpose` alone."""
        return self._fabric.rng(f"world/{purpose}")


def run(
    topology: Topology,
    main: Callable[[SimWorld], Awaitable[T]],
    *,
    seed: int = 0,
    max_virtual_seconds: Seconds = 3600.0,
    max_packets: int = 1_000_000,
    debug: bool | None = None,
) -> T:
    """Build `topology`, await `main(world)` in it, and return what it returns.

    Everything random in the network follows from `seed`, and no real time passes.

    Args:
        max_virtual_seconds, max_packets: ceilings; past them the run ends with an error.
        debug: asyncio's debug mode; None: as the environment says.
    Raises:
        UsageError:  called from a running event loop.
        NatkitError: a ceiling was reached, or main waits for what can never happen.
    """
    _refuse_inside_a_loop()
    loop = SocketLoop(max_seconds=max_virtual_seconds)
    if debug is not None:
        loop.set_debug(debug)

    async def body() -> T:
        return await main(SimWorld(topology, fabric))

    try:
        fabric = Fabric(topology, loop, seed=seed, max_packets=max_packets)
        return loop.run_until_complete(body())
    finally:
        loop.wind_down()


def _refuse_inside_a_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise UsageError(
        "a simulation cannot start inside a running event loop",
        why="it brings an event loop with a clock of its own",
        hint="call it from a plain function, not from a coroutine",
    )
