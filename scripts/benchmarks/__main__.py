"""Run one benchmark and print its rows: python -m scripts.benchmarks NAME [--rounds N] [--json]."""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from natkit.cli.render import table
from natkit.errors import NatkitError
from scripts.benchmarks import Row

NAMES = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def main() -> None:
    """Parse the command line, measure, print; a module with a `command` does all of it itself."""
    name, *words = sys.argv[1:] or [""]
    if name in NAMES and (command := getattr(_module(name), "command", None)):
        command(words)
        return
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--rounds", type=int, help="repeat it this often, where it repeats itself")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    measure = _module(arguments.name).rows
    options = {} if arguments.rounds is None else {"rounds": arguments.rounds}
    if not inspect.signature(measure).parameters.keys() >= options.keys():
        parser.error(f"{arguments.name} has no rounds")
    if arguments.rounds is not None and arguments.rounds < 1:
        parser.error("--rounds is at least 1")
    rows = _measured(measure, **options)
    if arguments.json:
        found = {"bench": arguments.name, "rows": [row.as_json() for row in rows]}
        print(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        print(as_table(rows))


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"scripts.benchmarks.{name}")


def _measured(measure: Callable[..., list[Row]], **options: int) -> list[Row]:
    """Return the rows, or end the program with the reason why there are none."""
    try:
        return measure(**options)
    except NatkitError as error:
        print(f"scripts/bench: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def as_table(rows: list[Row]) -> str:
    """Return the rows for people."""
    headers = ("", "natkit", "peer", "ratio", "against")
    return table(headers, [_cells(row) for row in rows])


def _cells(row: Row) -> tuple[str, ...]:
    ours, peer = (f"{value:.3g} {row.unit}".rstrip() for value in (row.ours, row.peer))
    ratio = "–" if row.ratio is None else f"{row.ratio:.2f}"
    return (row.name, ours, peer, ratio, row.peer_name)


if __name__ == "__main__":
    main()
