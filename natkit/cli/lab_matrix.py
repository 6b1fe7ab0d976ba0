"""What `natkit lab matrix` shows: the grid as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from natkit.cli.common import FAILURE, FINE, emit_json
from natkit.cli.path_text import as_text as explanation_text
from natkit.lab.homes import HOMES
from natkit.lab.matrix import Cell, Matrix, kinds_named
from natkit.tools.path_explanation import explain_path
from natkit.tools.path_side import KnownNat
from natkit.tools.path_values import PathExplanation

NAMES = ("A", "B")
"""What the two sides of a cell are called."""

_LETTERS = {"direct": "D", "relayed": "R", "failed": "FAIL"}


def grid(cells: Sequence[Cell]) -> tuple[list[str], dict[tuple[str, str], Cell]]:
    """Return the kinds in order, and the cells by their two kinds in either order."""
    kinds = list(dict.fromkeys(cell.a for cell in cells))
    return kinds, {pair: c for c in cells for pair in ((c.a, c.b), (c.b, c.a))}


def as_document(played: Matrix, cells: Sequence[Cell]) -> dict[str, Any]:
    """Return the JSON form: docs/schema/matrix-1.json."""
    return {
        "schema": "natkit.matrix/1",
        "engine": played.engine,
        "backend": played.backend,
        "loss": played.loss,
        "seed": played.seed,
        "cells": [_cell_document(cell) for cell in cells],
    }


def _cell_document(cell: Cell) -> dict[str, Any]:
    return {
        "a": cell.a,
        "b": cell.b,
        "path": cell.path,
        "connect_ms": cell.connect_ms,
        "error": cell.error,
        "explanation": explained(cell).as_json() if cell.reports else None,
    }


def as_text(cells: Sequence[Cell]) -> str:
    """Return the grid's lower half in 80 columns: columns are numbered as the rows are."""
    kinds, found = grid(cells)
    wide = max(len(kind) for kind in kinds) + 4
    numbers = range(1, len(kinds) + 1)
    lines = [" " * wide + "".join(f"{n:>5}" for n in numbers)]
    for n, a in zip(numbers, kinds, strict=True):
        row = "".join(f"{_short(found[a, b]):>5}" for b in kinds[:n])
        lines.append(f"{n:>2} {a:<{wide - 3}}{row}")
    lines += ["", "D direct, R relayed; milliseconds until connected.", summary(cells)]
    lines += [f"{c.a} and {c.b} failed: {c.error}" for c in cells if c.path == "failed"]
    return "\n".join(lines)


def _short(cell: Cell) -> str:
    time = "" if cell.connect_ms is None else str(cell.connect_ms)
    return _LETTERS[cell.path] + time


def how(played: Matrix) -> str:
    """Return in words who called whom over what."""
    place = {"sim": "in the simulator", "netns": "over real Linux NATs"}[played.backend]
    lost = f"{played.loss * 100:g} % of packets lost on each side, each way"
    return f"{played.engine}'s ICE on both sides, {place}, {lost}, seed {played.seed}."


def summary(cells: Sequence[Cell]) -> str:
    """Return how many pairs took which path."""
    count = [f"{sum(c.path == path for c in cells)} {path}" for path in _LETTERS]
    return f"{len(cells)} pair{'' if len(cells) == 1 else 's'}: " + ", ".join(count) + "."


def explained(cell: Cell) -> PathExplanation:
    """Explain the path of a call whose NATs are known, since they were built: a is A, b is B."""
    ours, theirs = cell.reports
    a, b = (KnownNat(HOMES[kind].behaviour, len(HOMES[kind].nats)) for kind in (cell.a, cell.b))
    return explain_path(ours, local_nat=a, remote_nat=b, remote_report=theirs, names=NAMES)


def show_explained(played: Matrix, *, as_json: bool) -> int:
    """Play the call between the two kinds of `played`, explain it, and return the exit code."""
    a, b = (kinds_named(kind)[0] for kind in played.kinds)
    cell = played.cell(a, b)
    explanation = explained(cell)
    if as_json:
        emit_json(explanation.as_json())
    else:
        click.echo(f"A: {a}, B: {b}\n\n{explanation_text(explanation, NAMES)}")
    return FAILURE if cell.path == "failed" else FINE
