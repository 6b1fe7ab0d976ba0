"""How candidates and pairs look on a screen."""

from __future__ import annotations

from collections.abc import Iterable

import click

from natkit.cli.render import table
from natkit.ice.candidate import Candidate
from natkit.ice.priority import parts
from natkit.ice.report import Json
from natkit.machine import Seconds

_WIDTHS = (10, 6, 34, 17, 10, 0, 0)


def _row(*cells: str) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=False))
    return "  ".join(padded).rstrip()


CANDIDATE_HEADERS = _row("", "type", "address", "priority", "interface", "from", "took")


def candidate_row(
    at: Seconds, candidate: Candidate, interface: str, server: str, took: Seconds | None
) -> str:
    """Return a line for a candidate of ours: when it was found, what it is, who told it."""
    priority = " | ".join(map(str, parts(candidate.priority)))
    address = f"{candidate.host}:{candidate.port}"
    if candidate.is_tcp:
        address = f"{address} TCP {candidate.tcptype}"
    time = "" if took is None else f"{took * 1000:.1f} ms"
    return _row(_time(at), str(candidate.type), address, priority, interface, server, time)


def without_candidate(at: Seconds, server: str, base: object | None, why: str) -> str:
    """Return a line for a server that has brought no candidate, asked from `base`."""
    asked = server if base is None else f"{server} from {base}"
    return _row(_time(at), click.style("–", fg="yellow"), f"{asked}: {why}")


def _time(at: Seconds) -> str:
    return f"{at * 1000:7.1f} ms"


_PAIR_HEADERS = ("", "ours", "peer's", "state", "answered", "round trip")
_COLOURS = {"succeeded": "green", "failed": "red", "in-progress": "yellow"}


def pairs_table(report: Json, most: int | None = None) -> str:
    """Return the pairs of a natkit.ice/1 report, the selected ones first, then by priority: how
    many of the checks that we sent were answered, and how fast.

    Args: most: rows to show; None: all.
    """
    selected = report["selected"]
    pairs = sorted(report["pairs"], key=lambda it: (it["number"] not in selected, -it["priority"]))
    rows = [_pair_row(pair, pair["number"] in selected) for pair in pairs[:most]]
    more = len(pairs) - len(rows)
    text = table(_PAIR_HEADERS, rows)
    return f"{text}\n  and {more} more" if more > 0 else text


def _pair_row(pair: Json, selected: bool) -> tuple[str, ...]:
    state = pair["state"]
    trip = pair["round_trip_ms"]
    return (
        click.style("→", fg="green", bold=True) if selected else "",
        _seen_as(pair),
        pair["remote"],
        click.style(state, fg=_COLOURS.get(state)),
        f"{pair['checks_answered']} of {pair['checks_sent']}",
        "" if trip is None else f"{trip:.1f} ms",
    )


def _seen_as(pair: Json) -> str:
    return str(pair["seen_as"] or pair["local"])


def candidate_lines(report: Json) -> Iterable[str]:
    """Return the lines for our candidates in a natkit.ice/1 report, and for who gave none."""
    yield click.style(CANDIDATE_HEADERS, bold=True)
    for local in report["local"]:
        took = local["round_trip_ms"]
        yield candidate_row(
            local["found_ms"] / 1000,
            Candidate.from_sdp(local["sdp"]),
            local["interface"] or "",
            local["server"] or "",
            None if took is None else took / 1000,
        )
    for inquiry in report["inquiries"]:
        if inquiry["error"] is not None:
            at = (inquiry["asked_ms"] + (inquiry["took_ms"] or 0.0)) / 1000
            yield without_candidate(at, inquiry["server"], inquiry["base"], inquiry["error"])
