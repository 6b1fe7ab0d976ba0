"""The relay benchmark's picture: bars, as SVG that is read on light pages and on dark ones."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from scripts.benchmarks._relay_cells import LIMIT, Run
from scripts.benchmarks._relay_contenders import NAMES
from scripts.benchmarks._relay_matrix import RATE, USUAL
from scripts.benchmarks._relay_page import UNKNOWN, short

NAMES_WIDTH, PANEL, BAR, LINE, TOP = 130, 250, 150, 20, 34
"""Pixels: of the names' column, of a panel, of its longest bar, from line to line, of the heads."""

_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.natkit { fill: #1f7a5c } .peer { fill: #a35200 } .floor { fill: #6e7781 }
@media (prefers-color-scheme: dark) {
text { fill: #d0d7de }
.natkit { fill: #3fb68b } .peer { fill: #e08a3c } .floor { fill: #8b949e } }
"""


class Panel(NamedTuple):
    """A column of bars. Attributes: what: one of MEASURED."""

    title: str
    what: str
    rate: int


PANELS = (
    Panel("packets/s at the limit", "delivered", LIMIT),
    Panel(f"server's µs a packet at {RATE:,}/s", "server_us", RATE),
    Panel(f"p99 latency, µs, at {RATE:,}/s", "p99_us", RATE),
)


def picture(run: Run) -> str:
    """Return the picture of USUAL's calls, size and direction."""
    width, height = NAMES_WIDTH + PANEL * len(PANELS), TOP + LINE * len(NAMES)
    parts = [_text(0, TOP + LINE * row + 13, name) for row, name in enumerate(NAMES)]
    for column, panel in enumerate(PANELS):
        left = NAMES_WIDTH + PANEL * column
        parts.append(_text(left, 16, panel.title))
        load = USUAL._replace(rate=panel.rate)
        values = [run.median(name, load, panel.what) for name in NAMES]
        parts += _bars(left, values)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}">'
    )
    return "\n".join([head, f"<style>{_STYLE}</style>", *parts, "</svg>\n"])


def _bars(left: int, values: Sequence[float | None]) -> list[str]:
    parts = []
    most = max((value for value in values if value), default=1.0)
    for row, (name, value) in enumerate(zip(NAMES, values, strict=True)):
        y, width = TOP + LINE * row, round(BAR * (value or 0) / most)
        kind = "natkit" if "natkit" in name else "peer" if "coturn" in name else "floor"
        parts.append(
            f'<rect class="{kind}" x="{left}" y="{y}" width="{width}" height="16" rx="2"/>'
        )
        parts.append(_text(left + width + 5, y + 13, UNKNOWN if value is None else short(value)))
    return parts


def _text(x: int, y: int, text: str) -> str:
    return f'<text x="{x}" y="{y}">{escape(text)}</text>'
