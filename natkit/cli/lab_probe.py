"""Run the probe in a lab, and hold what it found against what was built."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from natkit.cli.lab_text import truth_as_json
from natkit.cli.probe_text import render
from natkit.cli.render import Progress, screen_width
from natkit.lab import netns, sim
from natkit.lab.scenarios import Scenario, Truth
from natkit.lab.servers import STUN_SERVERS, stun_servers
from natkit.lab.topology import PortPolicy, World
from natkit.nat.discovery import Findings
from natkit.nat.layers import NatLayers
from natkit.network import Family
from natkit.tools.probe import Options, ProbeReport, probe
from natkit.tools.report import to_json


@dataclass(frozen=True, slots=True)
class LabRun:
    """Which world to build, and what to measure in it besides the usual.

    Attributes:
        backend: "sim" or "netns".
    """

    scenario: Scenario
    backend: str
    seed: int
    hairpin: bool = False
    lifetime: bool = False
    fragments: bool = False

    def probe(self) -> ProbeReport:
        """Build the world, and probe it from the scenario's client.

        Raises: Unsupported: this machine cannot, or the backend cannot express the scenario.
        """
        options = Options(
            STUN_SERVERS,
            hairpin=self.hairpin,
            lifetime=self.lifetime,
            fragments=self.fragments,
        )
        with Progress() as progress:

            async def main(world: World) -> ProbeReport:
                async with stun_servers(world):
                    return await probe(
                        world.network(self.scenario.client),
                        options,
                        randomness=Random(self.seed).randbytes,
                        tell=progress.say,
                    )

            return self._run(main)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the scenario asks for and the backend leaves out, a sentence each."""
        return netns.left_out(self.scenario.topology) if self.backend == "netns" else ()

    def _run(self, main: Callable[[World], Any]) -> ProbeReport:
        report: ProbeReport
        if self.backend == "sim":
            report = sim.run(self.scenario.topology, main, seed=self.seed)
        else:
            netns.prepare()
            report = netns.run(self.scenario.topology, main, seed=self.seed)
        return report


def disagreements(report: ProbeReport, truth: Truth) -> tuple[str, ...]:
    """Return a sentence for each wrong answer of the probe; an open question is not wrong."""
    findings = report.findings(Family.IPV4)
    if findings is None:
        return ("the probe found no IPv4 at all",)
    return (*_wrong(findings, truth), *_wrong_layers(report.layers.value, truth))


def _wrong_layers(found: NatLayers | None, truth: Truth) -> Iterator[str]:
    if found is None:
        return
    highest = truth.layers if found.at_most is None else found.at_most
    if not found.at_least <= truth.layers <= highest:
        yield f"layers of NAT: the probe says {found}, the lab built {truth.layers}"


def _wrong(findings: Findings, truth: Truth) -> Iterator[str]:
    allocation = findings.port_allocation.value
    preserves = None if truth.ports is None else truth.ports is PortPolicy.PRESERVING
    found: tuple[tuple[str, object, object], ...] = (
        ("UDP", findings.reachable, truth.udp),
        ("NAT", findings.nat.value, truth.nat),
        ("mapping", findings.mapping.value, truth.mapping),
        ("filtering", findings.filtering.value, truth.filtering),
        ("port preservation", findings.port_preservation.value, preserves),
        ("step of the ports", None if allocation is None else allocation.step, truth.step),
    )
    for what, value, built in found:
        if value is not None and value != built:
            yield f"{what}: the probe says {_plain(value)}, the lab built {_plain(built)}"


def _plain(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return getattr(value, "value", value)


def as_document(run: LabRun, report: ProbeReport, wrong: tuple[str, ...]) -> dict[str, Any]:
    """Return the JSON form: schema natkit.lab.probe/1, with a natkit.probe/1 inside."""
    return {
        "schema": "natkit.lab.probe/1",
        "scenario": run.scenario.name,
        "backend": run.backend,
        "seed": run.seed,
        "truth": truth_as_json(run.scenario.truth),
        "disagreements": list(wrong),
        "notes": list(run.notes),
        "probe": to_json(report),
    }


def as_text(run: LabRun, report: ProbeReport, wrong: tuple[str, ...], *, verbose: bool) -> str:
    """Return the screen: what was built, what the probe says, and whether it is right."""
    built = f"{run.scenario.name} ({run.backend}): {run.scenario.title}"
    judgement = [f"wrong - {words}" for words in wrong]
    judgement = judgement or ["The probe contradicts nothing of what the lab has built."]
    notes = [f"note: {note}" for note in run.notes]
    return "\n".join(
        [built, "", render(report, verbose=verbose, width=screen_width()), "", *notes, *judgement]
    )
