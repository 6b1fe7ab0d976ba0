"""Hairpinning, binding lifetime and fragments: measured when asked for, and never guessed."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from natkit.lab import sim
from natkit.lab.scenarios import SCENARIOS, STUN, behind
from natkit.lab.topology import Hairpin, Nat, PortPolicy, Topology, World
from natkit.nat.behaviour import Filtering, Mapping, Status
from natkit.network import Family
from natkit.tools.discover import discover
from natkit.tools.extras import LADDER, Extras, Lifetime, measure_extras
from natkit.wire import Message, ResponsePort, TransportAddress
from tests.campaign import PORTS, serve_natkit
from tests.tools.test_discover_faulty_servers import ALL_FOUR, Reply, Server, honest, plain

SERVER = TransportAddress(STUN[0], PORTS[0])


def extras(
    topology: Topology,
    *,
    hairpin: bool = False,
    lifetime: bool = False,
    fragments: bool = False,
    plain_server: bool = False,
    seed: int = 1,
) -> Extras:
    """Probe from alice and measure what is asked for."""
    dice = random.Random(seed)

    async def main(world: World) -> Extras:
        if plain_server:
            await Server(world.network("stun"), plain).listen(SERVER)
        else:
            await serve_natkit(world)
        common: dict[str, Any] = {"family": Family.IPV4, "randomness": dice.randbytes}
        network = world.network("alice")
        findings = await discover(network, (("stun", SERVER),), budget=6.0, **common)
        return await measure_extras(
            network,
            findings,
            interface=None,
            hairpin=hairpin,
            lifetime=lifetime,
            fragments=fragments,
            **common,
        )

    return sim.run(topology, main, seed=seed)


def nat(**changes: Any) -> Topology:
    return behind(replace(Nat(), **changes))


def test_what_was_not_asked_for_names_its_option() -> None:
    found = extras(nat())
    reasons = [found.hairpinning.reason, found.lifetime.reason, found.fragments.reason]
    assert reasons == ["needs --hairpin", "needs --lifetime", "needs --fragments"]


@pytest.mark.parametrize("loss", [0.0, 0.3])
@pytest.mark.parametrize(
    ("changes", "hairpins", "source"),
    [
        (
            {"hairpin": Hairpin.EXTERNAL_SOURCE, "filtering": Filtering.ENDPOINT_INDEPENDENT},
            True,
            "external",
        ),
        ({"hairpin": Hairpin.EXTERNAL_SOURCE}, True, "external"),
        (
            {"hairpin": Hairpin.INTERNAL_SOURCE, "filtering": Filtering.ENDPOINT_INDEPENDENT},
            False,
            "external source",
        ),
        ({"hairpin": Hairpin.NONE}, False, ""),
    ],
)
def test_hairpinning_is_found_with_its_source(
    changes: dict[str, Any], hairpins: bool, source: str, loss: float
) -> None:
    scenario = replace(SCENARIOS["home"], topology=nat(**changes)).with_loss(loss)
    found = extras(scenario.topology, hairpin=True).hairpinning
    assert found.value is hairpins, found
    assert source in found.reason


def test_a_symmetric_nat_may_filter_a_hairpin_so_silence_settles_nothing() -> None:
    dependent = Mapping.ADDRESS_AND_PORT_DEPENDENT
    found = extras(nat(mapping=dependent, ports=PortPolicy.RANDOM), hairpin=True).hairpinning
    assert found.status is Status.INCONCLUSIVE


def test_without_a_nat_there_is_nothing_to_hairpin() -> None:
    found = extras(SCENARIOS["open"].topology, hairpin=True).hairpinning
    assert found.status is Status.NOT_MEASURED


@pytest.mark.parametrize("loss", [0.0, 0.3])
@pytest.mark.parametrize(
    ("seconds", "between"),
    [(2.0, (1, 2)), (28.0, (25, 30)), (120.0, (90, 120)), (0.5, (0, 1)), (1.4, (1, 2))],
)
def test_the_lifetime_is_bracketed_by_two_rungs(
    seconds: float, between: tuple[float, float], loss: float
) -> None:
    topology = replace(SCENARIOS["home"], topology=nat(lifetime=seconds)).with_loss(loss).topology
    found = extras(topology, lifetime=True).lifetime
    assert found.value is not None, found
    assert found.value.gone_after is not None
    assert found.value.alive_after < seconds <= found.value.gone_after
    if loss == 0.0:
        assert found.value.alive_after == between[0]
        assert between[1] <= found.value.gone_after <= between[1] + 0.6


def test_a_mapping_that_outlives_the_ladder_has_no_upper_bound() -> None:
    found = extras(nat(lifetime=3600.0), lifetime=True).lifetime
    assert found.value == Lifetime(LADDER[-1], None)
    assert str(found.value) == "at least 180 s"


def test_the_lifetime_of_a_symmetric_nat_is_measured_as_well() -> None:
    topology = nat(mapping=Mapping.ADDRESS_AND_PORT_DEPENDENT, lifetime=28.0)
    assert str(extras(topology, lifetime=True).lifetime.value).startswith("25 to 30")


def test_with_several_external_addresses_the_lifetime_stays_open() -> None:
    found = extras(SCENARIOS["pool-arbitrary"].topology, lifetime=True).lifetime
    assert found.status is Status.INCONCLUSIVE


def test_fragments_that_come_through_are_found() -> None:
    assert extras(nat(), fragments=True).fragments.value is True


def test_a_plain_server_measures_neither_lifetime_nor_fragments() -> None:
    found = extras(nat(), lifetime=True, fragments=True, plain_server=True)
    assert found.lifetime.status is Status.NOT_MEASURED
    assert found.fragments.status is Status.NOT_MEASURED


def test_a_server_that_never_sends_to_another_port_tells_no_lifetime() -> None:
    async def main(world: World) -> Extras:
        def deaf_to_response_port(
            request: Message, source: TransportAddress, at: TransportAddress
        ) -> list[Reply]:
            return [] if request.find(ResponsePort) else honest(request, source, at)

        await Server(world.network("stun"), deaf_to_response_port).listen(*ALL_FOUR)
        network, dice = world.network("alice"), random.Random(1)
        common: dict[str, Any] = {"family": Family.IPV4, "randomness": dice.randbytes}
        findings = await discover(network, (("stun", SERVER),), budget=6.0, **common)
        return await measure_extras(
            network,
            findings,
            interface=None,
            hairpin=False,
            lifetime=True,
            fragments=False,
            **common,
        )

    found = sim.run(nat(), main).lifetime
    assert found.status is Status.INCONCLUSIVE
    assert "RESPONSE-PORT" in found.reason


def test_where_udp_is_blocked_nothing_is_measured() -> None:
    topology = SCENARIOS["udp-blocked"].topology
    found = extras(topology, hairpin=True, lifetime=True, fragments=True)
    assert {m.status for m in (found.hairpinning, found.lifetime, found.fragments)} == {
        Status.NOT_MEASURED
    }
