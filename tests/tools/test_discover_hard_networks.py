"""Networks that fool a probe which looks only once: never a wrong answer there either."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace

import pytest

from natkit.lab import netns, sim
from natkit.lab.scenarios import HOME, SCENARIOS, STUN, WAN, Scenario, behind
from natkit.lab.topology import Nat, Topology, World
from natkit.nat.behaviour import Filtering, Mapping
from natkit.nat.discovery import Findings
from natkit.nat.ports import Pooling
from natkit.network import DatagramEndpoint, IcmpError
from natkit.wire import TransportAddress
from tests.campaign import look, score, serve_natkit

TYPICAL = ("home", "full-cone", "address-restricted", "symmetric", "adm-adf", "pool-arbitrary")
EPHEMERAL = range(32768, 61000)


def probed(
    topology: Topology,
    *,
    seed: int = 0,
    times: int = 1,
    before: Callable[[World], Awaitable[None]] | None = None,
) -> list[Findings]:
    """Probe from alice, `times` in a row, after `before` has run in the same world."""

    async def main(world: World) -> list[Findings]:
        await serve_natkit(world)
        if before is not None:
            await before(world)
        return [await look(world, random.Random(seed).randbytes) for _ in range(times)]

    return sim.run(topology, main, seed=seed)


def assert_all_right(scenario: Scenario, found: list[Findings]) -> None:
    result = score(scenario, found)
    assert result.wrong == []
    assert result.counts["inconclusive"] == 0, result


@pytest.mark.parametrize("name", TYPICAL)
def test_an_earlier_run_from_the_same_host_changes_nothing(name: str) -> None:
    scenario = SCENARIOS[name]
    assert_all_right(scenario, probed(scenario.topology, times=3))


@pytest.mark.parametrize("name", TYPICAL)
def test_a_host_with_several_addresses_is_measured_right(name: str) -> None:
    scenario = SCENARIOS[name]
    hosts = tuple(
        replace(host, addresses=("10.0.1.2", "10.0.1.20", "10.0.1.21"))
        if host.name == "alice"
        else host
        for host in scenario.topology.hosts
    )
    assert scenario.topology.segment("home") == HOME
    topology = replace(scenario.topology, hosts=hosts)
    assert_all_right(scenario, probed(topology))


@pytest.mark.parametrize("name", ["double", "double-symmetric", "double-full-cone"])
def test_behind_two_nats_the_stricter_one_is_found(name: str) -> None:
    assert_all_right(SCENARIOS[name], probed(SCENARIOS[name].topology))


def test_a_pool_by_destination_shows_since_sockets_start_at_different_servers() -> None:
    [found] = probed(SCENARIOS["pool-per-destination"].topology)
    assert found.pooling.value is Pooling.ARBITRARY


class Deaf:
    """A receiver for whom nothing matters."""

    def datagram_received(self, data: bytes, source: TransportAddress) -> None: ...

    def error_received(self, error: IcmpError) -> None: ...


async def occupy(world: World, share: float, dice: random.Random) -> None:
    """Let carol hold that share of the ephemeral ports towards one of the server's addresses."""
    network = world.network("carol")
    for port in EPHEMERAL:
        if dice.random() < share:
            local = TransportAddress("10.0.1.3", port)
            endpoint: DatagramEndpoint = await network.open_datagram(Deaf(), local=local)
            endpoint.send(b"mine", TransportAddress(STUN[1], 3479))
            endpoint.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("name", ["home", "full-cone", "address-restricted"])
def test_a_nat_that_remaps_on_port_collisions_is_not_taken_for_symmetric(
    name: str, seed: int
) -> None:
    dice = random.Random(f"{name} {seed}")
    found = probed(
        SCENARIOS[name].topology, seed=seed, before=lambda world: occupy(world, 0.1, dice)
    )
    assert_all_right(SCENARIOS[name], found)


@pytest.mark.root
@pytest.mark.needs("root", "nft", "ip")
@pytest.mark.timeout(120)
def test_a_real_nat_that_remaps_on_port_collisions_is_not_taken_for_symmetric() -> None:
    async def main(world: World) -> Findings:
        with closing(await serve_natkit(world)):
            await occupy(world, 0.1, random.Random(1))
            return await look(world, random.Random(2).randbytes)

    assert_all_right(SCENARIOS["home"], [netns.run(SCENARIOS["home"].topology, main)])


@pytest.mark.slow
def test_collisions_show_in_the_evidence() -> None:
    dice = random.Random(3)
    [found] = probed(
        SCENARIOS["home"].topology, before=lambda world: occupy(world, 0.6, dice), seed=3
    )
    assert found.mapping.value in (None, Mapping.ENDPOINT_INDEPENDENT)
    assert found.filtering.value in (None, Filtering.ADDRESS_AND_PORT_DEPENDENT)
    assert any(" to 203.0.113.11:3479" in line for line in found.mapping.evidence)


def test_an_alg_is_found_and_not_believed() -> None:
    (found,) = probed(behind(Nat(rewrites_payload=True)))
    assert found.rewrites_payload.value is True
    assert found.rewrites_payload.evidence
    assert found.all_external == (WAN,)
    assert found.mapping.value is Mapping.ENDPOINT_INDEPENDENT


def test_without_an_alg_none_is_found() -> None:
    (found,) = probed(behind(Nat()))
    assert found.rewrites_payload.value is False


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 8, 12])
@pytest.mark.parametrize("name", ["full-cone", "address-restricted", "home", "symmetric"])
def test_a_full_mapping_table_is_not_taken_for_a_filter(name: str, size: int) -> None:
    scenario = SCENARIOS[name]
    [router] = scenario.topology.routers
    assert router.nat is not None
    small = replace(router, nat=replace(router.nat, table_size=size))
    topology = replace(scenario.topology, routers=(small,))
    result = score(scenario, probed(topology, seed=size))
    assert result.wrong == []
