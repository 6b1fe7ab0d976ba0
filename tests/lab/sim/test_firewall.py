"""Firewalls, packet by packet: what they let out, and whom they let in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from natkit.lab import sim
from natkit.lab.scenarios import scenario
from natkit.lab.topology import Firewall
from natkit.nat.behaviour import Filtering
from natkit.wire import TransportAddress
from tests.lab.sim.nodes import ALICE, STUN, listen, play, settle, verdicts

EIF = Filtering.ENDPOINT_INDEPENDENT


def test_udp_that_is_blocked_goes_nowhere_and_makes_no_mapping() -> None:
    async def main(world: sim.SimWorld) -> None:
        alice, stun = await listen(world, "alice", ALICE), await listen(world, "stun", STUN)
        alice.send(b"", STUN)
        await settle(world)
        assert stun.heard == []

    steps = play(scenario("udp-blocked").topology, main)
    assert verdicts(steps, "home") == ["dropped: the firewall does not let this out"]


@pytest.mark.parametrize("stateful", [True, False])
def test_a_stateful_firewall_admits_those_who_were_asked(stateful: bool) -> None:
    """IPv6 has no NAT: the address is public, the firewall decides."""
    alice_at = TransportAddress("2001:db8:1::2", 40000)
    stun_at = TransportAddress("2001:db8::10", 3478)

    async def main(world: sim.SimWorld) -> None:
        alice, stun = await listen(world, "alice", alice_at), await listen(world, "stun", stun_at)
        bob = await listen(world, "bob", TransportAddress("2001:db8::50", 1))
        bob.send(b"unasked", alice_at)
        alice.send(b"", stun_at)
        await settle(world)
        assert stun.sources == [alice_at]
        stun.send(b"answer", alice_at)
        await settle(world)
        unasked = [] if stateful else [TransportAddress("2001:db8::50", 1)]
        assert alice.sources == [*unasked, stun_at]

    topology = scenario("dual-stack").topology
    router = replace(topology.routers[0], firewall=Firewall(stateful=stateful))
    steps = play(replace(topology, routers=(router,)), main)
    assert any(s.dropped for s in steps) is stateful


@pytest.mark.parametrize(("age", "arrives"), [(119.9, True), (120.0, False)])
def test_a_firewall_forgets_after_two_minutes(age: float, arrives: bool) -> None:
    async def main(world: sim.SimWorld) -> None:
        alice, stun = await listen(world, "alice"), await listen(world, "stun", STUN)
        alice.send(b"", STUN)
        await settle(world, age - 0.01)
        stun.send(b"", stun.sources[0])
        await settle(world)
        assert bool(alice.heard) is arrives

    play(scenario("firewalled").topology, main)


def test_icmp_errors_pass_a_stateful_firewall_for_flows_it_knows() -> None:
    async def main(world: sim.SimWorld) -> None:
        alice = await listen(world, "alice")
        alice.send(b"", STUN)
        await settle(world)
        assert len(alice.errors) == 1

    play(scenario("firewalled").topology, main)
