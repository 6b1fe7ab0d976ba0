"""The arithmetic of silence: what it takes before a missing answer is believed."""

from __future__ import annotations

import random
from math import isclose

from hypothesis import given
from hypothesis import strategies as st

from natkit.nat.silence import DOUBT, Tally, chance_of_silence, is_convincing


def test_ten_of_ten_controls_and_ten_silent_tries_match_the_closed_form() -> None:
    # E[(1-p)^10] for p ~ Beta(11, 1) is 10! 11! / 21!, times 11 for the normalisation.
    expected = 1.0
    for k in range(10):
        expected *= (1 + k) / (12 + k)
    assert isclose(chance_of_silence(10, Tally(10, 10)), expected, rel_tol=1e-9)


def test_no_try_proves_nothing() -> None:
    assert chance_of_silence(0, Tally(10, 10)) == 1.0
    assert not is_convincing(0, Tally(100, 100))


def test_silence_without_an_answered_control_never_convinces() -> None:
    assert not is_convincing(10_000, Tally(0, 0))
    assert not is_convincing(10_000, Tally(10_000, 0))


def test_a_clean_path_convinces_after_fifteen_tries() -> None:
    assert not is_convincing(13, Tally(13, 13))
    assert is_convincing(15, Tally(15, 15))


def test_half_the_tries_lost_needs_about_three_times_as_many() -> None:
    needed = next(n for n in range(1, 200) if is_convincing(n, Tally(n, n // 2)))
    assert 30 <= needed <= 60


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 200))
def test_it_is_a_probability_that_falls_with_every_silent_try(
    silent: int, asked: int, lost: int
) -> None:
    controls = Tally(asked, max(0, asked - lost))
    now, next_ = (chance_of_silence(n, controls) for n in (silent, silent + 1))
    assert 0.0 <= next_ <= now <= 1.0


def test_the_predicted_chance_is_the_observed_one() -> None:
    dice = random.Random(1)
    silent, controls, hits, trials = 3, Tally(6, 3), 0, 0
    while trials < 4000:
        answer = dice.random()
        if sum(dice.random() < answer for _ in range(controls.asked)) == controls.answered:
            trials += 1
            hits += all(dice.random() >= answer for _ in range(silent))
    assert isclose(hits / trials, chance_of_silence(silent, controls), abs_tol=0.02)


def test_tallies_add_up() -> None:
    assert Tally(3, 1) + Tally(2, 2) == Tally(5, 3)
    assert DOUBT == 1e-8
