"""A topology as real network namespaces: build it, run something in it, take it down."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self, TypeVar

from natkit.errors import NatkitError, UsageError
from natkit.lab.here import standing_on
from natkit.lab.netns import layout, links
from natkit.lab.netns.loop import NamespaceLoop
from natkit.lab.netns.namespace import Namespace
from natkit.lab.netns.network import NodeNetwork
from natkit.lab.netns.rules import batches, router_rules
from natkit.lab.netns.service import Service
from natkit.lab.topology import Main, Topology

T = TypeVar("T")

_PATIENCE = 10.0  # seconds for the bridges; they take milliseconds unless the machine is starved
_PAUSE = 0.002  # seconds, about as long as asking takes


def run(topology: Topology, main: Main[T], *, seed: int = 0) -> T:
    """Build `topology` from namespaces, await `main(world)` in it, and take it down again.

    Args:   seed: of what is ours to choose (hashed ports); the kernel keeps its own dice.
    Raises: Unsupported: no privilege, a program is missing, or nftables cannot express a NAT.
            UsageError:  called from a running event loop.
    """
    _refuse_inside_a_loop()
    with NamespaceWorld(topology, seed=seed) as world:

        async def body() -> T:
            return await main(world)

        with asyncio.Runner(loop_factory=NamespaceLoop) as runner:
            return runner.run(body())


def _refuse_inside_a_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise UsageError(
        "`run` cannot be called inside a running event loop",
        why="it brings one of its own",
        hint="There, use NamespaceWorld as a context manager",
    )


class NamespaceWorld:
    """A running topology: see `natkit.lab.topology.World`. Use it as a context manager.

    Attributes:
        notes: what the topology asks for and this world leaves out, a sentence each.
    """

    def __init__(self, topology: Topology, *, seed: int = 0) -> None:
        self._topology = topology
        self._ports = layout.ports(topology)
        self.notes = left_out(topology)
        # Before anything is built, so that a refusal costs nothing.
        self._rules = {r.name: router_rules(topology, r, seed=seed) for r in topology.routers}
        self._resources = contextlib.ExitStack()
        self._namespaces: dict[str, Namespace] = {}
        self._networks: dict[str, NodeNetwork] = {}

    @property
    def topology(self) -> Topology:
        """What was built."""
        return self._topology

    def network(self, node: str) -> NodeNetwork:
        """Return the network as `node` sees it. Raises: UsageError: no such node."""
        return self._networks[self._known(node)]

    def as_host(self, node: str) -> AbstractContextManager[None]:
        """Open the sockets of asyncio code inside this block on `node`, its tasks' too.

        That takes the event loop that `run` brings.
        """
        return standing_on(self.network(node))

    def spawn(self, node: str, argv: Sequence[str]) -> Service:
        """Start a program in `node`. It ends with the world.

        Raises: UsageError: no such node. Unsupported: a program is missing.
        """
        service = Service(self._namespaces[self._known(node)], argv)
        self._resources.callback(service.close)
        return service

    def _known(self, node: str) -> str:
        if node not in self._namespaces:
            known = ", ".join(self._namespaces)
            raise UsageError(f"no node is called {node!r}", hint=f"known: {known}")
        return node

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self._resources.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._resources.close()

    def _build(self) -> None:
        switch = self._namespace("switch")
        for name in layout.nodes(self._topology):
            namespace = self._namespace(name)
            namespace.sysctl(layout.settings(self._topology, name))
            self._namespaces[name] = namespace
            self._networks[name] = NodeNetwork(self._topology, namespace)
        self._plug_in(switch)
        for name, namespace in self._namespaces.items():
            namespace.command(["ip", "-batch", "-"], layout.node_batch(self._topology, name))
            for batch in batches(self._rules.get(name, "")):
                namespace.command(["nft", "-f", "-"], batch)
            _feed(namespace, ["tc", "-batch", "-"], links.rate_batch(self._ports, node=name))
        self._wait_for_bridges(switch)

    def _wait_for_bridges(self, switch: Namespace) -> None:
        """Wait until every cable carries packets, which a kernel worker sees to in its own time.

        Otherwise an ARP request is lost now and then, and what waits for it is a second late.
        """
        give_up = time.monotonic() + _PATIENCE
        while switch.command(["bridge", "link"]).count("state forwarding") < len(self._ports):
            if time.monotonic() > give_up:
                raise NatkitError("the bridges of the lab do not begin to forward")
            time.sleep(_PAUSE)

    def _plug_in(self, switch: Namespace) -> None:
        """Make the bridges, and the cables from them to the nodes."""
        paths = {name: namespace.path for name, namespace in self._namespaces.items()}
        batch = layout.switch_batch(self._topology, paths.__getitem__)
        switch.sysctl({"net/ipv6/conf/default/disable_ipv6": "1"})
        switch.command(["ip", "-batch", "-"], batch)
        _feed(switch, ["nft", "-f", "-"], links.loss_rules(self._ports))
        _feed(switch, ["tc", "-batch", "-"], links.rate_batch(self._ports))

    def _namespace(self, label: str) -> Namespace:
        namespace = Namespace(label)
        self._resources.callback(namespace.close)
        return namespace


def left_out(topology: Topology) -> tuple[str, ...]:
    """Return a sentence for each wish of the topology that this world does not fulfil."""
    return links.left_out(layout.ports(topology))


def _feed(namespace: Namespace, argv: list[str], text: str) -> None:
    """Run a command on `text`, where there is any."""
    if text:
        namespace.command(argv, text)
