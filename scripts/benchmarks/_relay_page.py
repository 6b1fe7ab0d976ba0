"""The relay benchmark's numbers as tables, on a terminal and in a document.

A document marks where numbers go:

    <!-- measured: usual limit -->
    (a table, replaced by this module)
    <!-- end -->

with `machine`, or `machine of asked`; `usual RATE`; `across DIMENSION WHAT RATE`; `matrix WHAT
RATE`; or `asked`. RATE is a number or `limit`, DIMENSION a field of Load, WHAT one of MEASURED.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

from natkit.cli.render import table
from scripts.benchmarks._relay_acceptance import verdicts
from scripts.benchmarks._relay_cells import LIMIT, Load, Run
from scripts.benchmarks._relay_contenders import NAMES, SERVERS
from scripts.benchmarks._relay_matrix import CALLS, DIRECTIONS, RATE, SIZES, USUAL

VALUES: dict[str, Sequence[int] | Sequence[str]] = {
    "calls": sorted(CALLS),
    "size": sorted(SIZES),
    "direction": DIRECTIONS,
}
COLUMNS = {
    "delivered": "packets/s",
    "lost": "lost %",
    "server_us": "server's CPU, µs",
    "machine_us": "machine's CPU, µs",
    "sender_us": "sender's CPU, µs",
    "p50_us": "p50, µs",
    "p99_us": "p99, µs",
    "rss": "RSS, MB",
    "pss": "PSS, MB",
}
UNKNOWN = "–"
_GOOD = {True: "yes", False: "no", None: UNKNOWN}

Table = tuple[Sequence[str], list[list[str]]]


def usual(run: Run, load: Load) -> Table:
    """Return all that was measured of a load: a line for each contender."""
    there = [name for name in NAMES if run.of(name, load)]
    rows = [[name, *(_said(run, name, load, what) for what in COLUMNS)] for name in there]
    return ["", *COLUMNS.values()], rows


def across(run: Run, dimension: str, what: str, rate: int) -> Table:
    """Return a line for each contender, with what changes where one thing about the load does."""
    usual: dict[str, Any] = USUAL._replace(rate=rate)._asdict()
    loads = [Load(**{**usual, dimension: value}) for value in VALUES[dimension]]
    heads = [f"{value:,}" if isinstance(value, int) else value for value in VALUES[dimension]]
    rows = [[name, *(_said(run, name, load, what) for load in loads)] for name in _names(what)]
    return [f"{COLUMNS[what]}, by {dimension}", *heads], rows


def matrix(run: Run, what: str, rate: int) -> Table:
    """Return a line for each load, and a column for each contender."""
    names = _names(what)
    loads = [Load(*rest, rate) for rest in product(sorted(CALLS), sorted(SIZES), DIRECTIONS)]
    rows = [
        [
            f"{load.calls:,} calls, {load.size:,} bytes, {load.direction}",
            *(_said(run, name, load, what) for name in names),
        ]
        for load in loads
    ]
    return [COLUMNS[what], *names], rows


def judged(run: Run) -> Table:
    """Return what was asked, and what was found."""
    rows = [[one.what, one.asked, one.found, _GOOD[one.good]] for one in verdicts(run)]
    return ["", "asked", "found", "reached"], rows


def _names(what: str) -> list[str]:
    return [name for name in NAMES if name in SERVERS or what not in ("server_us", "rss", "pss")]


def _said(run: Run, name: str, load: Load, what: str) -> str:
    value = run.median(name, load, what)
    if value is None:
        return UNKNOWN
    if what in ("rss", "pss"):
        value /= 1000
    return short(value)


def short(value: float) -> str:
    """Return three digits that count, and no power of ten."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:.3g}"


def on_terminal(run: Run) -> str:
    """Return what was measured with the first load's calls and size, for people."""
    loads = dict.fromkeys(cell.load for cell in run.cells)
    first = next(iter(loads), USUAL)
    shown = [load for load in loads if (load.calls, load.size) == (first.calls, first.size)]
    return "\n\n".join([*(f"{load}\n{table(*usual(run, load))}" for load in shown), machine(run)])


def machine(run: Run) -> str:
    """Return in a sentence what a run was made on."""
    m, busy = run.machine, " and ".join(f"{share:.0f} %" for share in run.busy)
    programs = dict.fromkeys(one for name in run.versions.values() for one in name.split(", "))
    return (
        f"{m['date']}: {m['cpus']} CPUs ({m['model']}), Linux {m['kernel']}, Python {m['python']}, "
        f"{', '.join(programs)}; other work took {busy} of the CPUs "
        "before and after."
    )


MARK = re.compile(r"(?P<mark><!-- measured: (?P<what>[^\n]*) -->\n).*?(?P<end><!-- end -->)", re.S)


def refreshed(document: str, runs: dict[str, Run]) -> str:
    """Return `document` with every table made anew. Args: runs: "full" and "acceptance"."""
    return MARK.sub(
        lambda found: found["mark"] + _part(found["what"], runs) + found["end"], document
    )


def _part(words: str, runs: dict[str, Run]) -> str:
    what, *more = words.split()
    run = runs.get("acceptance" if words in ("asked", "machine of asked") else "full", Run())
    if not run.cells:
        return "Not measured.\n"
    if what == "machine":
        return f"{machine(run)}\n"
    rate = _rate(more[-1]) if more else RATE
    parts: dict[str, Callable[[], Table]] = {
        "usual": lambda: usual(run, USUAL._replace(rate=rate)),
        "across": lambda: across(run, more[0], more[1], rate),
        "matrix": lambda: matrix(run, more[0], rate),
        "asked": lambda: judged(run),
    }
    heads, rows = parts[what]()
    lines = [heads, ["---"] + ["--:"] * (len(heads) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _rate(word: str) -> int:
    return LIMIT if word == "limit" else int(word)
