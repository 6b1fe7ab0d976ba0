"""Two homes with every pair of NATs: direct wherever that is possible, relayed everywhere else.

The same over real Linux NATs is in tests/lab/test_matrix.py.
"""

from __future__ import annotations

from itertools import combinations_with_replacement

import pytest

from natkit.lab.topology import Nat
from natkit.nat.behaviour import Filtering, Mapping
from tests.ice.homes import KINDS, outcome, two_homes

PAIRS = list(combinations_with_replacement(KINDS, 2))


def expected(a: Nat, b: Nat) -> str:
    """The rule that 36 measured cells follow: see docs/why-two-symmetric-nats.md."""

    def is_open(nat: Nat) -> bool:
        independent = nat.mapping is Mapping.ENDPOINT_INDEPENDENT
        by_address = nat.filtering is Filtering.ADDRESS_DEPENDENT
        return nat.filtering is Filtering.ENDPOINT_INDEPENDENT or (independent and by_address)

    both = {a.mapping, b.mapping} == {Mapping.ENDPOINT_INDEPENDENT}
    return "direct" if is_open(a) or is_open(b) or both else "relayed"


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_a_call_is_direct_wherever_it_can_be(a: str, b: str):
    found = outcome(two_homes(KINDS[a], KINDS[b]))
    assert found.path == expected(KINDS[a], KINDS[b])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_a_call_is_direct_wherever_it_can_be_with_a_tenth_lost(a: str, b: str, seed: int):
    found = outcome(two_homes(KINDS[a], KINDS[b], loss=0.1), seed=seed)
    assert found.path == expected(KINDS[a], KINDS[b])


def test_side_without_udp_is_carried_over_tcp():
    topology = two_homes(KINDS["full-cone"], KINDS["full-cone"], udp_blocked=True)
    assert outcome(topology, transports=("tcp",)).path == "relayed"
