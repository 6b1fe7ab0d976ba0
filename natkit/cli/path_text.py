"""What people see of an explained path: `explain --report`, `lab matrix --explain`, `connect`."""

from __future__ import annotations

import textwrap

from natkit.cli.render import screen_width, table
from natkit.tools.path_entries import Tried
from natkit.tools.path_report import IceReport
from natkit.tools.path_values import Missed, PathExplanation


def as_text(explanation: PathExplanation, names: tuple[str, str]) -> str:
    """Return the paragraph, and the better kinds of path with what stood in their way."""
    text = in_words(explanation)
    rows = [row for missed in explanation.missed for row in _rows(missed, names)]
    if not rows:
        return text
    headers = ("better kind", "side", "cause", "known by", *_COUNTS)
    return f"{text}\n\n{table(headers, rows)}"


def in_words(explanation: PathExplanation) -> str:
    """Return the paragraph, in lines that fit the screen."""
    return textwrap.fill(explanation.paragraph, screen_width(), break_on_hyphens=False)


_COUNTS = ("sent", "answered", "received")
"""Of checks."""


def _rows(missed: Missed, names: tuple[str, str]) -> list[tuple[str, ...]]:
    kind = missed.kind.value if missed.over is None else f"{missed.kind.value} over {missed.over}"
    checks = missed.checks
    counts = (str(checks.sent), str(checks.answered), str(checks.received))
    called = {"local": names[0], "remote": names[1], "both": "both"}
    return [
        (
            "" if later else kind,
            called[fault.side.value],
            fault.cause.value,
            fault.basis.value,
            *(() if later else counts),
        )
        for later, fault in enumerate(missed.faults)
    ]


def pairs_table(report: IceReport) -> str:
    """Return the pairs of a report, the best first."""
    headers = ("", "pair", "from (seen at)", "to", *_COUNTS, "ms")
    return table(headers, [_pair_row(report, pair) for pair in report.pairs])


def _pair_row(report: IceReport, pair: Tried) -> tuple[str, ...]:
    seen_as = pair.seen_as
    seen = "" if seen_as is None or seen_as == pair.local else f" ({seen_as.at})"
    return (
        "selected" if pair is report.selected else pair.state,
        str(pair.number),
        f"{pair.local}{seen}",
        str(pair.remote),
        str(pair.sent),
        str(pair.answered),
        str(pair.received),
        "" if pair.round_trip_ms is None else f"{pair.round_trip_ms:.1f}",
    )
