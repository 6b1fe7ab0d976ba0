"""One network of the probe benchmark: build it, start coturn, let every tool have its turn."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from natkit.errors import NatkitError, NetworkUnreachable
from natkit.lab.netns import NamespaceWorld, Service
from natkit.lab.scenarios import STUN, Scenario, scenario
from natkit.machine import Seconds
from natkit.network import Family
from natkit.stun.uri import StunUri
from natkit.tools.discover import discover
from natkit.tools.probe import DEFAULT_BUDGET
from natkit.tools.stun import query
from natkit.wire import TransportAddress
from scripts.benchmarks._nat_tools import (
    Grade,
    grade_findings,
    grade_natdiscovery,
    grade_natkit,
    grade_pystun3,
)

PATIENCE: Seconds = 60.0
"""For one tool; pystun3 takes up to 24 s when everything gets lost."""

PORT = 3478


@dataclass(frozen=True, slots=True)
class Task:
    """One network to build.

    Attributes:
        nat:  name of a scenario.
        loss: 0 .. 1, each way.
        turn: >= 0; decides the order of the tools, and the NAT's own choices.
    """

    nat: str
    loss: float
    turn: int

    @property
    def order(self) -> tuple[str, ...]:
        """The tools in the order in which they run: each is first in its turn."""
        names = tuple(TOOLS)
        first = self.turn % len(names)
        return names[first:] + names[:first]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one tool did once.

    Attributes:
        seconds: from its start to its end.
        packets: UDP datagrams that left the host meanwhile.
    """

    task: Task
    tool: str
    grade: Grade
    seconds: Seconds
    packets: int


# -- the tools ------------------------------------------------------------------------------------


async def _probe(world: NamespaceWorld, network: Scenario) -> Grade:
    argv = [sys.executable, "-m", "natkit", "probe", "--json", "--server", f"{STUN[0]}:{PORT}"]
    return grade_natkit(await _output(world, network.client, argv), network.truth)


async def _discovery(world: NamespaceWorld, network: Scenario) -> Grade:
    findings = await discover(
        world.network(network.client),
        ((STUN[0], TransportAddress(STUN[0], PORT)),),
        family=Family.IPV4,
        randomness=secrets.token_bytes,
        budget=DEFAULT_BUDGET,
    )
    return grade_findings(findings, network.truth)


async def _natdiscovery(world: NamespaceWorld, network: Scenario) -> Grade:
    argv = ["turnutils_natdiscovery", "-m", "-f", "-p", str(PORT), STUN[0]]
    return grade_natdiscovery(await _output(world, network.client, argv), network.truth)


async def _pystun3(world: NamespaceWorld, network: Scenario) -> Grade:
    argv = [sys.executable, "-m", "stun.cli", "-H", STUN[0], "-P", str(PORT)]
    return grade_pystun3(await _output(world, network.client, argv), network.truth)


PROBE, DISCOVERY, NATDISCOVERY, PYSTUN3 = "probe", "discovery", "natdiscovery", "pystun3"

TOOLS: dict[str, Callable[[NamespaceWorld, Scenario], Awaitable[Grade]]] = {
    PROBE: _probe,
    NATDISCOVERY: _natdiscovery,
    DISCOVERY: _discovery,
    PYSTUN3: _pystun3,
}


async def _output(world: NamespaceWorld, node: str, argv: Sequence[str]) -> str:
    """Run a program in `node` to its end, or for PATIENCE. Returns: what it printed."""
    service = world.spawn(node, argv)
    try:
        async with asyncio.timeout(PATIENCE):
            await service.wait()
    except TimeoutError:
        os.kill(service.pid, signal.SIGKILL)
    return service.output()


# -- one network ----------------------------------------------------------------------------------


def measure(task: Task) -> list[Answer]:
    """Build one network and let every tool have its turn in it.

    Raises: NatkitError: it could not be built, or coturn does not come up.
    """
    lossy = scenario(task.nat).with_loss(task.loss)
    with (
        tempfile.TemporaryDirectory(prefix="natkit-bench-") as folder,
        NamespaceWorld(lossy.topology, seed=task.turn) as world,
    ):
        return asyncio.run(_in_turn(world, lossy, task, folder))


async def _in_turn(world: NamespaceWorld, lossy: Scenario, task: Task, folder: str) -> list[Answer]:
    await _start_coturn(world, lossy.stun, folder)
    answers = []
    for tool in task.order:
        sent = await _datagrams_sent(world, lossy.client)
        began = time.perf_counter()
        grade = await TOOLS[tool](world, lossy)
        seconds = time.perf_counter() - began
        packets = await _datagrams_sent(world, lossy.client) - sent
        answers.append(Answer(task, tool, grade, seconds, packets))
    return answers


async def _start_coturn(world: NamespaceWorld, node: str, folder: str) -> None:
    argv = ["turnserver", "-n", "--no-cli", "--no-auth", "--no-tls", "--no-dtls"]
    argv += ["--log-file", "stdout", "--pidfile", f"{folder}/pid", "--userdb", f"{folder}/db"]
    service = world.spawn(node, [*argv, "-L", STUN[0], "-L", STUN[1], "-p", str(PORT)])
    async with asyncio.timeout(PATIENCE):
        for ip in STUN:
            await _answers(world, f"{ip}:{PORT + 1}", service)  # the last of its sockets


async def _answers(world: NamespaceWorld, server: str, service: Service) -> None:
    """Wait until `server` answers. Raises: NatkitError: it never will."""
    network, uri = world.network("stun2"), StunUri.parse(server)
    while service.running:
        try:
            await query(network, uri, randomness=secrets.token_bytes, patience=0.5)
            return
        except NetworkUnreachable:
            await asyncio.sleep(0.05)
    raise NatkitError("turnserver ended at once", why=service.output()[-500:])


async def _datagrams_sent(world: NamespaceWorld, node: str) -> int:
    """Return OutDatagrams of the host's UDP counters."""
    text = await _output(world, node, ["cat", "/proc/net/snmp"])
    names, values = (line.split() for line in text.splitlines() if line.startswith("Udp:"))
    return int(values[names.index("OutDatagrams")])
