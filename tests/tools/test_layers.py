"""Hops through simulated NATs, and the number of NATs that they come to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pytest

from natkit.aio.network import SocketNetwork
from natkit.aio.stun_server import serve_binding
from natkit.errors import UsageError
from natkit.lab import sim
from natkit.lab.scenarios import SCENARIOS, Scenario
from natkit.lab.sim import SimWorld
from natkit.lab.topology import Segment, Topology
from natkit.machine import Seconds
from natkit.nat.behaviour import Measured
from natkit.nat.layers import NatLayers, Surroundings, Trace, count_layers
from natkit.network import DatagramReceiver, IcmpError
from natkit.tools.layers import trace_first_shown, trace_hops
from natkit.wire import TransportAddress

STUN = TransportAddress("203.0.113.10", 3478)
STUN6 = TransportAddress("2001:db8::10", 3478)


@dataclass(frozen=True)
class Seen:
    trace: Trace
    layers: Measured[NatLayers]
    took: Seconds


def look(scenario: Scenario, *, seed: int = 1, server: TransportAddress = STUN) -> Seen:
    async def main(world: SimWorld) -> Seen:
        service = await serve_binding(world.network("stun"), [server.ip], rfc5780=False)
        alice = world.network("alice")
        began = alice.now()
        trace = await trace_hops(alice, server, randomness=Random(seed).randbytes)
        took = alice.now() - began
        service.close()
        own = alice.source_for(server)
        mapped = "203.0.113.100" if scenario.truth.nat else own
        layers = count_layers(
            Surroundings(own, mapped if scenario.truth.udp else None, trace=trace)
        )
        return Seen(trace, layers, took)

    return sim.run(scenario.topology, main, seed=seed)


@pytest.mark.parametrize("name", [n for n, s in SCENARIOS.items() if s.truth.udp])
def test_no_nat_is_counted_that_is_not_there_and_none_is_ruled_out(name: str) -> None:
    truth = SCENARIOS[name].truth
    found = look(SCENARIOS[name]).layers.value
    assert found is not None
    assert (found.at_least, found.at_most) == (truth.layers, None if truth.nat else 0)


@pytest.mark.parametrize("carrier", ["25.0.0", "10.9.9"], ids=["public-looking", "private"])
def test_two_nats_are_never_taken_for_one(carrier: str) -> None:
    """Carriers that ran out of private addresses number their inside from others' public space."""
    found = look(renumbered(carrier)).layers.value
    assert found is not None
    assert (found.at_least, found.at_most) == (1, None)


def renumbered(carrier: str) -> Scenario:
    """Return "double" with the /24 `carrier` between its NATs."""
    double = SCENARIOS["double"]
    home, cgn = double.topology.routers
    segments = (*double.topology.segments[:2], Segment("carrier", f"{carrier}.0/24"))
    routers = (
        replace(home, outside_addresses=(f"{carrier}.2",)),
        replace(cgn, inside_addresses=(f"{carrier}.1",)),
    )
    return replace(double, topology=Topology(segments, double.topology.hosts, routers))


@pytest.mark.parametrize("name", ["open", "home", "double"])
@pytest.mark.parametrize("loss", [0.1, 0.3])
def test_loss_lowers_the_bound_and_never_makes_it_wrong(name: str, loss: float) -> None:
    scenario = SCENARIOS[name].with_loss(loss)
    told = 0
    for seed in range(50):
        found = look(scenario, seed=seed).layers.value
        assert found is not None
        truth = scenario.truth.layers
        assert found.at_least <= truth, seed
        assert found.at_most is None or truth <= found.at_most, seed
        told += found.at_least == truth
    assert told >= 40


def test_a_clean_path_is_known_after_one_round_trip() -> None:
    assert look(SCENARIOS["double"]).took < 0.03


def test_both_routers_and_the_server_are_shown() -> None:
    assert str(look(SCENARIOS["double"]).trace) == "1: 10.0.1.1, 2: 100.64.0.1, 3: the server"


def test_a_server_that_nothing_reaches_costs_less_than_a_second() -> None:
    seen = look(SCENARIOS["udp-blocked"])
    assert seen.took < 1.0
    assert seen.trace.arrived is None
    assert seen.layers.value is None


def test_nobody_listening_is_an_arrival_all_the_same() -> None:
    async def main(world: SimWorld) -> Trace:
        return await trace_hops(world.network("alice"), STUN, randomness=Random(1).randbytes)

    trace = sim.run(SCENARIOS["home"].topology, main)
    assert str(trace) == "1: 10.0.1.1, 2: the server"


AWAY = TransportAddress("203.0.113.222", 3478)


@pytest.mark.parametrize("servers", [(AWAY, STUN), (STUN, AWAY), (AWAY, STUN6, STUN)])
def test_a_first_server_that_is_away_does_not_hide_the_way(
    servers: Sequence[TransportAddress],
) -> None:
    async def main(world: SimWorld) -> Trace:
        return await trace_first_shown(
            world.network("alice"), servers, randomness=Random(1).randbytes
        )

    trace = sim.run(SCENARIOS["double"].topology, main)
    assert str(trace) == "1: 10.0.1.1, 2: 100.64.0.1, 3: the server"


def test_where_nothing_is_shown_two_ways_are_tried() -> None:
    async def main(world: SimWorld) -> tuple[Trace, Seconds]:
        alice = world.network("alice")
        began = alice.now()
        servers = (AWAY, STUN, AWAY, AWAY)
        trace = await trace_first_shown(alice, servers, randomness=Random(1).randbytes)
        return trace, alice.now() - began

    trace, took = sim.run(SCENARIOS["udp-blocked"].topology, main)
    assert trace.arrived is None
    assert took < 1.6


def test_requests_leave_through_the_chosen_interface() -> None:
    async def main(world: SimWorld) -> Trace:
        alice, randomness = world.network("alice"), Random(1).randbytes
        with pytest.raises(UsageError, match="no interface"):
            await trace_hops(alice, STUN, interface="lan", randomness=randomness)
        return await trace_hops(alice, STUN, interface="eth0", randomness=randomness)

    assert str(sim.run(SCENARIOS["home"].topology, main)) == "1: 10.0.1.1, 2: the server"


def test_over_ipv6_a_public_hop_settles_it() -> None:
    trace = look(SCENARIOS["dual-stack"], server=STUN6).trace
    assert str(trace) == "1: 2001:db8:1::1"


def test_without_a_route_no_hop_is_shown() -> None:
    async def main(world: SimWorld) -> Trace:
        return await trace_hops(world.network("alice"), STUN6, randomness=Random(1).randbytes)

    trace = sim.run(SCENARIOS["home"].topology, main)
    assert (trace.hops, trace.arrived) == ((), None)


class Oracle(SocketNetwork):
    """A network on which every datagram is answered with an ICMP error of the test's choice."""

    def __init__(self, answer: Callable[[int], IcmpError]) -> None:
        super().__init__()
        self._answer = answer

    async def open_datagram(self, receiver: DatagramReceiver, **_: object) -> Any:
        return _Endpoint(receiver, self._answer)


class _Endpoint:
    def __init__(self, receiver: DatagramReceiver, answer: Callable[[int], IcmpError]) -> None:
        self._receiver = receiver
        self._answer = answer

    def send(self, data: bytes, destination: TransportAddress, *, ttl: int) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(self._receiver.error_received, self._answer(ttl))

    def close(self) -> None:
        """Nothing is open."""


async def test_a_firewall_that_refuses_is_named() -> None:
    def refuse(ttl: int) -> IcmpError:
        return (
            IcmpError(11, 0, STUN, "10.0.1.1") if ttl == 1 else IcmpError(3, 13, STUN, "10.9.9.9")
        )

    trace = await trace_hops(Oracle(refuse), STUN, randomness=Random(1).randbytes)
    assert [hop.reporter for hop in trace.hops[:2]] == ["10.0.1.1", "10.9.9.9"]
    assert trace.arrived is None
    assert trace.reason == "10.9.9.9 lets no packet through (ICMP code 13)"


def test_a_system_that_hides_the_routers_shows_none() -> None:
    async def main(_: SimWorld) -> Trace:
        hiding = Oracle(lambda _: IcmpError(3, 3, None, None))
        return await trace_hops(hiding, STUN, randomness=Random(1).randbytes)

    trace = sim.run(SCENARIOS["home"].topology, main)
    assert (trace.hops, trace.arrived) == ((), None)
    assert "does not say" in (trace.reason or "")
