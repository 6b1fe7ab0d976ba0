"""`natkit doctor`: what this machine can and cannot do, and how to mend it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence

import click

from natkit.aio.network import SocketNetwork
from natkit.cli.common import FAILURE, FINE, Command, emit_json, json_option
from natkit.lab.netns.capability import capability
from natkit.tools.doctor import Finding, examine

AREAS = {
    "probe": "natkit probe",
    "serve": "natkit stun serve",
    "relay": "natkit turn serve",
    "lab": "natkit lab --backend netns",
}
"""What each area of findings is for. The simulated lab needs nothing that could be missing."""


@click.command(cls=Command)
@json_option
async def doctor(as_json: bool) -> int:
    """Say what this machine can and cannot do, with a mend for each thing missing.

    Nothing leaves the machine but a question to its name server. Ends with 1 when `natkit probe`
    cannot work here: without UDP over IPv4, or without any route. What it can do without, a name
    server (`--server IP`) among it, is shown as missing and ends with 0.
    """
    findings = (*await examine(SocketNetwork()), *await asyncio.to_thread(_lab))
    if as_json:
        emit_json(as_document(findings))
    else:
        click.echo(as_text(findings))
    return FINE if _ready("probe", findings) else FAILURE


def _lab() -> tuple[Finding, ...]:
    return tuple(
        Finding("lab", need.name, need.met, need.why, need.mend) for need in capability().needs
    )


def _ready(area: str, findings: Sequence[Finding]) -> bool:
    return all(f.able or not f.needed for f in findings if f.area == area)


def as_document(findings: Sequence[Finding]) -> dict[str, object]:
    """Return the findings' JSON form."""
    return {
        "schema": "natkit.doctor/1",
        "ready": {area: _ready(area, findings) for area in AREAS},
        "findings": [dataclasses.asdict(finding) for finding in findings],
    }


def as_text(findings: Sequence[Finding]) -> str:
    """Return the findings for people: an area a paragraph, what is missing with its mend."""
    width = max(len(finding.name) for finding in findings)
    paragraphs = []
    for area, command in AREAS.items():
        verdict = "ready" if _ready(area, findings) else "not ready"
        lines = [click.style(f"{command}: {verdict}", bold=True)]
        for finding in findings:
            if finding.area == area:
                lines += _lines(finding, width)
        paragraphs.append("\n".join(lines))
    return "\n\n".join(paragraphs)


def _lines(finding: Finding, width: int) -> list[str]:
    mark = click.style("ok", fg="green") if finding.able else click.style("no", fg="yellow")
    lines = [f"  {mark}  {finding.name:<{width}}  {finding.found}"]
    if not finding.able and finding.mend is not None:
        lines.append(f"      {'':<{width}}  {finding.mend}")
    return lines
