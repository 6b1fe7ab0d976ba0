"""The loads of the relay benchmark, and in which order contenders meet them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from natkit.cli.render import Progress
from natkit.machine import Seconds
from scripts.benchmarks._relay_cells import LIMIT, Cell, Load, Run
from scripts.benchmarks._relay_contenders import FLOORS, NAMES, Contender
from scripts.benchmarks._relay_generator import Generator, generator
from scripts.benchmarks._relay_ground import ground

CALLS = (20, 1, 200, 1000)
SIZES = (172, 100, 1200)
DIRECTIONS = ("both", "up", "down")
RATE = 20_000
RATES = (RATE, LIMIT)

USUAL = Load(CALLS[0], SIZES[0], DIRECTIONS[0], RATE)
REPEATS = 5
"""Of USUAL's calls and size; all else is measured once."""

SHORT: Seconds = 0.7
"""Of a cell of the full matrix."""

QUICK_CALLS, QUICK_RATE = 3, 2000
QUICK: Seconds = 0.3


@dataclass
class Field:
    """All contenders, and the load for them.

    Args:
        run:   what is measured is added to.
        kept:  called after each cell.
        until: no cell begins later, on the monotonic clock.
    """

    contenders: dict[str, Contender]
    generator: Generator
    run: Run
    kept: Callable[[], None]
    until: float
    progress: Progress

    def measure(self, name: str, load: Load, duration: Seconds, *, searching: bool = False) -> Cell:
        """Measure one cell. Raises: OutOfTime."""
        if time.monotonic() > self.until:
            raise OutOfTime
        self.progress.say(f"{len(self.run.cells)} cells; {name}: {load}")
        cell = self.contenders[name].measure(self.generator, load, duration)
        (self.run.search if searching else self.run.cells).append(cell)
        self.kept()
        return cell

    def round(
        self, names: Sequence[str], load: Load, duration: Seconds, *, number: int = 0
    ) -> None:
        """Measure contenders in turn, every other time backwards, where it is not done."""
        for name in names if number % 2 == 0 else reversed(names):
            if len(self.run.of(name, load)) <= number:
                self.measure(name, load, duration)


class OutOfTime(Exception):
    """The time that the whole may take is over."""


@contextlib.contextmanager
def field(
    run: Run, kept: Callable[[], None], until: float, most: int, names: Sequence[str] = NAMES
) -> Iterator[Field]:
    """Set everybody up. Args: most: calls that a load has at most."""
    with contextlib.ExitStack() as stack:
        here = stack.enter_context(ground())
        load = stack.enter_context(generator(here.client_socket, here.peer_socket))
        contenders = {name: stack.enter_context(Contender(name, here, most)) for name in names}
        progress = stack.enter_context(Progress())
        yield Field(contenders, load, run, kept, until, progress)


def quick(run: Run, kept: Callable[[], None], until: float) -> None:
    """Measure everybody for a moment."""
    with field(run, kept, until, QUICK_CALLS) as here:
        for rate in (QUICK_RATE, LIMIT):
            here.round(NAMES, Load(QUICK_CALLS, 172, "both", rate), QUICK)


def full(run: Run, kept: Callable[[], None], until: float) -> None:
    """Measure everything; what is there already is left out."""
    for calls in CALLS:
        loads = [Load(calls, *rest) for rest in product(SIZES, DIRECTIONS, RATES)]
        # Nobody keeps anything for a call where nobody relays.
        names = [name for name in NAMES if calls == USUAL.calls or name not in FLOORS]
        if all(run.of(name, load) for name in names for load in loads) and calls != USUAL.calls:
            continue
        with field(run, kept, until, calls, names) as here:
            for number in range(REPEATS):
                for load in loads:
                    if number == 0 or (load.calls, load.size) == (USUAL.calls, USUAL.size):
                        here.round(names, load, SHORT, number=number)
