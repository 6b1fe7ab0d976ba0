"""What `natkit lab matrix` shows: the grid as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from natkit.lab.matrix import Cell, Matrix

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
        "cells": [asdict(cell) for cell in cells],
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
    return f"{len(cells)} pairs: " + ", ".join(count) + "."
