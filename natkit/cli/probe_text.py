"""A probe on one screen: the verdict first, then each property with what stands behind it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

import click

from natkit.nat.behaviour import Measured, Status
from natkit.nat.layers import NatLayers, Trace
from natkit.nat.survey import ServerReport
from natkit.nat.verdict import Reach
from natkit.network import Family
from natkit.tools.conclusion import FamilyReport
from natkit.tools.gateway import MappingService
from natkit.tools.probe import ProbeReport

T = TypeVar("T")

LABEL = 18
"""Width of the first column."""

COLOURS = {
    Reach.EVERYONE: "green",
    Reach.MOST: "green",
    Reach.SOME: "yellow",
    Reach.NONE: "red",
    Reach.UNKNOWN: "yellow",
}

HEADLINES = {
    Reach.EVERYONE: "direct calls: with everyone",
    Reach.MOST: "direct calls: with most peers",
    Reach.SOME: "direct calls: with few peers",
    Reach.NONE: "direct calls: with nobody",
    Reach.UNKNOWN: "direct calls: unknown",
}


def render(report: ProbeReport, *, verbose: bool, width: int) -> str:
    """Return the screen.

    Args:
        verbose: show the single observations behind each property.
        width:   columns to fill; longer lines go on below, under the values.
    """
    return "\n".join(folded for line in _lines(report, verbose) for folded in _fold(line, width))


def _lines(report: ProbeReport, verbose: bool) -> Iterator[Row | Note | str]:
    yield from _verdict(report)
    for family, found in report.families.items():
        yield ""
        yield from _family(family, found, verbose)
    yield ""
    yield from _way_out(report, verbose)
    yield from _improve(report)


def _verdict(report: ProbeReport) -> Iterator[str]:
    verdict = report.verdict
    yield click.style(HEADLINES[verdict.direct], fg=COLOURS[verdict.direct], bold=True)
    yield verdict.summary
    if report.rfc3489 is not None:
        yield click.style(f'(RFC 3489 called this "{report.rfc3489}".)', dim=True)
        if report.rfc3489 == "Symmetric" and verdict.direct is Reach.EVERYONE:
            yield (
                "That name tells of the mapping alone. The filter decides here: it lets anyone in, "
                "so peers need not know in advance which port they will meet."
            )


@dataclass(frozen=True, slots=True)
class Row:
    """A label, a value, and in a fainter voice the reason for it."""

    label: str
    value: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """One observation behind the row above."""

    text: str


def _fold(line: Row | Note | str, width: int) -> Iterator[str]:
    """Return the line, or several no wider than `width`."""
    if isinstance(line, Note):
        bullet, hang = " " * (2 + LABEL) + "· ", " " * (4 + LABEL)
        for part in _wrapped(line.text, width, bullet, hang):
            yield click.style(part, dim=True)
        return
    if isinstance(line, str):
        yield from _wrapped(line, width) if click.unstyle(line) == line else [line]
        return
    head = f"  {line.label:<{LABEL}}{line.value}"
    if not line.reason:
        yield head
        return
    if len(click.unstyle(head)) + 2 + len(line.reason) <= width:
        yield f"{head}  {click.style(line.reason, dim=True)}"
        return
    yield head
    for rest in _wrapped(line.reason, width, " " * (2 + LABEL)):
        yield click.style(rest, dim=True)


def _wrapped(text: str, width: int, indent: str = "", hang: str | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent if hang is None else hang,
        break_on_hyphens=False,
    ) or [""]


def _finding(
    label: str,
    finding: Measured[T],
    verbose: bool,
    word: Callable[[T], str] | None = None,
) -> Iterator[Row | Note]:
    if finding.value is None:
        status = finding.status.value.replace("-", " ")
        colour = "yellow" if finding.status is Status.INCONCLUSIVE else None
        yield Row(label, click.style(status, fg=colour), finding.reason)
    else:
        value = word(finding.value) if word is not None else _plain(finding.value)
        yield Row(label, click.style(value, bold=True), finding.reason)
    if verbose:
        yield from map(Note, finding.evidence)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value.value if isinstance(value, Enum) else value)


def _family(family: Family, found: FamilyReport | str, verbose: bool) -> Iterator[Row | Note | str]:
    name = f"IPv{family.value}"
    if isinstance(found, str):
        yield f"{click.style(name, bold=True)}  none: {found}"
        return
    findings, extras = found.findings, found.extras
    if not findings.reachable:
        yield f"{click.style(name, bold=True)}  no server answered over UDP"
        return
    yield click.style(name, bold=True)
    yield from _finding("NAT", findings.nat, verbose)
    yield from _finding("mapping", findings.mapping, verbose)
    yield from _finding("filtering", findings.filtering, verbose)
    yield from _finding("keeps the port", findings.port_preservation, verbose)
    yield from _finding("new ports", findings.port_allocation, verbose, str)
    yield from _finding("external address", findings.pooling, verbose)
    if findings.rewrites_payload.value:
        yield from _finding("ALG", findings.rewrites_payload, verbose)
    yield from _finding("hairpinning", extras.hairpinning, verbose)
    yield from _finding("binding lifetime", extras.lifetime, verbose, str)
    yield from _finding("fragments", extras.fragments, verbose)


def _way_out(report: ProbeReport, verbose: bool) -> Iterator[Row | Note | str]:
    yield click.style("The way out", bold=True)
    yield from _finding("NATs", report.layers, verbose, _layers)
    yield Row("hops", _hops(report.trace), report.trace.reason or "")
    mapping = report.port_mapping
    yield Row(
        "port mapping",
        ", ".join(
            _service(name, service)
            for name, service in (
                ("PCP", mapping.pcp),
                ("NAT-PMP", mapping.nat_pmp),
                ("UPnP", mapping.upnp),
            )
        ),
        f"asked {mapping.gateway}" if mapping.gateway is not None else "",
    )
    if verbose:
        for service in (mapping.pcp, mapping.nat_pmp, mapping.upnp):
            yield Note(service.present.reason)
    yield from _finding("STUN over TCP", report.fallback.tcp, verbose, _ports)
    yield from _finding("STUN over TLS", report.fallback.tls, verbose, _ports)
    for index, server in enumerate(report.servers):
        yield Row("servers" if index == 0 else "", *_server(server))
    yield Row("took", f"{report.elapsed:.1f} s")


def _layers(found: NatLayers) -> str:
    if found.at_most == found.at_least:
        count = str(found.at_least)
    elif found.at_most is None:
        count = f"at least {found.at_least}"
    else:
        count = f"{found.at_least} to {found.at_most}"
    return f"{count}, carrier-grade among them" if found.carrier_grade else count


def _hops(trace: Trace) -> str:
    hops = " → ".join(hop.reporter or "*" for hop in trace.hops)
    return f"{hops or 'none'}{' → the server' if trace.arrived is not None else ''}"


def _service(name: str, service: MappingService) -> str:
    present = service.present
    if service.silent:
        return f"{name} no answer"
    if present.value is None:
        return f"{name} {present.status.value.replace('-', ' ')}"
    if not present.value:
        return f"{name} no"
    external = service.external_ip.value
    return f"{name} yes ({external})" if external is not None else f"{name} yes"


def _ports(ports: tuple[int, ...]) -> str:
    return f"on port {', '.join(map(str, ports))}" if ports else "no"


def _server(server: ServerReport) -> tuple[str, str]:
    where = f"{server.name} ({server.address})"
    if server.round_trip is None:
        return f"{where} {server.note}", ""
    kind = "RFC 5780" if server.rfc5780 else server.note
    return f"{where} {server.round_trip * 1000:.0f} ms", kind


def _improve(report: ProbeReport) -> Iterator[str]:
    if report.verdict.improve:
        yield ""
        yield click.style("What would improve it", bold=True)
        for hint in report.verdict.improve:
            yield f"- {hint}"
