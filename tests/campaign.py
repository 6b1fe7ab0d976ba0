"""Many probes of every scenario under loss, each held against the truth.

    python -m tests.campaign sim 50          # seeds for each scenario and loss
    python -m tests.campaign netns 3 coturn  # or natkit: whose STUN server

prints what the tests in tests/tools/test_campaign_*.py assert.
"""

from __future__ import annotations

import random
import secrets
import sys
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Protocol

from natkit.aio.stun_server import serve_binding
from natkit.lab import netns, sim
from natkit.lab.netns import NamespaceWorld
from natkit.lab.scenarios import SCENARIOS, STUN, Scenario
from natkit.lab.topology import World
from natkit.nat.behaviour import Measured, Status
from natkit.nat.discovery import Findings
from natkit.network import Family
from natkit.tools.discover import discover
from natkit.wire import TransportAddress

LOSSES = (0.0, 0.05, 0.1, 0.3)
PORTS = (3478, 3479)
SERVER = TransportAddress(STUN[0], PORTS[0])

BUDGET = 6.0
"""Seconds, as `natkit probe` has them by default."""

MEASURABLE = tuple(s for s in SCENARIOS.values() if s.truth.udp)


class Closable(Protocol):
    """A server that is running."""

    def close(self) -> None: ...


Serve = Callable[[World], Awaitable[Closable]]


async def serve_natkit(world: World) -> Closable:
    """Start natkit's own RFC 5780 server on `stun`."""
    return await serve_binding(world.network("stun"), STUN, PORTS)


async def serve_coturn(world: World) -> Closable:
    """Start coturn with two addresses on `stun`, and wait until it answers."""
    assert isinstance(world, NamespaceWorld)
    arguments = ["--listening-ip", STUN[0], "--listening-ip", STUN[1], "--listening-port", "3478"]
    flags = ["--no-auth", "--no-cli", "--no-tls", "--no-dtls", "--log-file", "stdout"]
    nowhere = ["--userdb", "/dev/null", "--pidfile", "/dev/null"]
    service = world.spawn("stun", ["turnserver", "-n", *arguments, *flags, *nowhere])
    network = world.network("bob")
    for _ in range(100):
        found = await discover(
            network,
            (("coturn", SERVER),),
            family=Family.IPV4,
            randomness=secrets.token_bytes,
            budget=0.1,
        )
        if found.reachable:
            return service
    raise RuntimeError(f"coturn did not start: {service}")


async def look(world: World, randomness: Callable[[int], bytes]) -> Findings:
    """Probe once, from alice."""
    return await discover(
        world.network("alice"),
        (("stun", SERVER),),
        family=Family.IPV4,
        randomness=randomness,
        budget=BUDGET,
    )


def in_sim(scenario: Scenario, loss: float, seed: int) -> Findings:
    """Probe once in the simulator; other scenarios and losses see other dice."""
    mixed = zlib.crc32(f"{scenario.name} {loss} {seed}".encode())

    async def main(world: World) -> Findings:
        await serve_natkit(world)
        return await look(world, random.Random(mixed).randbytes)

    return sim.run(scenario.with_loss(loss).topology, main, seed=mixed)


def in_netns(scenario: Scenario, loss: float, runs: int, serve: Serve) -> list[Findings]:
    """Probe `runs` times in the same real network, one after the other."""

    async def main(world: World) -> list[Findings]:
        with closing(await serve(world)):
            return [await look(world, secrets.token_bytes) for _ in range(runs)]

    return netns.run(scenario.with_loss(loss).topology, main)


@dataclass
class Score:
    """How many answers were right, wrong, or none."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def add(self, scenario: Scenario, found: Findings) -> None:
        """Hold mapping and filtering against the truth; other properties may not contradict it."""
        truth = scenario.truth
        self._hold(scenario, "mapping", found.mapping, truth.mapping)
        self._hold(scenario, "filtering", found.filtering, truth.filtering)
        self._hold(scenario, "nat", found.nat, truth.nat)

    def _hold(self, scenario: Scenario, name: str, found: Measured[object], truth: object) -> None:
        if found.status is not Status.MEASURED:
            self.counts["inconclusive"] += 1
        elif found.value == truth:
            self.counts["right"] += 1
        else:
            self.counts["wrong"] += 1
            self.wrong.append(f"{scenario.name}: {name} is {truth}, found {found}")

    @property
    def inconclusive_share(self) -> float:
        """Share of answers that were none, 0 .. 1."""
        return self.counts["inconclusive"] / max(1, self.counts.total())

    def __str__(self) -> str:
        return ", ".join(f"{self.counts[k]} {k}" for k in ("right", "inconclusive", "wrong"))


def allowed_inconclusive(loss: float) -> float:
    """Return the share of "inconclusive" that is still acceptable at this loss each way."""
    return 0.0 if loss <= 0.05 else 0.05


def score(scenario: Scenario, found: Iterable[Findings]) -> Score:
    """Hold several findings against the scenario's truth."""
    result = Score()
    for one in found:
        result.add(scenario, one)
    return result


def main() -> None:
    """Print a table: loss against answers."""
    backend, count, *server = sys.argv[1:]
    serve = serve_coturn if server == ["coturn"] else serve_natkit
    for loss in LOSSES:
        total = Score()
        for scenario in MEASURABLE:
            if backend == "sim":
                found = [in_sim(scenario, loss, seed) for seed in range(int(count))]
            else:
                found = in_netns(scenario, loss, int(count), serve)
            for one in found:
                total.add(scenario, one)
        print(f"{backend} {loss:4.0%} loss each way: {total}", *total.wrong, sep="\n  ", flush=True)


if __name__ == "__main__":
    main()
