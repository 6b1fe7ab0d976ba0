"""Drawings for the page: SVG that takes its colours from the page, for light and dark."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import NamedTuple

from calto_demo.compare.result import Leg, Sample

WIDTH = 400
"""Of a drawing, in its own units: about the pixels of a phone."""

_LEFT, _RIGHT, _TOP, _HEIGHT, _BOTTOM = 46, 12, 10, 96, 22

LEGS = ("direct", "relay")
"""Their classes in the page's style sheet."""


class Quantity(NamedTuple):
    """Something that is drawn over time.

    Attributes: of: its value in `unit`; None: not known then.
    """

    title: str
    unit: str
    of: Callable[[Sample], float | None]


QUANTITIES = (
    Quantity("Round trip", "ms", lambda it: None if it.rtt is None else 1000 * it.rtt),
    Quantity("Jitter", "ms", lambda it: None if it.jitter is None else 1000 * it.jitter),
    Quantity("Loss", "%", lambda it: None if it.loss is None else 100 * it.loss),
    Quantity("Bitrate", "kb/s", lambda it: it.bitrate / 1000),
)


def _drawing(label: str, height: float, parts: Sequence[str]) -> str:
    inside = "\n".join(parts)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(label)}">\n'
        f"{inside}\n</svg>"
    )


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(text)}</text>'


def lines(quantity: Quantity, legs: Sequence[Leg]) -> str:
    """Draw a quantity of both calls over the time they talked."""
    drawn = [[(it.at, quantity.of(it)) for it in leg.samples] for leg in legs]
    known = [[(at, value) for at, value in one if value is not None] for one in drawn]
    latest = max((at for one in known for at, _ in one), default=1.0) or 1.0
    top = _round_up(max((value for one in known for _, value in one), default=0.0))
    across, up = (WIDTH - _LEFT - _RIGHT) / latest, _HEIGHT / top
    floor = _TOP + _HEIGHT
    parts = [
        f'<path class="axis" d="M{_LEFT} {_TOP}V{floor}H{WIDTH - _RIGHT}"/>',
        _text(_LEFT - 5, _TOP + 9, f"{top:g}", "end"),
        _text(_LEFT - 5, floor, "0", "end"),
        _text(WIDTH - _RIGHT, floor + 16, f"{latest:.1f} s", "end"),
        _text(_LEFT, floor + 16, quantity.unit),
    ]
    for name, points in zip(LEGS, known, strict=True):
        places = [f"{_LEFT + at * across:.1f},{floor - value * up:.1f}" for at, value in points]
        if places:
            parts.append(f'<polyline class="line {name}" points="{" ".join(places)}"/>')
    label = f"{quantity.title} of both calls over time, 0 to {top:g} {quantity.unit}"
    return _drawing(label, floor + _BOTTOM, parts)


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 5, 10, 20 … that is no less."""
    step = 1.0
    while True:
        for factor in (1, 2, 5):
            if value <= factor * step:
                return factor * step
        step *= 10


def timeline(legs: Sequence[Leg]) -> str:
    """Draw the phases of both set-ups against time."""
    end = max((phase.start + phase.took for leg in legs for phase in leg.phases), default=1.0)
    parts, y = list[str](), 4.0
    left, right = 92, 64
    for name, leg in zip(LEGS, legs, strict=True):
        if not leg.phases:
            continue
        parts.append(_text(0, y + 11, name, "strong"))
        y += 17
        for phase in leg.phases:
            x = left + phase.start / end * (WIDTH - left - right)
            wide = max(1.5, phase.took / end * (WIDTH - left - right))
            bar = f'x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="12"'
            parts.append(_text(8, y + 11, phase.name))
            parts.append(f'<rect class="{name}" rx="2" {bar}/>')
            parts.append(_text(x + wide + 5, y + 11, f"{1000 * phase.took:.0f} ms", "soft"))
            y += 17
        y += 6
    return _drawing("The phases of both set-ups against time", max(y, 20), parts)


def way(leg: Leg) -> str:
    """Draw which way the call went, or that it went none."""
    parts = list(_way(leg))
    ends = "none" if leg.pair is None else f"from {leg.pair[0]} to {leg.pair[1]}"
    return _drawing(f"The way of the call: {leg.path}, {ends}", 104, parts)


def _way(leg: Leg) -> Iterator[str]:
    def box(x: float, y: float, name: str) -> Iterator[str]:
        yield f'<rect class="box" x="{x}" y="{y}" width="64" height="28" rx="5"/>'
        yield _text(x + 32, y + 19, name, "middle")

    match leg.path:
        case "relayed":
            yield '<path class="line relay" d="M66 72L168 36M232 36L334 72"/>'
            yield from box(168, 10, "relay")
        case "direct":
            yield '<path class="line direct" d="M66 68H334"/>'
        case _:
            yield '<path class="line failed" d="M66 68H334"/>'
            yield '<path class="cross" d="M190 58l20 20m0-20l-20 20"/>'
    yield from box(2, 54, "alice")
    yield from box(334, 54, "bob")
    if leg.pair is not None:
        yield _text(2, 99, leg.pair[0], "small")
        yield _text(398, 99, leg.pair[1], "small end")
