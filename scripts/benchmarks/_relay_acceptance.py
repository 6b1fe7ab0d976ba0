"""What is asked of natkit's planes beside coturn and the kernel: measured, and judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import NamedTuple

from natkit.machine import Seconds
from scripts.benchmarks._relay_cells import LIMIT, Cell, Run
from scripts.benchmarks._relay_contenders import (
    ASYNCIO,
    COTURN,
    COTURN_ONE,
    DIRECT,
    FORWARDING,
    KERNEL,
    UVLOOP,
)
from scripts.benchmarks._relay_matrix import DIRECTIONS, RATE, RATES, USUAL, Field, field

PEERS = (COTURN_ONE, COTURN)
LOSES = 0.1
"""Percent of packets lost, from which on a server counts as losing some."""
STEP = 1.2
TRIES = 3
REPEATS = 7
LONG: Seconds = 0.9
"""Of a cell."""


def acceptance(run: Run, kept: Callable[[], None], until: float) -> None:
    """Measure what is asked; what is there already is left out."""
    with field(run, kept, until, USUAL.calls) as here:
        for name in PEERS:
            if name not in run.onset and (rate := _onset(here, name)) is not None:
                run.onset[name] = rate
        for number in range(REPEATS):
            for name, rate in run.onset.items():
                here.round((name, KERNEL), USUAL._replace(rate=rate), LONG, number=number)
            for direction in DIRECTIONS:
                load = USUAL._replace(direction=direction, rate=LIMIT)
                here.round((KERNEL, FORWARDING, DIRECT), load, LONG, number=number)
            for rate in RATES:
                load = USUAL._replace(rate=rate)
                here.round((*PEERS, ASYNCIO, UVLOOP), load, LONG, number=number)


def _onset(here: Field, name: str) -> int | None:
    """Return the least rate at which a server loses packets more often than not.

    None: it loses none of all that the generator can send.
    """
    rate = RATE
    while True:
        rate = round(rate * STEP)
        load = USUAL._replace(rate=rate)
        cells = [here.measure(name, load, LONG, searching=True)]
        if cells[0].lost > LOSES or not _was_offered(cells[0]):
            cells += [here.measure(name, load, LONG, searching=True) for _ in range(TRIES - 1)]
        if not any(map(_was_offered, cells)):
            return None
        if sum(cell.lost > LOSES for cell in cells) * 2 > TRIES:
            return rate


def _was_offered(cell: Cell) -> bool:
    """Tell whether about as much was sent as was meant to be."""
    return cell.offered > 0.9 * cell.load.rate


class Verdict(NamedTuple):
    """What was asked, and what was found. Attributes: good: None: it was not measured."""

    what: str
    asked: str
    found: str
    good: bool | None


def verdicts(run: Run) -> Iterator[Verdict]:
    """Judge a run of `acceptance`."""
    for peer in PEERS:
        yield from _at_onset(run, peer)
    for direction in DIRECTIONS:
        load = USUAL._replace(direction=direction, rate=LIMIT)
        ours, theirs = (run.median(name, load, "delivered") for name in (KERNEL, FORWARDING))
        what = f"{KERNEL}: packets/s at the limit, {direction}, of {FORWARDING}'s"
        yield _judged(what, ours, theirs, 0.85, more=True)
        theirs, ours = (run.median(name, load, "sender_us") for name in (KERNEL, FORWARDING))
        yield _judged(f"{what}, by the sender's CPU", ours, theirs, 0.85, more=True)
    for name, most in ((UVLOOP, 1.0), (ASYNCIO, 1.5)):
        for rate, peer in product(RATES, PEERS):
            load = USUAL._replace(rate=rate)
            what = f"{name}: CPU a packet at {load.pace}, of {peer}'s"
            ours, theirs = (run.median(one, load, "server_us") for one in (name, peer))
            yield _judged(what, ours, theirs, most)


def _at_onset(run: Run, peer: str) -> Iterator[Verdict]:
    rate = run.onset.get(peer)
    if rate is None:
        why = "not measured: nothing was lost of what the generator can send"
        yield Verdict(f"{KERNEL} where {peer} starts to lose", "0 % lost", why, None)
        return
    load = USUAL._replace(rate=rate)
    where = f"{KERNEL} at {rate:,}/s, where {peer} starts to lose"
    lost, theirs = (run.median(name, load, "lost") for name in (KERNEL, peer))
    if lost is not None and theirs is not None:
        found = f"{lost:.2g} % ({peer}: {theirs:.2g} %)"
        yield Verdict(f"{where}: lost", "0 %", found, lost == 0)
    for words, what, most in (
        ("server's CPU a packet", "server_us", 0.01),
        ("p99 latency", "p99_us", 1 / 3),
    ):
        ours, others = (run.median(name, load, what) for name in (KERNEL, peer))
        yield _judged(f"{where}: {words}, of {peer}'s", ours, others, most)


def _judged(
    what: str, ours: float | None, theirs: float | None, bound: float, *, more: bool = False
) -> Verdict:
    asked = f"{'at least' if more else 'at most'} {100 * bound:.3g} %"
    if ours is None or not theirs:
        return Verdict(what, asked, "not measured", None)
    ratio = ours / theirs
    found = f"{100 * ratio:.3g} % ({ours:.3g} of {theirs:.3g})"
    return Verdict(what, asked, found, ratio >= bound if more else ratio <= bound)
