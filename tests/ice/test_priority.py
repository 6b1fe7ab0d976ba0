"""Priorities, foundations and the order of addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natkit.ice.candidate import CandidateType
from natkit.ice.priority import (
    Foundations,
    local_preferences,
    pair_priority,
    parts,
    peer_reflexive,
    priority,
)

HOST, PRFLX, SRFLX, RELAY = CandidateType


@pytest.mark.parametrize(
    ("kind", "value"),
    [(HOST, 2130706431), (PRFLX, 1862270975), (SRFLX, 1694498815), (RELAY, 16777215)],
)
def test_priority_is_the_rfcs_formula(kind: CandidateType, value: int):
    assert priority(kind, 65535, 1) == value


@given(st.sampled_from(CandidateType), st.integers(0, 65535), st.integers(1, 256))
def test_priority_comes_apart_as_it_was_put_together(kind: CandidateType, local: int, number: int):
    taken = parts(priority(kind, local, number))
    assert (taken.local_preference, taken.component) == (local, number)
    assert parts(peer_reflexive(priority(kind, local, number))).type_preference == 110


def test_pair_priority_is_the_rfcs_formula():
    assert pair_priority(2, 1) == (1 << 32) + 4 + 1
    assert pair_priority(1, 2) == (1 << 32) + 4


def test_ipv6_and_ipv4_take_turns():
    found = local_preferences(["10.0.0.1", "10.0.0.2", "10.0.0.3", "2001:db8::1", "2001:db8::2"])
    order = sorted(found, key=found.__getitem__, reverse=True)
    assert order == ["2001:db8::1", "10.0.0.1", "2001:db8::2", "10.0.0.2", "10.0.0.3"]
    assert found["2001:db8::1"] == 65535
    assert len(set(found.values())) == 5


def test_foundation_is_shared_by_what_shares_its_fate():
    names = Foundations()
    first = names.of(SRFLX, "10.0.0.1", "192.0.2.1")
    assert names.of(SRFLX, "10.0.0.1", "192.0.2.1") == first
    others = {
        names.of(HOST, "10.0.0.1", "192.0.2.1"),
        names.of(SRFLX, "10.0.0.2", "192.0.2.1"),
        names.of(SRFLX, "10.0.0.1", "192.0.2.2"),
        names.of(SRFLX, "10.0.0.1", "192.0.2.1", "tcp"),
    }
    assert len(others - {first}) == 4


def test_foundation_does_not_tell_the_address():
    assert Foundations().of(HOST, "10.0.0.1") == Foundations().of(HOST, "10.9.9.9") == "1"
