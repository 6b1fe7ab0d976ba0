"""A comparison for the terminal: a table, and what it means."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator

import click

from calto_demo.compare.result import Comparison, Leg
from calto_demo.compare.words import died_words
from natkit import table

NOTHING = "–"


def as_text(found: Comparison, width: int) -> str:
    """Return what to print, lines of prose at most `width` columns wide."""
    rows = [(name, told(found.direct), told(found.relay)) for name, told in ROWS]
    rows.append(("relay carried", "nothing", carried(found)))
    rows.append(("costs", "nothing", cost(found)))
    lines = [table(("", "direct", "through the relay"), rows), ""]
    for leg, name in ((found.direct, "Direct"), (found.relay, "Relay")):
        lines += _wrapped(f"{name}: {leg.explanation}", width)
        if leg.path == "failed" and leg.drops is not None:
            for sentence in died_words(leg.drops):
                lines += _wrapped(f"  {sentence}", width)
    lines += ["", *_wrapped(found.verdict, width)]
    lines.append(click.style(f"({found.where}; {found.seconds:g} s of audio each)", dim=True))
    return "\n".join(lines)


def _wrapped(text: str, width: int) -> list[str]:
    indent = " " * (len(text) - len(text.lstrip()))
    return textwrap.wrap(text, width, subsequent_indent=f"{indent}  ", break_on_hyphens=False)


def milliseconds(seconds: float | None) -> str:
    """Return a length of time in words."""
    return NOTHING if seconds is None else f"{1000 * seconds:.1f} ms"


def percent(share: float | None) -> str:
    """Return a part of a whole in words."""
    return NOTHING if share is None else f"{100 * share:.1f} %"


def kilobits(bitrate: float | None) -> str:
    """Return a bitrate in words."""
    return NOTHING if bitrate is None else f"{bitrate / 1000:.1f} kb/s"


def size(count: float) -> str:
    """Return a number of bytes in words."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count:.0f} B"


def carried(found: Comparison) -> str:
    """Return what the relay carried, in words."""
    return f"{size(found.relay.carried)} in {found.seconds:g} s"


def cost(found: Comparison) -> str:
    """Return what the relay costs, in words."""
    hourly = f"{size(found.hourly_bytes)} an hour"
    if found.hourly_cost is None:
        return f"{hourly} of traffic"
    return f"{hourly}, {found.hourly_cost:.4f} at {found.price:g} a GB"


_COLOURS = {"direct": "green", "relayed": "yellow", "failed": "red"}


def _path(leg: Leg) -> str:
    return click.style(leg.path, fg=_COLOURS[leg.path])


def _phase(name: str) -> Callable[[Leg], str]:
    def told(leg: Leg) -> str:
        took = next((phase.took for phase in leg.phases if phase.name == name), None)
        return milliseconds(took)

    return told


def _phases() -> Iterator[tuple[str, Callable[[Leg], str]]]:
    for name in ("gathering", "signalling", "ICE", "DTLS", "first audio"):
        yield f"  {name}", _phase(name)


ROWS: tuple[tuple[str, Callable[[Leg], str]], ...] = (
    ("path", _path),
    ("set-up", lambda leg: milliseconds(leg.setup)),
    *_phases(),
    ("round trip", lambda leg: milliseconds(leg.rtt)),
    ("jitter", lambda leg: milliseconds(leg.jitter)),
    ("loss", lambda leg: percent(leg.loss)),
    ("bitrate", lambda leg: kilobits(leg.bitrate)),
    ("tone heard", lambda leg: percent(leg.heard)),
    ("from", lambda leg: NOTHING if leg.pair is None else leg.pair[0]),
    ("to", lambda leg: NOTHING if leg.pair is None else leg.pair[1]),
)
"""What is told of each call."""
