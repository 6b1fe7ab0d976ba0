"""How often somebody may do something: token buckets, with the time handed in."""

from __future__ import annotations

from collections import OrderedDict


class Bucket:
    """So many a second, and so many at once.

    Args: rate: a second.  burst: at once.
    """

    __slots__ = ("_burst", "_full_at", "_rate")

    def __init__(self, rate: float, burst: int) -> None:
        self._rate, self._burst = rate, burst
        self._full_at = 0.0

    def take(self, *, now: float) -> bool:
        """Take one; False: there is none."""
        full_at = max(self._full_at, now) + 1 / self._rate
        # Compared with a little slack: now is a sum of floats, and so is full_at.
        if (full_at - now) * self._rate > self._burst + 1e-6:
            return False
        self._full_at = full_at
        return True

    def wait(self, *, now: float) -> float:
        """Return how many seconds until there is one."""
        return max(0.0, self._full_at - now - (self._burst - 1) / self._rate)


class Buckets:
    """A bucket for each of many, of whom the least recent are forgotten.

    Args: most: how many are remembered.
    """

    def __init__(self, rate: float, burst: int, *, most: int = 10_000) -> None:
        self._rate, self._burst, self._most = rate, burst, most
        self._of: OrderedDict[str, Bucket] = OrderedDict()

    def of(self, name: str) -> Bucket:
        """Return somebody's bucket."""
        bucket = self._of.pop(name, None) or Bucket(self._rate, self._burst)
        self._of[name] = bucket
        if len(self._of) > self._most:
            self._of.popitem(last=False)
        return bucket
