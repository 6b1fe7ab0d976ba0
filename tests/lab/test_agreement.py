"""The same scenario, simulated and real, probed: right in both, and the same verdict."""

from __future__ import annotations

import functools

import pytest

from natkit.cli.lab_probe import LabRun, disagreements
from natkit.lab.scenarios import SCENARIOS, Scenario
from natkit.network import Family
from natkit.tools.probe import ProbeReport

every_scenario = pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=list(SCENARIOS))


@functools.cache
def _probe(name: str, backend: str) -> ProbeReport:
    return LabRun(SCENARIOS[name], backend, seed=0).probe()


@every_scenario
def test_a_probe_of_the_simulation_contradicts_nothing(scenario: Scenario) -> None:
    assert disagreements(_probe(scenario.name, "sim"), scenario.truth) == ()


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.needs("root", "nft", "ip")
@every_scenario
def test_a_probe_of_real_nats_contradicts_nothing(scenario: Scenario) -> None:
    assert disagreements(_probe(scenario.name, "netns"), scenario.truth) == ()


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.needs("root", "nft", "ip")
@every_scenario
def test_both_worlds_give_the_same_verdict(scenario: Scenario) -> None:
    verdicts = [_verdict(_probe(scenario.name, backend)) for backend in ("sim", "netns")]
    assert verdicts[0] == verdicts[1]


def _verdict(report: ProbeReport) -> dict[str, object]:
    findings = report.findings(Family.IPV4)
    assert findings is not None
    return {
        "direct": report.verdict.direct,
        "summary": report.verdict.summary,
        "rfc3489": report.rfc3489,
        "reachable": findings.reachable,
        "nat": findings.nat.value,
        "mapping": findings.mapping.value,
        "filtering": findings.filtering.value,
        "preserved": findings.port_preservation.value,
        "layers": report.layers.value,
        "families": {family: isinstance(found, str) for family, found in report.families.items()},
    }
