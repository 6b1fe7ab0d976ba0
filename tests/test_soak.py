"""A short soak in the suite, and that a soak notices what leaks (the long one: tests/soak.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak import GROWTH, Reading, Soak, soak

BEFORE = Reading(0.0, 50_000_000, 18, 0, 3)
STEADY = Reading(60.0, 60_000_000, 900, 800, 5)
AFTER = Reading(630.0, 60_000_000, 18, 0, 3)


@pytest.mark.slow
def test_clients_that_come_and_go_leave_nothing_behind(tmp_path: Path) -> None:
    *readings, result = soak(11.0, tmp_path, every=5.5)
    assert isinstance(result, Soak)
    assert result.faults() == []
    assert len(result.visits) == 5
    assert result.visits.total() > 100
    assert any(one.ports > 20 for one in readings if isinstance(one, Reading))


def faults(after: Reading) -> list[str]:
    return Soak(readings=[BEFORE, STEADY, after]).faults()


def test_nothing_that_came_back_is_a_leak() -> None:
    assert faults(AFTER) == []


@pytest.mark.parametrize(
    ("after", "what"),
    [
        (Reading(630.0, 60_000_000, 18, 1, 3), "ports: 1, and 0 before"),
        (Reading(630.0, 60_000_000, 19, 0, 3), "descriptors: 19, and 18 before"),
        (Reading(630.0, 60_000_000, 18, 0, 4), "tasks: 4, and 3 before"),
        (Reading(630.0, 60_000_001 + GROWTH, 18, 0, 3), "memory: grown by 4.00 MB"),
    ],
)
def test_a_leak_is_a_fault(after: Reading, what: str) -> None:
    assert faults(after) == [what]
