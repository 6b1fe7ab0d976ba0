"""Noise and damaged messages through every decoder: nothing but MalformedMessage may escape."""

from __future__ import annotations

from itertools import islice
from random import Random

import pytest

from fuzz.inputs import inputs
from fuzz.run import DEFAULT_COUNT, fire, fire_all, main
from fuzz.targets import TARGETS, Target

every_target = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)


@every_target
def test_samples_of_a_target_are_valid(target: Target) -> None:
    for sample in target.samples:
        target.run(sample)


@every_target
def test_few_thousand_inputs_let_nothing_escape(target: Target) -> None:
    outcome = fire(target, 2500, seed=7)
    assert outcome.escapes == []
    # The inputs are neither all noise nor all fine.
    assert outcome.accepted > 50
    assert outcome.refused > 50 or not target.allowed


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_million_inputs_let_nothing_escape() -> None:
    outcomes = fire_all(DEFAULT_COUNT, seed=1)
    assert [escape for outcome in outcomes for escape in outcome.escapes] == []


def test_same_seed_draws_the_same_inputs() -> None:
    samples = TARGETS[0].samples
    one, again, other = (list(islice(inputs(Random(seed), samples), 50)) for seed in (1, 1, 2))
    assert one == again
    assert one != other


def _decoder_with_a_hole(data: bytes) -> int:
    return data[0]


def test_escape_is_reported_with_its_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    holed = Target("holed", _decoder_with_a_hole, (b"a",))
    monkeypatch.setattr("fuzz.run.TARGETS", (holed,))
    assert main(["200"]) == 1
    assert "IndexError" in capsys.readouterr().out


def test_clean_run_ends_with_zero(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["80", "3"]) == 0
    assert capsys.readouterr().out.count("0 escaped") == len(TARGETS)
