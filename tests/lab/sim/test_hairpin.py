"""Hairpinning: what a NAT does with a packet from inside to an address of its own outside."""

from __future__ import annotations

import pytest

from natkit.lab import sim
from natkit.lab.scenarios import POOL, behind
from natkit.lab.sim import Direction
from natkit.lab.topology import Hairpin, Nat
from natkit.nat.behaviour import Filtering
from natkit.wire import TransportAddress
from tests.lab.sim.nodes import ALICE, STUN, WAN, Ear, listen, play, settle

CAROL = TransportAddress("10.0.1.3", 40001)
EIF = Filtering.ENDPOINT_INDEPENDENT


async def call_carol_through_the_nat(world: sim.SimWorld) -> tuple[Ear, Ear]:
    """Let alice send to carol's external address; return both."""
    alice, carol = await listen(world, "alice", ALICE), await listen(world, "carol", CAROL)
    stun = await listen(world, "stun", STUN)
    alice.send(b"", STUN)
    await settle(world)
    carol.send(b"", STUN)
    await settle(world)
    alice.send(b"hairpin", stun.sources[1])
    await settle(world)
    return alice, carol


@pytest.mark.parametrize(
    ("hairpin", "source"),
    [
        (Hairpin.EXTERNAL_SOURCE, TransportAddress(WAN, ALICE.port)),
        (Hairpin.INTERNAL_SOURCE, ALICE),
    ],
)
def test_a_hairpinned_packet_bears_the_source_that_was_asked_for(
    hairpin: Hairpin, source: TransportAddress
) -> None:
    async def main(world: sim.SimWorld) -> None:
        _, carol = await call_carol_through_the_nat(world)
        assert carol.heard == [(b"hairpin", source)]

    steps = play(behind(Nat(filtering=EIF, hairpin=hairpin)), main)
    assert any(s.direction is Direction.HAIRPIN for s in steps)


def test_without_hairpinning_the_router_answers_that_the_port_is_closed() -> None:
    async def main(world: sim.SimWorld) -> None:
        alice, carol = await call_carol_through_the_nat(world)
        assert carol.heard == []
        assert [(e.kind, e.code, e.reporter) for e in alice.errors] == [(3, 3, WAN)]

    play(behind(Nat(filtering=EIF)), main)


def test_a_host_reaches_itself_by_hairpin_with_an_external_source_only() -> None:
    heard: dict[Hairpin, list[TransportAddress]] = {}

    async def main(world: sim.SimWorld) -> None:
        alice, stun = await listen(world, "alice", ALICE), await listen(world, "stun", STUN)
        alice.send(b"", STUN)
        await settle(world)
        other = await listen(world, "alice", ALICE._replace(port=40001))
        other.send(b"me", stun.sources[0])
        await settle(world)
        heard[hairpin] = alice.sources

    for hairpin in (Hairpin.EXTERNAL_SOURCE, Hairpin.INTERNAL_SOURCE):
        play(behind(Nat(filtering=EIF, hairpin=hairpin)), main)
    assert heard == {
        Hairpin.EXTERNAL_SOURCE: [TransportAddress(WAN, 40001)],
        Hairpin.INTERNAL_SOURCE: [],
    }


@pytest.mark.parametrize("filtering", list(Filtering))
def test_hairpinning_asks_no_filter_and_the_answer_finds_back(filtering: Filtering) -> None:
    async def main(world: sim.SimWorld) -> None:
        alice, carol = await call_carol_through_the_nat(world)
        carol.send(b"back", carol.sources[0])
        await settle(world)
        assert alice.heard == [(b"back", TransportAddress(WAN, CAROL.port))]

    play(behind(Nat(filtering=filtering, hairpin=Hairpin.EXTERNAL_SOURCE)), main)


def test_a_static_mapping_hairpins_before_its_host_sent_anything() -> None:
    async def main(world: sim.SimWorld) -> None:
        alice, carol = await listen(world, "alice", ALICE), await listen(world, "carol", CAROL)
        alice.send(b"", TransportAddress(POOL[2], CAROL.port))
        await settle(world)
        assert carol.sources == [TransportAddress(POOL[1], ALICE.port)]

    hairpin = Hairpin.EXTERNAL_SOURCE
    play(behind(Nat(filtering=EIF, pool=POOL[1:3], one_to_one=True, hairpin=hairpin)), main)


def test_a_hairpin_to_nobodys_mapping_ends_at_the_routers_closed_port() -> None:
    async def main(world: sim.SimWorld) -> None:
        alice = await listen(world, "alice", ALICE)
        alice.send(b"", TransportAddress(WAN, 9))
        await settle(world)
        assert [(e.kind, e.code, e.reporter) for e in alice.errors] == [(3, 3, WAN)]

    play(behind(Nat(filtering=EIF, hairpin=Hairpin.EXTERNAL_SOURCE)), main)
