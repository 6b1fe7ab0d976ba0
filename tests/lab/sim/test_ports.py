"""Numbering: which ports and addresses new mappings get."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from natkit.lab.sim.ports import AddressPicker, PortPicker
from natkit.lab.topology import Nat, Pooling, PortPolicy
from natkit.wire import TransportAddress

POOL = tuple(f"203.0.113.{n}" for n in range(100, 104))


def picked(nat: Nat, count: int, wanted: int = 40000, seed: int = 0) -> list[int]:
    """Return the ports of `count` mappings with different keys, all kept, in order."""
    picker, taken = PortPicker(nat, Random(seed)), list[int]()
    for key in range(count):
        port = picker.pick(wanted, key, lambda port: port not in taken)
        assert port is not None
        taken.append(port)
    return taken


def test_preserving_keeps_the_internal_port_where_it_is_free() -> None:
    first, second = picked(Nat(), 2, wanted=40000)
    assert first == 40000 != second


def test_preserving_stays_within_the_range() -> None:
    ports = picked(Nat(port_range=(50000, 50009)), 10, wanted=40000)
    assert sorted(ports) == list(range(50000, 50010))


def test_random_uses_the_whole_range_and_nothing_else() -> None:
    ports = picked(Nat(ports=PortPolicy.RANDOM, port_range=(40000, 40255)), 256)
    assert sorted(ports) == list(range(40000, 40256))


@pytest.mark.parametrize("step", [1, 2, -1])
def test_sequential_steps_around_its_range(step: int) -> None:
    nat = Nat(ports=PortPolicy.SEQUENTIAL, port_range=(40000, 40063), port_step=step)
    ports = picked(nat, 32)
    steps = {(b - a) % 64 for a, b in pairwise(ports)}
    assert steps == {step % 64}
    assert min(ports) >= 40000
    assert max(ports) <= 40063


def test_hashed_gives_the_same_flow_the_same_port_in_every_run_of_a_seed() -> None:
    nat = Nat(ports=PortPolicy.HASHED, port_range=(30000, 49999))
    assert picked(nat, 20, seed=1) == picked(nat, 20, seed=1) != picked(nat, 20, seed=2)
    assert len(set(picked(nat, 20))) == 20


def test_a_used_up_range_gives_none() -> None:
    picker = PortPicker(Nat(port_range=(5, 5)), Random(0))
    assert picker.pick(5, "key", lambda port: False) is None


def pool_of(pooling: Pooling, socket: int, remote: int, picker: AddressPicker | None = None) -> str:
    picker = picker or AddressPicker(Nat(pool=POOL, pooling=pooling), "unused", (), Random(0))
    inside = TransportAddress("10.0.1.2", 40000 + socket)
    address = picker.pick(inside, TransportAddress(f"198.51.100.{remote}", 1))
    assert address in POOL
    return str(address)


def test_paired_pooling_gives_one_address_to_all_sockets_of_a_host() -> None:
    assert len({pool_of(Pooling.PAIRED, n, n) for n in range(20)}) == 1


def test_pooling_by_destination_ignores_the_socket() -> None:
    assert len({pool_of(Pooling.PER_DESTINATION, n, 1) for n in range(20)}) == 1
    assert len({pool_of(Pooling.PER_DESTINATION, 1, n) for n in range(20)}) == 4


def test_arbitrary_pooling_gives_any_address_to_the_same_flow() -> None:
    picker = AddressPicker(Nat(pool=POOL, pooling=Pooling.ARBITRARY), "unused", (), Random(0))
    assert len({pool_of(Pooling.ARBITRARY, 1, 1, picker) for _ in range(40)}) == 4
