"""How results look on a terminal: tables, and progress that never reaches a pipe."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import click


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return `rows` under `headers`, laid out in columns as wide as the terminal allows.

    A pipe gets the full width, so that nothing is cut for the next program.
    """
    # Here because rich costs 40 ms, and most commands print no table.
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    layout = Table(*headers, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for row in rows:
        layout.add_row(*(Text.from_ansi(cell) for cell in row))
    context = click.get_current_context(silent=True)
    colour = sys.stdout.isatty() if context is None or context.color is None else context.color
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000
    console = Console(width=width, force_terminal=colour, no_color=not colour, highlight=False)
    with console.capture() as capture:
        console.print(layout)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


MOST_COLUMNS = 100
"""Wider lines of prose are hard to read."""


def screen_width() -> int:
    """Return how many columns to fill: the terminal's, or COLUMNS, up to `MOST_COLUMNS`."""
    return min(MOST_COLUMNS, shutil.get_terminal_size((MOST_COLUMNS, 24)).columns)


class Progress:
    """One line on stderr that says what goes on, while stderr is a terminal; else nothing.

    Use it as a context manager; the line is gone when the block ends.
    """

    def __init__(self) -> None:
        # Python makes None of a descriptor 2 that is closed.
        self._live = sys.stderr is not None and sys.stderr.isatty()
        self._shown = False

    def say(self, text: str) -> None:
        """Replace the line by `text`, cut to the terminal's width."""
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r\x1b[K{text[:width]}")
            sys.stderr.flush()
            self._shown = True

    def clear(self) -> None:
        """Take the line away, before other output."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.clear()
