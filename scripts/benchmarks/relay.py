"""Relayed packets: coturn, natkit's planes, and what the kernel does with the same packets where
nobody relays, all in one run, in turns, over network namespaces. As root, on Linux.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from natkit.cli.render import table
from natkit.errors import NatkitError
from scripts.benchmarks import _relay_acceptance, _relay_matrix
from scripts.benchmarks._relay_cells import Run, Store, machine
from scripts.benchmarks._relay_contenders import others_busy, versions
from scripts.benchmarks._relay_page import judged, on_terminal, refreshed
from scripts.benchmarks._relay_plot import picture

KEPT = Path("docs/performance.json")
PICTURE = Path("pictures/relay.svg")
"""Seen from the page."""

PRESETS: dict[str, tuple[Callable[[Run, Callable[[], None], float], None], float]] = {
    "quick": (_relay_matrix.quick, 2),
    "full": (_relay_matrix.full, 12),
    "acceptance": (_relay_acceptance.acceptance, 4),
}
"""What is measured, and minutes after which it ends whatever is missing."""


def command(words: list[str]) -> None:
    """Do what the command line says."""
    asked = _parser().parse_args(words)
    keeps = asked.file or (None if asked.preset == "quick" else KEPT)
    store = Store(keeps)
    try:
        if asked.write is None:
            _measured(store, asked.preset, resume=asked.resume)
    except NatkitError as error:
        print(f"scripts/bench: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    if asked.write is not None:
        _write(asked.write, store.runs)
    elif asked.json:
        print(store.as_json(), end="")
    else:
        print(on_terminal(store.runs[asked.preset]))
        if asked.preset == "acceptance":
            print(f"\n{table(*judged(store.runs[asked.preset]))}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench relay", description=__doc__)
    chosen = parser.add_mutually_exclusive_group()
    for preset, text in (
        ("quick", "everybody for a moment: does it work? Its numbers say nothing"),
        ("full", "everything, 12 minutes; the default"),
        ("acceptance", "what is asked of natkit, more often, 4 minutes"),
    ):
        chosen.add_argument(
            f"--{preset}", dest="preset", action="store_const", const=preset, help=text
        )
    chosen.add_argument(
        "--write", type=Path, metavar="PAGE", help="measure nothing: write the page from --file"
    )
    parser.add_argument(
        "--file", type=Path, help=f"where cells are kept as they come; default: {KEPT}, or nowhere"
    )
    parser.add_argument("--resume", action="store_true", help="measure what is missing in --file")
    parser.add_argument("--json", action="store_true", help="print what is in --file")
    parser.set_defaults(preset="full")
    return parser


def _measured(store: Store, preset: str, *, resume: bool) -> None:
    measure, minutes = PRESETS[preset]
    until = time.monotonic() + 60 * minutes
    run = store.runs.get(preset) if resume else None
    if run is None:
        run = Run(machine(), versions())
        store.runs[preset] = run
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    run.busy.append(others_busy())
    try:
        measure(run, store.save, until)
    except _relay_matrix.OutOfTime:
        print(f"scripts/bench: {minutes:g} minutes are over; --resume goes on", file=sys.stderr)
    run.busy.append(others_busy())
    store.save()


def _write(page: Path, runs: dict[str, Run]) -> None:
    """Put the numbers into a document, and the picture beside it."""
    text = refreshed(page.read_text(encoding="utf-8"), runs)
    page.write_text(text, encoding="utf-8")
    drawn = picture(runs.get("full", Run()))
    (page.parent / PICTURE).write_text(drawn, encoding="utf-8")
