"""The NAT itself: ends of packets in, ends of packets out, time as an argument."""

from __future__ import annotations

from random import Random

import pytest

from natkit.lab.sim.firewall import TCP_LIFETIME, Refusal
from natkit.lab.sim.nat import SWEEP_EVERY, Translator, rewritten
from natkit.lab.sim.packet import Proto
from natkit.lab.topology import Nat, Pooling, PortPolicy
from natkit.nat.behaviour import Filtering, Mapping
from natkit.wire import TransportAddress

UDP, TCP = Proto.UDP, Proto.TCP
WAN = "203.0.113.100"
ALICE = TransportAddress("10.0.1.2", 40000)
CAROL = TransportAddress("10.0.1.3", 40000)
PEER = TransportAddress("203.0.113.10", 3478)
PEER_PORT2 = TransportAddress("203.0.113.10", 3479)
PEER_IP2 = TransportAddress("203.0.113.11", 3478)

EI, AD, APD = Mapping
EIF, ADF, APDF = Filtering


def translator(nat: Nat, seed: int = 0) -> Translator:
    return Translator(nat, WAN, (ALICE.ip, CAROL.ip), Random(seed))


def out(
    nat: Translator,
    inside: TransportAddress,
    remote: TransportAddress,
    now: float = 0.0,
    proto: Proto = UDP,
) -> TransportAddress:
    external = nat.outbound(proto, inside, remote, now=now)
    assert isinstance(external, TransportAddress)
    return external


@pytest.mark.parametrize(
    ("mapping", "same_for_other_port", "same_for_other_address"),
    [(EI, True, True), (AD, True, False), (APD, False, False)],
)
def test_the_mapping_key_is_the_part_of_the_remote_that_counts(
    mapping: Mapping, same_for_other_port: bool, same_for_other_address: bool
) -> None:
    nat = translator(Nat(mapping, ports=PortPolicy.RANDOM))
    first = out(nat, ALICE, PEER)
    assert (out(nat, ALICE, PEER_PORT2) == first) is same_for_other_port
    assert (out(nat, ALICE, PEER_IP2) == first) is same_for_other_address
    assert out(nat, ALICE, PEER) == first


@pytest.mark.parametrize("mapping", list(Mapping))
@pytest.mark.parametrize(
    ("filtering", "admits_other_port", "admits_other_address"),
    [(EIF, True, True), (ADF, True, False), (APDF, False, False)],
)
def test_the_filtering_key_is_the_part_of_the_remote_that_counts(
    mapping: Mapping, filtering: Filtering, admits_other_port: bool, admits_other_address: bool
) -> None:
    nat = translator(Nat(mapping, filtering, PortPolicy.RANDOM))
    external = out(nat, ALICE, PEER)
    assert nat.inbound(UDP, external, PEER, now=0.0) == ALICE
    for remote, admitted in ((PEER_PORT2, admits_other_port), (PEER_IP2, admits_other_address)):
        expected = ALICE if admitted else Refusal.FILTERED
        assert nat.inbound(UDP, external, remote, now=0.0) == expected


def test_a_port_without_a_mapping_is_told_from_a_filtered_one() -> None:
    nat = translator(Nat(filtering=EIF))
    assert nat.inbound(UDP, TransportAddress(WAN, 40000), PEER, now=0.0) is Refusal.NO_MAPPING


@pytest.mark.parametrize("filtering", list(Filtering))
def test_a_mapping_is_alive_at_119_9_and_dead_at_120(filtering: Filtering) -> None:
    nat = translator(Nat(filtering=filtering, lifetime=120.0))
    external = out(nat, ALICE, PEER)
    assert nat.inbound(UDP, external, PEER, now=119.9) == ALICE
    assert nat.inbound(UDP, external, PEER, now=120.0) is Refusal.NO_MAPPING


def test_packets_going_out_refresh_a_mapping_and_packets_coming_in_do_not() -> None:
    nat = translator(Nat(lifetime=120.0))
    external = out(nat, ALICE, PEER, now=0.0)
    out(nat, ALICE, PEER, now=100.0)
    assert nat.inbound(UDP, external, PEER, now=219.9) == ALICE
    assert nat.inbound(UDP, external, PEER, now=220.0) is Refusal.NO_MAPPING


def test_a_permission_ends_by_itself_while_its_mapping_lives_on() -> None:
    nat = translator(Nat(lifetime=120.0))
    external = out(nat, ALICE, PEER, now=0.0)
    assert out(nat, ALICE, PEER_IP2, now=60.0) == external
    assert nat.inbound(UDP, external, PEER, now=130.0) is Refusal.FILTERED
    assert nat.inbound(UDP, external, PEER_IP2, now=130.0) == ALICE


def test_an_expired_mapping_gets_a_new_random_port() -> None:
    nat = translator(Nat(ports=PortPolicy.RANDOM, lifetime=2.0))
    first = out(nat, ALICE, PEER, now=0.0)
    assert out(nat, ALICE, PEER, now=1.9) == first
    assert out(nat, ALICE, PEER, now=3.9) != first


def test_tcp_mappings_are_apart_from_udp_and_live_for_hours() -> None:
    nat = translator(Nat())
    out(nat, ALICE, PEER)
    external = out(nat, CAROL, PEER, proto=TCP)
    assert external.port == CAROL.port
    assert nat.inbound(TCP, external, PEER, now=TCP_LIFETIME - 0.1) == CAROL
    assert nat.inbound(TCP, external, PEER, now=TCP_LIFETIME) is Refusal.NO_MAPPING


def test_two_hosts_with_one_source_port_share_it_until_they_meet() -> None:
    nat = translator(Nat())
    assert out(nat, ALICE, PEER).port == 40000
    assert out(nat, CAROL, PEER_IP2).port == 40000  # free towards this destination
    collided = out(nat, CAROL, PEER)
    assert collided.port != 40000  # looks symmetric, as it does behind Linux
    assert out(nat, CAROL, PEER_PORT2) == collided  # the newest one serves later destinations
    assert out(nat, CAROL, PEER_IP2).port == 40000  # a flow that stands keeps its port
    assert nat.inbound(UDP, collided, PEER, now=0.0) == CAROL
    assert nat.inbound(UDP, TransportAddress(WAN, 40000), PEER, now=0.0) == ALICE
    assert nat.inbound(UDP, TransportAddress(WAN, 40000), PEER_IP2, now=0.0) == CAROL


def test_a_host_that_collides_first_keeps_its_second_port_everywhere() -> None:
    nat = translator(Nat())
    out(nat, ALICE, PEER)
    collided = out(nat, CAROL, PEER)
    assert collided.port != 40000
    assert {out(nat, CAROL, PEER_IP2), out(nat, CAROL, PEER_PORT2)} == {collided}


def test_a_shared_port_leads_newcomers_to_the_host_that_had_it_first() -> None:
    nat = translator(Nat(filtering=EIF, lifetime=10.0))
    shared = out(nat, ALICE, PEER)
    assert out(nat, CAROL, PEER_IP2, now=5.0) == shared
    assert nat.inbound(UDP, shared, PEER_PORT2, now=9.9) == ALICE
    newcomer = TransportAddress("203.0.113.50", 5)
    assert nat.inbound(UDP, shared, newcomer, now=10.0) == CAROL


def test_an_answer_leaves_from_the_port_that_a_newcomer_asked() -> None:
    nat = translator(Nat(APD, EIF, PortPolicy.RANDOM))
    asked = out(nat, ALICE, PEER)
    assert nat.inbound(UDP, asked, PEER_IP2, now=1.0) == ALICE
    assert out(nat, ALICE, PEER_IP2, now=1.0) == asked


def test_a_newcomer_does_not_take_over_a_flow_that_stands() -> None:
    nat = translator(Nat(APD, EIF, PortPolicy.RANDOM))
    first, second = out(nat, ALICE, PEER), out(nat, ALICE, PEER_IP2)
    assert nat.inbound(UDP, first, PEER_IP2, now=1.0) == ALICE
    assert out(nat, ALICE, PEER_IP2, now=1.0) == second


def test_a_newcomer_to_another_port_is_disguised_so_that_its_answer_leaves_from_there() -> None:
    nat = translator(Nat(APD, EIF, PortPolicy.RANDOM))
    asked, own = out(nat, ALICE, PEER), out(nat, ALICE, PEER_IP2)
    assert nat.inbound(UDP, asked, PEER_IP2, now=1.0) == ALICE
    seen = nat.source_inside(UDP, ALICE, asked, PEER_IP2, now=1.0)
    assert seen.ip == PEER_IP2.ip
    assert seen != PEER_IP2
    assert nat.source_inside(UDP, ALICE, asked, PEER_IP2, now=2.0) == seen
    assert out(nat, ALICE, seen, now=2.0) == asked
    assert nat.destination_outside(UDP, ALICE, seen) == PEER_IP2
    assert nat.source_inside(UDP, ALICE, own, PEER_IP2, now=2.0) == PEER_IP2
    assert nat.destination_outside(UDP, ALICE, PEER_IP2) == PEER_IP2


def test_a_full_table_refuses_new_mappings_until_one_dies() -> None:
    nat = translator(Nat(APD, table_size=2, lifetime=10.0))
    out(nat, ALICE, PEER, now=0.0)
    out(nat, ALICE, PEER_PORT2, now=5.0)
    assert nat.outbound(UDP, ALICE, PEER_IP2, now=9.9) is Refusal.TABLE_FULL
    assert out(nat, ALICE, PEER_PORT2, now=9.9)
    assert out(nat, ALICE, PEER_IP2, now=10.0)
    assert nat.size(now=10.0) == 2


def test_one_to_one_keeps_ports_and_gives_each_host_its_address() -> None:
    nat = translator(Nat(pool=("203.0.113.101", "203.0.113.102"), one_to_one=True))
    assert out(nat, ALICE, PEER) == ("203.0.113.101", 40000)
    assert out(nat, CAROL, PEER) == ("203.0.113.102", 40000)
    stranger = TransportAddress("10.0.1.4", 40000)
    assert nat.outbound(UDP, stranger, PEER, now=0.0) is Refusal.NO_OUTSIDE_ADDRESS


def test_one_to_one_without_a_filter_lets_anybody_in_before_a_packet_went_out() -> None:
    nat = translator(Nat(filtering=EIF, pool=("203.0.113.101",), one_to_one=True))
    external = TransportAddress("203.0.113.101", 5)
    assert nat.inbound(UDP, external, PEER, now=0.0) == (ALICE.ip, 5)
    assert out(nat, TransportAddress(ALICE.ip, 5), PEER) == external


def test_one_to_one_with_a_filter_lets_nobody_in_before_a_packet_went_out() -> None:
    nat = translator(Nat(pool=("203.0.113.101",), one_to_one=True))
    external = TransportAddress("203.0.113.101", ALICE.port)
    assert nat.inbound(UDP, external, PEER, now=0.0) is Refusal.NO_MAPPING
    assert out(nat, ALICE, PEER) == external
    assert nat.inbound(UDP, external, PEER, now=0.0) == ALICE


def test_a_socket_keeps_the_pool_address_of_its_first_destination() -> None:
    pool = tuple(f"203.0.113.{n}" for n in range(100, 104))
    nat = translator(Nat(pool=pool, pooling=Pooling.PER_DESTINATION))
    remotes = [TransportAddress(f"198.51.100.{n}", 1) for n in range(20)]
    assert len({out(nat, ALICE, remote).ip for remote in remotes}) == 1
    sockets = [TransportAddress(ALICE.ip, 50000 + n) for n in range(20)]
    seen = {out(nat, s, remote).ip for s, remote in zip(sockets, remotes, strict=True)}
    assert len(seen) > 1


def test_dead_entries_are_forgotten() -> None:
    nat = translator(Nat(APD, lifetime=1.0))
    for n in range(SWEEP_EVERY):
        out(nat, ALICE, TransportAddress("198.51.100.1", n + 1), now=float(n))
    assert nat.size(now=float(SWEEP_EVERY)) == 0
    assert len(nat._flows) < 10


def test_the_same_seed_gives_the_same_ports_and_another_seed_others() -> None:
    def ports(seed: int) -> list[int]:
        nat = translator(Nat(APD, ports=PortPolicy.RANDOM), seed)
        return [out(nat, ALICE, TransportAddress("198.51.100.1", n)).port for n in range(1, 9)]

    assert ports(1) == ports(1) != ports(2)


def test_an_alg_swaps_address_bytes_wherever_they_stand() -> None:
    payload = b"\x00\x01" + bytes([203, 0, 113, 100]) + b"tail"
    assert rewritten(payload, WAN, ALICE.ip) == b"\x00\x01" + bytes([10, 0, 1, 2]) + b"tail"
