"""Run one benchmark and print its rows: python -m scripts.benchmarks NAME [--json]."""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path

from natkit.cli.render import table
from scripts.benchmarks import Row

NAMES = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    rows: list[Row] = importlib.import_module(f"scripts.benchmarks.{arguments.name}").rows()
    if arguments.json:
        found = {"bench": arguments.name, "rows": [row.as_json() for row in rows]}
        print(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        print(as_table(rows))


def as_table(rows: list[Row]) -> str:
    """Return the rows for people."""
    headers = ("", "natkit", "peer", "ratio", "against")
    return table(headers, [_cells(row) for row in rows])


def _cells(row: Row) -> tuple[str, ...]:
    ours, peer = f"{row.ours:.3g} {row.unit}", f"{row.peer:.3g} {row.unit}"
    return (row.name, ours, peer, f"{row.ratio:.2f}", row.peer_name)


if __name__ == "__main__":
    main()
