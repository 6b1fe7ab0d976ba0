"""The world as a whole: the same seed gives the same packets, scenario by scenario."""

from __future__ import annotations

from natkit.lab import sim
from natkit.lab.scenarios import behind
from natkit.lab.topology import Link, Nat, PortPolicy
from tests.lab.sim.nodes import STUN, STUN2, listen, settle


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
