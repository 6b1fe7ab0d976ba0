"""Every kind of NAT against every other: who reaches whom directly, who needs a relay."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from typing import Any

from natkit.errors import UsageError
from natkit.lab import netns, sim
from natkit.lab.call import CallFailed, Outcome, call
from natkit.lab.homes import HOMES, two_homes
from natkit.lab.topology import World


@dataclass(frozen=True, slots=True)
class Cell:
    """How the call between a home of kind `a` and one of kind `b` went.

    Attributes:
        path:       "direct", "relayed" or "failed".
        connect_ms: from both having all candidates until both could send; None: failed.
        reports:    of both sides, as `Connection.report`.
    """

    a: str
    b: str
    path: str
    connect_ms: int | None
    reports: tuple[dict[str, Any], dict[str, Any]] = field(repr=False)


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
    """

    kinds: Sequence[str] = tuple(HOMES)
    backend: str = "sim"
    loss: float = 0.0
    seed: int = 0

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The cells, row by row."""
        return list(combinations_with_replacement(self.kinds, 2))

    def cells(self) -> Iterator[Cell]:
        """Play one cell after the other. Raises: Unsupported: this machine cannot."""
        if self.backend == "netns":
            netns.prepare()
        for a, b in self.pairs:
            yield self._play(a, b)

    def cell(self, a: str, b: str) -> Cell:
        """Play one cell. Raises: Unsupported: this machine cannot."""
        if self.backend == "netns":
            netns.prepare()
        return self._play(a, b)

    def _play(self, a: str, b: str) -> Cell:
        topology = two_homes(HOMES[a], HOMES[b], loss=self.loss)
        run: Callable[..., Outcome] = sim.run if self.backend == "sim" else netns.run

        async def main(world: World) -> Outcome:
            return await call(world, seed=self.seed)

        try:
            found = run(topology, main, seed=self.seed)
        except CallFailed as failed:
            return Cell(a, b, "failed", None, failed.reports)
        return Cell(a, b, found.path, round(found.seconds * 1000), found.reports)
