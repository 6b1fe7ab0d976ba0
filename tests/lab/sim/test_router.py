"""Routers, packet by packet: what a NAT does to what goes through them."""

from __future__ import annotations

import pytest

from natkit.lab import sim
from natkit.lab.scenarios import CARRIER, HOME, INTERNET, POOL, behind, behind_two, scenario
from natkit.lab.sim import Direction
from natkit.lab.topology import Host, Link, Nat, PortPolicy, Router, Segment, Topology
from natkit.nat.behaviour import Filtering, Mapping
from natkit.network import Family
from natkit.wire import TransportAddress
from tests.lab.sim.nodes import (
    ALICE,
    STUN,
    STUN2,
    STUN_IP2,
    STUN_PORT2,
    WAN,
    listen,
    play,
    settle,
    verdicts,
)

CAROL = TransportAddress("10.0.1.3", 40001)
EIF = Filtering.ENDPOINT_INDEPENDENT


def test_each_step_of_a_packet_and_its_answer_is_seen() -> None:
    async def main(world: sim.SimWorld) -> None:
        alice, stun = await listen(world, "alice", ALICE), await listen(world, "stun", STUN)
        alice.send(b"ping", STUN)
        await settle(world)
        stun.send(b"pong", stun.sources[0])
        await settle(world)

    steps = play(behind(Nat()), main)
    outside = TransportAddress(WAN, 40000)
    assert [(s.node, s.direction, s.src, s.dst, s.verdict) for s in steps] == [
        ("alice", Direction.SENT, ALICE, STUN, "sent"),
        ("home", Direction.OUTWARDS, outside, STUN, f"source {ALICE} becomes {outside}"),
        ("stun", Direction.RECEIVED, outside, STUN, "delivered"),
        ("stun", Direction.SENT, STUN, outside, "sent"),
        ("home", Direction.INWARDS, STUN, ALICE, f"destination {outside} becomes {ALICE}"),
        ("alice", Direction.RECEIVED, STUN, ALICE, "delivered"),
    ]
    assert [s.time for s in steps] == [0, 0, 0.01, 0.5, 0.51, 0.51]
    line = "0.0000 alice sent udp 10.0.1.2:40000 > 203.0.113.10:3478 sent"
    assert " ".join(str(steps[0]).split()) == line


@pytest.mark.parametrize(
    ("mapping", "distinct"),
    [
        (Mapping.ENDPOINT_INDEPENDENT, [0, 0, 0]),
        (Mapping.ADDRESS_DEPENDENT, [0, 0, 1]),
        (Mapping.ADDRESS_AND_PORT_DEPENDENT, [0, 1, 2]),
    ],
)
def test_servers_see_one_mapping_for_each_value_of_the_key(
    mapping: Mapping, distinct: list[int]
) -> None:
    async def main(world: sim.SimWorld) -> None:
        servers = [await listen(world, "stun", at) for at in (STUN, STUN_PORT2, STUN_IP2)]
        alice = await listen(world, "alice")
        for at in (STUN, STUN_PORT2, STUN_IP2):
            alice.send(b"", at)
        await settle(world)
        seen = [server.sources[0] for server in servers]
        assert [list(dict.fromkeys(seen)).index(source) for source in seen] == distinct

    play(behind(Nat(mapping, ports=PortPolicy.RANDOM)), main)


@pytest.mark.parametrize(
    ("filtering", "heard"),
    [
        (Filtering.ENDPOINT_INDEPENDENT, [STUN, STUN_PORT2, STUN_IP2]),
        (Filtering.ADDRESS_DEPENDENT, [STUN, STUN_PORT2]),
        (Filtering.ADDRESS_AND_PORT_DEPENDENT, [STUN]),
    ],
)
def test_the_filter_lets_in_whom_the_key_covers(
    filtering: Filtering, heard: list[TransportAddress]
) -> None:
    async def main(world: sim.SimWorld) -> None:
        servers = [await listen(world, "stun", at) for at in (STUN, STUN_PORT2, STUN_IP2)]
        alice = await listen(world, "alice")
        alice.send(b"", STUN)
        await settle(world)
        for server in servers:
            server.send(b"", servers[0].sources[0])
        await settle(world)
        assert alice.sources == heard

    steps = play(behind(Nat(filtering=filtering)), main)
    filtered = [s for s in steps if s.node == "home" and s.dropped]
    assert len(filtered) == 3 - len(heard)
    assert all("filtered" in s.verdict for s in filtered)


@pytest.mark.parametrize(("age", "arrives"), [(119.9, True), (120.0, False)])
def test_a_mapping_lets_an_answer_in_until_its_lifetime_ends(age: float, arrives: bool) -> None:
    async def main(world: sim.SimWorld) -> None:
        alice, stun = await listen(world, "alice", ALICE), await listen(world, "stun", STUN)
        alice.send(b"", STUN)  # passes the NAT at 0.0
        await settle(world, age - 0.01)  # the way back takes 0.01 s
        stun.send(b"late", stun.sources[0])
        await settle(world)
        assert bool(alice.heard) is arrives

    play(behind(Nat(lifetime=120.0)), main)


def test_what_comes_unasked_to_the_router_is_dropped_in_silence() -> None:
    async def main(world: sim.SimWorld) -> None:
        await listen(world, "home", TransportAddress("0.0.0.0", 53))
        bob = await listen(world, "bob")
        for port in (53, 54):
            bob.send(b"", TransportAddress(WAN, port))
        await settle(world)
        assert bob.errors == []

    assert verdicts(play(behind(Nat()), main), "home") == ["dropped: no mapping"] * 2
    assert verdicts(play(behind(None), main), "home") == ["dropped: unasked for"] * 2


def test_the_router_is_a_node_that_serves_inside_and_asks_outside() -> None:
    async def main(world: sim.SimWorld) -> None:
        router = await listen(world, "home", TransportAddress("0.0.0.0", 5351))
        stun, alice = await listen(world, "stun", STUN), await listen(world, "alice", ALICE)
        alice.send(b"map me", TransportAddress("10.0.1.1", 5351))
        await settle(world)
        router.send(b"done", router.sources[0])
        router.send(b"ask", STUN)
        await settle(world)
        stun.send(b"answer", stun.sources[0])
        await settle(world)
        assert alice.sources == [("10.0.1.1", 5351)]
        assert stun.sources == [TransportAddress(WAN, 5351)]
        assert router.sources == [ALICE, STUN]

    play(behind(Nat()), main)


# Time to live and ICMP


def test_time_exceeded_comes_from_each_router_in_turn() -> None:
    async def main(world: sim.SimWorld) -> None:
        alice, stun = await listen(world, "alice", ALICE), await listen(world, "stun", STUN)
        for ttl in (1, 2, 3):
            alice.send(b"", STUN, ttl)
            await settle(world)
        assert [(e.kind, e.code, e.reporter, e.destination) for e in alice.errors] == [
            (11, 0, "10.0.1.1", STUN),
            (11, 0, "100.64.0.1", STUN),
        ]
        assert len(stun.heard) == 1

    play(behind_two(Nat(), Nat()), main)


def test_a_packet_that_dies_at_the_router_makes_no_mapping() -> None:
    async def main(world: sim.SimWorld) -> None:
        alice, stun = await listen(world, "alice", ALICE), await listen(world, "stun", STUN)
        alice.send(b"", STUN, 1)
        stun.send(b"", TransportAddress(WAN, ALICE.port))
        await settle(world)
        assert alice.heard == []

    assert "dropped: no mapping" in verdicts(play(behind(Nat()), main), "home")


def test_a_closed_port_outside_is_reported_to_the_socket_behind_the_nat() -> None:
    async def main(world: sim.SimWorld) -> None:
        alice, other = await listen(world, "alice"), await listen(world, "alice")
        alice.send(b"", STUN)
        await settle(world)
        assert [(e.kind, e.code, e.reporter, e.destination) for e in alice.errors] == [
            (3, 3, STUN.ip, STUN)
        ]
        assert other.errors == []

    play(behind_two(Nat(), Nat(ports=PortPolicy.RANDOM)), main)


def test_a_closed_port_inside_is_reported_outside_under_the_external_name() -> None:
    async def main(world: sim.SimWorld) -> None:
        alice, stun = await listen(world, "alice"), await listen(world, "stun", STUN)
        alice.send(b"", STUN)
        await settle(world)
        assert alice.endpoint is not None
        alice.endpoint.close()
        stun.send(b"", stun.sources[0])
        await settle(world)
        assert [(e.kind, e.code, e.reporter, e.destination) for e in stun.errors] == [
            (3, 3, WAN, stun.sources[0])
        ]

    play(behind(Nat(ports=PortPolicy.RANDOM)), main)


def test_the_trace_says_why_a_packet_ended() -> None:
    async def main(world: sim.SimWorld) -> None:
        alice = await listen(world, "alice", ALICE)
        alice.send(b"", STUN)
        alice.send(b"", STUN, 1)
        alice.send(b"", TransportAddress("203.0.113.99", 1))
        await settle(world)

    steps = play(behind(Nat()), main)
    assert [(step.node, step.verdict) for step in steps if step.dropped] == [
        ("home", "dropped: time to live exceeded"),
        ("stun", "dropped: the port is closed"),
        ("home", "dropped: nobody has this address"),
    ]


def test_the_trace_says_on_which_link_a_packet_was_lost() -> None:
    async def main(world: sim.SimWorld) -> None:
        alice, stun = await listen(world, "alice", ALICE), await listen(world, "stun", STUN)
        alice.send(b"", STUN)
        stun.send(b"", TransportAddress(WAN, ALICE.port))
        await settle(world)

    steps = play(behind(Nat(), link=Link(loss=1.0)), main)
    lost = [(s.node, s.direction) for s in steps if s.verdict == "dropped: lost on the link"]
    assert lost == [("home", Direction.SENT), ("home", Direction.RECEIVED)]


def test_an_icmp_error_about_a_dead_mapping_is_dropped() -> None:
    async def main(world: sim.SimWorld) -> None:
        alice = await listen(world, "alice", ALICE)
        alice.send(b"", STUN)  # the error is back at the NAT after 0.02 s
        await settle(world)
        assert alice.errors == []

    steps = play(behind(Nat(lifetime=0.015)), main)
    assert verdicts(steps, "home")[-1] == "dropped: unasked for"


# NATs in combination, and the rest of their options


def test_two_nats_in_a_row_both_map_and_both_filter() -> None:
    async def main(world: sim.SimWorld) -> None:
        alice, stun = await listen(world, "alice", ALICE), await listen(world, "stun", STUN)
        alice.send(b"", STUN)
        await settle(world)
        await settle(world)
        (await listen(world, "stun2", STUN2)).send(b"", stun.sources[0])
        stun.send(b"answer", stun.sources[0])
        await settle(world)
        assert alice.heard == [(b"answer", STUN)]

    steps = play(behind_two(Nat(), Nat(filtering=EIF)), main)
    assert verdicts(steps, "cgn")[0] == "source 100.64.0.2:40000 becomes 203.0.113.100:40000"
    assert any("filtered" in verdict for verdict in verdicts(steps, "home"))


def test_a_one_to_one_nat_pairs_routers_inside_it_too() -> None:
    async def main(world: sim.SimWorld) -> None:
        alice, stun = await listen(world, "alice", ALICE), await listen(world, "stun", STUN)
        alice.send(b"", STUN)
        await settle(world)
        assert stun.sources == [TransportAddress(POOL[1], ALICE.port)]

    play(behind_two(Nat(), Nat(pool=POOL[1:], one_to_one=True)), main)


def test_the_second_host_on_a_port_gets_another_at_the_same_destination() -> None:
    async def main(world: sim.SimWorld) -> None:
        alice = await listen(world, "alice", ALICE)
        carol = await listen(world, "carol", CAROL._replace(port=ALICE.port))
        stun, other = await listen(world, "stun", STUN), await listen(world, "stun2", STUN2)
        alice.send(b"", STUN)
        await settle(world)
        carol.send(b"", STUN2)
        carol.send(b"", STUN)
        await settle(world)
        assert [s.port == 40000 for s in stun.sources] == [True, False]
        assert [s.port for s in other.sources] == [40000]

    play(behind(Nat()), main)


def test_a_full_table_drops_new_flows() -> None:
    async def main(world: sim.SimWorld) -> None:
        stun = await listen(world, "stun", STUN)
        for _ in range(3):
            (await listen(world, "alice")).send(b"", STUN)
        await settle(world)
        assert len(stun.heard) == 2

    steps = play(behind(Nat(table_size=2)), main)
    assert verdicts(steps, "home")[-1] == "dropped: the NAT's table is full"


def test_an_alg_rewrites_its_address_in_both_directions() -> None:
    inside, outside = bytes([10, 0, 1, 2]), bytes([203, 0, 113, 100])

    async def main(world: sim.SimWorld) -> None:
        alice, stun = await listen(world, "alice"), await listen(world, "stun", STUN)
        alice.send(b"I am " + inside, STUN)
        await settle(world)
        stun.send(b"you are " + outside, stun.sources[0])
        await settle(world)
        assert stun.heard[0][0] == b"I am " + outside
        assert alice.heard[0][0] == b"you are " + inside

    play(behind(Nat(rewrites_payload=True)), main)


def test_every_address_of_a_pool_leads_back_in() -> None:
    async def main(world: sim.SimWorld) -> None:
        stun, ears = await listen(world, "stun", STUN), []
        for _ in range(12):
            ears.append(await listen(world, "alice"))
            ears[-1].send(b"", STUN)
        await settle(world)
        for source in stun.sources:
            stun.send(b"", source)
        await settle(world)
        assert {source.ip for source in stun.sources} > {POOL[0]}
        assert all(ear.heard for ear in ears)

    play(scenario("pool-arbitrary").topology, main)


def test_private_addresses_lead_nowhere_from_outside() -> None:
    async def main(world: sim.SimWorld) -> None:
        alice, bob = await listen(world, "alice", ALICE), await listen(world, "bob")
        bob.send(b"", ALICE)
        await settle(world)
        assert alice.heard == []

    play(behind(Nat(filtering=EIF)), main)


@pytest.mark.parametrize("to", ["203.0.113.99", "239.255.255.250", "255.255.255.255"])
def test_nobody_answers_for_an_address_that_is_not_there(to: str) -> None:
    async def main(world: sim.SimWorld) -> None:
        alice = await listen(world, "alice", ALICE)
        alice.send(b"", TransportAddress(to, 1))
        await settle(world)
        assert alice.errors == []

    steps = play(behind(Nat()), main)
    assert all(step.dropped for step in steps[2:])
    assert {step.node for step in steps} <= {"alice", "home"}


def test_networks_behind_a_router_without_nat_are_reached_through_it() -> None:
    """Three levels: deep sits behind inner (no NAT), inner behind home (NAT)."""
    deep = Segment("deep", "10.0.9.0/24")
    topology = Topology(
        (INTERNET, HOME, deep),
        (
            Host("alice", "home", ("10.0.1.2",)),
            Host("dora", "deep", ("10.0.9.2",)),
            Host("stun", "internet", (STUN.ip,)),
        ),
        (
            Router("home", "home", "internet", ("10.0.1.1",), (WAN,), Nat()),
            Router("inner", "deep", "home", ("10.0.9.1",), ("10.0.1.9",), link=Link(latency=0)),
        ),
    )

    async def main(world: sim.SimWorld) -> None:
        dora, stun = await listen(world, "dora"), await listen(world, "stun", STUN)
        alice = await listen(world, "alice")
        dora.send(b"", STUN)
        await settle(world)
        stun.send(b"", stun.sources[0])
        assert alice.endpoint is not None
        alice.send(b"", TransportAddress("10.0.9.2", dora.endpoint.local.port))  # type: ignore[union-attr]
        await settle(world)
        assert stun.sources[0].ip == WAN
        assert [source.ip for source in dora.sources] == ["10.0.1.2", STUN.ip]
        assert world.network("dora").gateways(Family.IPV4) == ("10.0.9.1",)
        assert world.network("inner").gateways(Family.IPV4) == ("10.0.1.1",)

    play(topology, main)


def test_a_carriers_segment_is_a_network_of_its_own() -> None:
    async def main(world: sim.SimWorld) -> None:
        network = world.network("home")
        assert network.source_for(STUN) == "100.64.0.2"
        assert network.source_for(ALICE) == "10.0.1.1"
        assert network.gateways(Family.IPV4) == ("100.64.0.1",)
        assert [i.name for i in network.interfaces()] == ["lo", "lo", "lan", "wan"]
        assert network.interfaces()[-1].prefix == int(str(CARRIER.ipv4)[-2:])

    play(behind_two(Nat(), Nat()), main)
