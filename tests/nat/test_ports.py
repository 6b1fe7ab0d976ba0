"""How mappings are numbered: patterns are recognised, and chance is not taken for one."""

from __future__ import annotations

import random

import pytest

from natkit.nat.behaviour import Status
from natkit.nat.ports import (
    Mapped,
    Pattern,
    Pooling,
    judge_allocation,
    judge_pooling,
    judge_preservation,
)
from natkit.wire import TransportAddress


def mapped(*externals: int, local: int = 5000, ip: str = "203.0.113.7") -> list[Mapped]:
    """One mapping of a new socket for each external port, in that order."""
    return [
        Mapped(local + i, TransportAddress(ip, port), float(i), float(i))
        for i, port in enumerate(externals)
    ]


@pytest.mark.parametrize("step", [1, 2, -1, 7])
def test_a_counter_is_read_with_its_step(step: int) -> None:
    found = judge_allocation(mapped(*(40000 + step * i for i in range(10))))
    assert found.value is not None
    assert (found.value.pattern, found.value.step) == (Pattern.SEQUENTIAL, step)
    assert str(found.value) == f"sequential {step:+d}"


def test_a_counter_that_others_move_too_is_still_a_counter() -> None:
    found = judge_allocation(mapped(100, 101, 103, 104, 105, 106, 109, 110, 111, 112))
    assert found.value is not None
    assert found.value.step == 1


def test_a_counter_that_wraps_around_is_still_a_counter() -> None:
    found = judge_allocation(mapped(508, 509, 510, 511, 0 + 40, 41, 42, 43, 44))
    assert found.value is not None
    assert found.value.step == 1


def test_an_exception_is_forgiven_where_there_are_many_mappings() -> None:
    ports = [*range(100, 110), 111, 110, *range(112, 120)]
    found = judge_allocation(mapped(*ports))
    assert found.value is not None
    assert found.value.step == 1
    assert judge_allocation(mapped(100, 101, 103, 102, 104, 105, 106, 107)).value is None


def test_a_try_that_was_lost_before_the_nat_does_not_hide_the_step() -> None:
    asked_in_vain_first = Mapped(4999, TransportAddress("203.0.113.7", 112), -1.0, 99.0)
    found = judge_allocation([*mapped(*range(100, 112)), asked_in_vain_first])
    assert found.value is not None
    assert found.value.step == 1


@pytest.mark.parametrize("width", [16, 32, 64, 256, 64000])
def test_random_ports_are_never_taken_for_a_counter(width: int) -> None:
    for seed in range(200):
        ports = random.Random(seed).sample(range(1024, 1024 + width), 12)
        found = judge_allocation(mapped(*ports))
        assert found.value is None or found.value.pattern is Pattern.RANDOM, seed


def test_preserved_ports_are_no_pattern_of_their_own() -> None:
    found = judge_allocation(mapped(*range(5000, 5008)))
    assert found.value is not None
    assert found.value.pattern is Pattern.PRESERVING


def test_seven_mappings_are_no_pattern() -> None:
    assert judge_allocation(mapped(1, 2, 3, 4, 5, 6, 7)).status is Status.NOT_MEASURED


def test_two_thirds_kept_ports_are_a_habit_one_third_is_not_settled() -> None:
    assert judge_preservation(mapped(5000, 5001, 9)).value is True
    assert judge_preservation(mapped(5000, 8, 9)).status is Status.INCONCLUSIVE
    assert judge_preservation(mapped(7, 8, 9)).value is False
    assert judge_preservation(mapped(5000, 5001)).status is Status.NOT_MEASURED


def test_a_second_address_is_a_pool() -> None:
    one = mapped(1, 2, 3)
    assert judge_pooling(one).value is Pooling.ONE_SEEN
    assert judge_pooling(one + mapped(4, ip="203.0.113.8")).value is Pooling.ARBITRARY
    assert judge_pooling(one[:2]).status is Status.NOT_MEASURED
