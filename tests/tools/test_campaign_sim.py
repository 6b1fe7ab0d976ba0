"""Every scenario, simulated, from a clean path to 30 % loss each way: never a wrong answer."""

from __future__ import annotations

import pytest

from natkit.lab.scenarios import SCENARIOS, Scenario
from tests.campaign import LOSSES, MEASURABLE, Score, allowed_inconclusive, in_sim, score

SEEDS = 50


@pytest.mark.parametrize("scenario", MEASURABLE, ids=lambda s: s.name)
@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_a_single_probe_finds_the_truth(scenario: Scenario, loss: float) -> None:
    result = score(scenario, [in_sim(scenario, loss, seed=0)])
    assert result.wrong == []
    assert result.counts["inconclusive"] == 0


def test_behind_blocked_udp_nothing_is_claimed() -> None:
    found = in_sim(SCENARIOS["udp-blocked"], 0.0, seed=0)
    assert not found.reachable
    assert (found.mapping.value, found.filtering.value, found.nat.value) == (None, None, None)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: f"{loss:.0%}")
def test_fifty_seeds_of_every_scenario_give_no_wrong_answer(loss: float) -> None:
    total = Score()
    for scenario in MEASURABLE:
        for seed in range(SEEDS):
            total.add(scenario, in_sim(scenario, loss, seed))
    assert total.wrong == []
    assert total.inconclusive_share <= allowed_inconclusive(loss), total
