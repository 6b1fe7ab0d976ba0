"""Every scenario on real Linux NATs, with coturn and with natkit's own server: never wrong.

The runs of one test share a world, so each but the first comes after an earlier run from the same
host, whose mappings and filters are still there.
"""

from __future__ import annotations

import pytest

from natkit.lab.scenarios import Scenario
from tests.campaign import (
    LOSSES,
    MEASURABLE,
    Serve,
    allowed_inconclusive,
    in_netns,
    score,
    serve_coturn,
    serve_natkit,
)

RUNS = 3

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("root", "nft", "ip"),
    pytest.mark.timeout(120),
]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: f"{loss:.0%}")
@pytest.mark.parametrize("scenario", MEASURABLE, ids=lambda s: s.name)
@pytest.mark.parametrize(
    "serve",
    [
        pytest.param(serve_natkit, id="natkit"),
        pytest.param(
            serve_coturn,
            id="coturn",
            marks=[pytest.mark.interop, pytest.mark.needs("turnserver")],
        ),
    ],
)
def test_real_nats_are_told_apart(serve: Serve, scenario: Scenario, loss: float) -> None:
    result = score(scenario, in_netns(scenario, loss, RUNS, serve))
    assert result.wrong == []
    if allowed_inconclusive(loss) == 0.0:
        assert result.counts["inconclusive"] == 0, result
