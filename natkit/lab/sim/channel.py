"""One direction of a link: when, how often, and whether a packet comes out at the other end."""

from __future__ import annotations

from random import Random

from natkit.lab.topology import Link
from natkit.machine import Instant, Seconds

QUEUE_LIMIT: Seconds = 0.25
"""How long a packet may wait for a link with a rate; a full queue drops what comes later."""


class Channel:
    """One direction of a link, with random numbers of its own.

    Each property draws only where it is switched on, so that loss on one link changes nothing on
    another.
    """

    def __init__(self, link: Link, rng: Random) -> None:
        self._link = link
        self._random = rng.random
        self._even = not (link.jitter or link.loss or link.reorder or link.duplicate or link.rate)
        self._free_at: Instant = 0.0

    def arrivals(self, size: int, *, now: Instant) -> tuple[Instant, ...]:
        """Return when a packet of `size` bytes sent `now` arrives: never, once or twice."""
        link = self._link
        if self._even:
            return (now + link.latency,)
        if link.loss and self._random() < link.loss:
            return ()
        sent = self._sent(size, now)
        if sent is None:
            return ()
        first = self._arrival(sent)
        if link.duplicate and self._random() < link.duplicate:
            return (first, self._arrival(sent))
        return (first,)

    def _sent(self, size: int, now: Instant) -> Instant | None:
        if self._link.rate is None:
            return now
        starts = max(now, self._free_at)
        if starts - now > QUEUE_LIMIT:
            return None
        self._free_at = starts + size * 8 / self._link.rate
        return self._free_at

    def _arrival(self, sent: Instant) -> Instant:
        link = self._link
        at = sent + link.latency
        if link.jitter:
            at += link.jitter * self._random()
        if link.reorder and self._random() < link.reorder:
            at += link.latency
        return at
