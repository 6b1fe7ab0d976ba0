"""The codec keeps its promise: at most half of aioice's time for an ICE check."""

from __future__ import annotations

import pytest

from natkit.wire import IceControlling, Message, Priority, UseCandidate, Username
from scripts.benchmarks import Row, codec


def test_both_sides_of_the_comparison_build_and_read_the_same_check() -> None:
    assert codec.build() == codec.peer_build() == codec.CHECK
    assert codec.answer()[0]
    assert codec.peer_answer()[0]
    kinds = [type(attribute) for attribute in Message.decode(codec.CHECK).attributes]
    assert kinds == [Username, Priority, IceControlling, UseCandidate]
    peer = codec.peer_parse().attributes
    assert set(peer) >= {"USERNAME", "PRIORITY", "ICE-CONTROLLING", "USE-CANDIDATE"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["parse ICE check", "build ICE check"])
def test_ice_check_takes_at_most_half_of_aioices_time(name: str) -> None:
    # The best of three, since a busy machine may disturb one side more than the other.
    measured = [row for _ in range(3) for row in codec.rows() if row.name == name]
    assert min(map(_ratio, measured)) <= 0.5


def _ratio(row: Row) -> float:
    assert row.ratio is not None
    return row.ratio
