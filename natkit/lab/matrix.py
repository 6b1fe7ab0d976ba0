"""Every kind of NAT against every other: who reaches whom directly, who needs a relay."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from typing import Any

from natkit.errors import UsageError
from natkit.lab import netns, sim
from natkit.lab.aioice_call import aioice_call, on_lab_hosts
from natkit.lab.call import CallFailed, Outcome, call
from natkit.lab.homes import HOMES, two_homes
from natkit.lab.topology import World

_AT_ONCE = 6
"""Calls in namespaces: each waits most of its time, for a relay above all, and takes a fifth of a
second of processor."""


@dataclass(frozen=True, slots=True)
class Cell:
    """How the call between a home of kind `a` and one of kind `b` went.

    Attributes:
        path:       "direct", "relayed" or "failed".
        connect_ms: from both having all candidates until both could send; None: failed.
        error:      why it failed, in words; None: it did not.
        reports:    of both sides, as `Connection.report`; empty: the engine makes none.
    """

    a: str
    b: str
    path: str
    connect_ms: int | None
    error: str | None = None
    reports: tuple[dict[str, Any], ...] = field(default=(), repr=False)


def kinds_named(text: str | None) -> tuple[str, ...]:
    """Return the kinds in "a,b,..."; None: all. Raises: UsageError: one is unknown or twice."""
    if text is None:
        return tuple(HOMES)
    kinds = tuple(word.strip() for word in text.split(","))
    for kind in kinds:
        if kind not in HOMES:
            known = ", ".join(HOMES)
            raise UsageError(f"no kind of NAT is called {kind!r}", hint=f"Known: {known}")
        if kinds.count(kind) > 1:
            raise UsageError(f"--kinds names {kind} twice", hint="Name it once")
    return kinds


@dataclass(frozen=True, slots=True)
class Matrix:
    """What to play.

    Attributes:
        kinds:   names of `HOMES`; each is played against itself and all others once.
        backend: "sim" or "netns".
        loss:    0 .. 1, on each side's way to the internet, each way.
        engine:  whose ICE both sides run: "natkit" or "aioice".
    """

    kinds: Sequence[str] = tuple(HOMES)
    backend: str = "sim"
    loss: float = 0.0
    seed: int = 0
    engine: str = "natkit"

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The cells, row by row."""
        return list(combinations_with_replacement(self.kinds, 2))

    def cells(self) -> Iterator[Cell]:
        """Play all calls, and yield them in the order of `pairs`.

        Raises: Unsupported: this machine cannot, or the engine is not installed.
        """
        with on_lab_hosts() if self.engine == "aioice" else contextlib.nullcontext():
            if self.backend == "sim":
                yield from map(self._play, self.pairs)
                return
            netns.prepare()  # before the first thread
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                yield from pool.map(self._play, self.pairs)

    def cell(self, a: str, b: str) -> Cell:
        """Play one call. Raises: Unsupported: this machine cannot."""
        if self.backend == "netns":
            netns.prepare()
        return self._play((a, b))

    def _play(self, pair: tuple[str, str]) -> Cell:
        a, b = pair
        topology = two_homes(HOMES[a], HOMES[b], loss=self.loss)
        run: Callable[..., Outcome] = sim.run if self.backend == "sim" else netns.run
        try:
            found = run(topology, self._call, seed=self.seed)
        except CallFailed as failed:
            return Cell(a, b, "failed", None, str(failed), failed.reports)
        except ConnectionError as error:
            return Cell(a, b, "failed", None, str(error))
        return Cell(a, b, found.path, round(found.seconds * 1000), None, found.reports)

    def _call(self, world: World) -> Awaitable[Outcome]:
        return aioice_call(world) if self.engine == "aioice" else call(world, seed=self.seed)
