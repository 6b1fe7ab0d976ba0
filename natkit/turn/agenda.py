"""What ends when: instants by item, soonest first, and nothing left behind of what is dropped.

Rule of the file: to put an item off costs no heap operation, since every Refresh does just that.
The heap may name an item too early; `due` then puts it back where it belongs.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterable, Iterator
from typing import Generic, TypeVar

from natkit.machine import Instant

T = TypeVar("T", bound=Hashable)

_SLACK = 64
"""Stale heap entries that are not worth a clean-up: of 124 bytes each, they are 8 kB."""


class Agenda(Generic[T]):
    """Items with the instant at which each is due."""

    def __init__(self) -> None:
        self._due: dict[T, Instant] = {}
        self._heap: list[tuple[Instant, int, T]] = []
        self._queued: dict[T, Instant] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._due)

    def set(self, item: T, at: Instant) -> None:
        """Make `item` due at `at`, whenever it was before."""
        self._due[item] = at
        if at < self._queued.get(item, float("inf")):
            self._push(item, at)

    def drop(self, item: T) -> None:
        """Forget `item`. Harmless for one that is not there."""
        if self._due.pop(item, None) is not None:
            del self._queued[item]
            self._clean()

    def due(self, *, now: Instant) -> Iterable[T]:
        """Take out, one by one, what is due at `now`."""
        # Nothing is, nearly always, and every message asks.
        return self._taken_out(now) if self._heap and self._heap[0][0] <= now else ()

    def _taken_out(self, now: Instant) -> Iterator[T]:
        while self._heap and self._heap[0][0] <= now:
            at, _, item = heapq.heappop(self._heap)
            if self._queued.get(item) != at:
                continue  # dropped, or queued again for sooner
            if self._due[item] > now:
                self._push(item, self._due[item])
                continue
            del self._due[item], self._queued[item]
            yield item

    def next(self) -> Instant | None:
        """Return when to look again; early, where the first item was put off."""
        while self._heap and self._queued.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def _push(self, item: T, at: Instant) -> None:
        self._queued[item] = at
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, item))
        self._clean()

    def _clean(self) -> None:
        """Once half of the heap is stale, build it anew: a constant cost for each drop."""
        if len(self._heap) > 2 * len(self._queued) + _SLACK:
            self._heap = [entry for entry in self._heap if self._queued.get(entry[2]) == entry[0]]
            heapq.heapify(self._heap)
