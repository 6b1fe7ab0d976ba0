"""The world as a whole: the same seed gives the same packets, scenario by scenario."""

from __future__ import annotations

import pytest

from natkit.lab import sim
from natkit.lab.scenarios import SCENARIOS, WAN, behind, scenario
from natkit.lab.topology import Link, Nat, PortPolicy
from natkit.nat.behaviour import Filtering, Mapping
from tests.lab.sim.nodes import STUN, STUN2, STUN_IP2, STUN_PORT2, listen, settle


def traced(seed: int, extra: bool = False) -> list[str]:
    """Return the trace of a lossy call; `extra`: with traffic of carol's beside it."""
    steps: list[str] = []

    async def main(world: sim.SimWorld) -> None:
        world.trace(lambda step: steps.append(str(step)))
        alice, stun = await listen(world, "alice"), await listen(world, "stun", STUN)
        for n in range(50):
            alice.send(bytes([n]), STUN)
            if extra:
                (await listen(world, "carol")).send(b"", STUN2)
            await settle(world, 0.05)
        for source in stun.sources:
            stun.send(b"", source)
        await settle(world)

    link = Link(jitter=0.01, loss=0.2, duplicate=0.1)
    sim.run(behind(Nat(ports=PortPolicy.RANDOM), link=link), main, seed=seed)
    return steps


def test_the_same_seed_gives_the_same_packets() -> None:
    assert traced(1) == traced(1)


def test_another_seed_gives_other_packets() -> None:
    assert traced(1) != traced(2)


def test_traffic_of_one_host_leaves_the_ports_of_another_alone() -> None:
    def ports(steps: list[str]) -> set[str]:
        return {word for step in steps for word in step.split() if word.startswith("10.0.1.2:")}

    assert ports(traced(1)) == ports(traced(1, extra=True))


def test_random_numbers_depend_on_the_seed_and_the_purpose() -> None:
    async def main(world: sim.SimWorld) -> tuple[float, float, float]:
        return world.rng("a").random(), world.rng("a").random(), world.rng("b").random()

    first, again, other = sim.run(behind(None), main, seed=1)
    assert first == again != other
    assert sim.run(behind(None), main, seed=2)[0] != first


def test_packets_are_counted() -> None:
    async def main(world: sim.SimWorld) -> int:
        (await listen(world, "alice")).send(b"", STUN)
        await settle(world)
        return world.packets

    assert sim.run(behind(Nat()), main) == 2  # the answer is an ICMP error


async def observed(world: sim.SimWorld) -> tuple[list[str], list[int]]:
    """Return who alice's server saw at each of its sockets, and which newcomers reached her."""
    servers = [await listen(world, "stun", at) for at in (STUN, STUN_PORT2, STUN_IP2)]
    alice = await listen(world, "alice")
    for server in servers:
        assert server.endpoint is not None
        alice.send(b"", server.endpoint.local)
    fresh = await listen(world, "alice")
    fresh.send(b"", STUN)
    await settle(world)
    seen = [str(server.sources[0]) for server in servers if server.sources]
    for server in servers:
        for source in servers[0].sources[1:]:
            server.send(b"", source)
    await settle(world)
    places = [server.endpoint.local for server in servers if server.endpoint is not None]
    return seen, [places.index(source) for source in fresh.sources]


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_behaves_as_its_truth_says(name: str) -> None:
    truth = scenario(name).truth
    seen, reached = sim.run(scenario(name).topology, observed, seed=5)
    if not truth.udp:
        assert not seen
        assert not reached
        return
    distinct = {
        Mapping.ENDPOINT_INDEPENDENT: (1,),
        Mapping.ADDRESS_DEPENDENT: (2,),
        # Two of three flows may get the same address of a pool, as two of three dice may agree.
        Mapping.ADDRESS_AND_PORT_DEPENDENT: (2, 3) if name == "pool-arbitrary" else (3,),
    }
    newcomers = {
        Filtering.ENDPOINT_INDEPENDENT: [0, 1, 2],
        Filtering.ADDRESS_DEPENDENT: [0, 1],
        Filtering.ADDRESS_AND_PORT_DEPENDENT: [0],
    }
    assert truth.mapping is not None
    assert truth.filtering is not None
    assert len(set(seen)) in distinct[truth.mapping]
    assert reached == newcomers[truth.filtering]
    assert any(WAN[:-1] in source for source in seen) is truth.nat
