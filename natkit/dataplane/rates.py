"""How many bytes a second an allocation, and all allocations of a user, may carry each way."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple, Protocol

from natkit.machine import Instant, Seconds

BURST: Seconds = 1.0
"""How much of its rate anybody may send at once: key frames come in bursts."""


class Limit(Protocol):
    """Says whether so much may pass."""

    def take(self, size: int, now: Instant) -> bool:
        """Let `size` bytes pass; False: that is too much now."""

    def owe(self, size: int, now: Instant) -> Seconds:
        """Let `size` bytes of a stream pass, come what may; returns how long none may follow."""


class BothWays(NamedTuple):
    """A limit on what goes to peers, and one on what comes from them."""

    up: Limit
    down: Limit


class UserLimits(Protocol):
    """The limits that all allocations of a user share, wherever they are."""

    def of(self, user: str, rate: int) -> BothWays:
        """Return the limits of a user, who has one more allocation now.

        Args: rate: bytes a second each way, from now on, for all of the user's allocations.
        """

    def leave(self, user: str, now: Instant) -> None:
        """Take that the user has one allocation less."""


class Bucket:
    """A rate limit: `rate` bytes a second, and as much at once as BURST brings."""

    __slots__ = ("_at", "_left", "rate")

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._left = rate * BURST
        self._at: Instant = 0.0

    def take(self, size: int, now: Instant) -> bool:
        """Take `size` bytes out; False: there is not so much left."""
        self._fill(now)
        if size > self._left:
            return False
        self._left -= size
        return True

    def owe(self, size: int, now: Instant) -> Seconds:
        """Take `size` bytes out, also where there is not so much left."""
        self._fill(now)
        self._left -= size
        return max(0.0, -self._left / self.rate)

    def _fill(self, now: Instant) -> None:
        self._left = min(self.rate * BURST, self._left + (now - self._at) * self.rate)
        self._at = now


class Narrower:
    """Two limits at once. What the second refuses has used up the first a little, as a packet that
    a router drops further on has.
    """

    __slots__ = ("_one", "_other")

    def __init__(self, one: Limit, other: Limit) -> None:
        self._one = one
        self._other = other

    def take(self, size: int, now: Instant) -> bool:
        """Let `size` bytes pass both."""
        return self._one.take(size, now) and self._other.take(size, now)

    def owe(self, size: int, now: Instant) -> Seconds:
        """Let `size` bytes of a stream pass; the longer wait counts."""
        return max(self._one.owe(size, now), self._other.owe(size, now))


class LocalUserLimits:
    """The buckets of the users of one process.

    Rule of the class: a bucket outlives its user's last allocation by BURST, when it is full again;
    otherwise who allocates anew would have a full one at once.
    """

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[Bucket, Bucket]] = {}
        self._allocations: Counter[str] = Counter()
        self._left: dict[str, Instant] = {}  # in order of leaving

    def of(self, user: str, rate: int) -> BothWays:
        """Return the limits of a user, who has one more allocation now."""
        self._allocations[user] += 1
        buckets = self._buckets.get(user)
        if buckets is None:
            buckets = self._buckets[user] = Bucket(rate), Bucket(rate)
        for bucket in buckets:
            bucket.rate = rate
        return BothWays(*buckets)

    def leave(self, user: str, now: Instant) -> None:
        """Take that the user has one allocation less."""
        self._allocations[user] -= 1
        self._left.pop(user, None)
        self._left[user] = now
        while self._left:
            gone, left_at = next(iter(self._left.items()))
            if now < left_at + BURST:
                break
            del self._left[gone]
            if not self._allocations[gone]:
                del self._allocations[gone], self._buckets[gone]
