"""Quotas and bandwidth that hold over all workers of a server: a table in memory that they share.

    entry: key of a user | allocations on each worker | what is left of the user's rate, each way

Rule of the file: the table is touched only under the lock, which the kernel gives back when a
worker dies; a worker writes no count but its own, so what a dead one had can be cleared.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import secrets
import sys
import time
from collections.abc import Iterator

from natkit.dataplane.rates import BURST, BothWays
from natkit.errors import Unsupported
from natkit.machine import Instant, Seconds
from natkit.turn.quota import Limits

_SETS, _WAYS = 4096, 16
"""65,536 entries: more than there are relay ports on an address. Sixteen ways, so that even with
as many users a full set is one in a million."""

_ENTRIES = _SETS * _WAYS
_SALT_SIZE = 16
_WAYS_OF_TRAFFIC = 2

LEASE: Seconds = 0.02
"""How much of a user's rate a worker takes out at once: fifty looks at the table a second."""

RETRY: Seconds = 0.01
"""For how long a worker does not look again whether a user may send more."""

_FULL = float("inf")


def make_table(workers: int) -> int:
    """Return the descriptor of a table for so many workers; the caller closes it.

    Raises: Unsupported: this is not Linux.
    """
    if sys.platform != "linux":
        raise Unsupported("workers need Linux")
    descriptor = os.memfd_create("natkit-turn-accounts")
    os.ftruncate(descriptor, _size(workers))
    os.pwrite(descriptor, secrets.token_bytes(_SALT_SIZE), 0)
    return descriptor


def _size(workers: int) -> int:
    return _SALT_SIZE + _ENTRIES * (8 + 16 * _WAYS_OF_TRAFFIC + 4 * workers) + 4 * workers


def _lock(descriptor: int, locked: bool) -> None:
    if sys.platform != "win32":
        import fcntl  # Windows has none, and this module is imported there by who lists all

        fcntl.lockf(descriptor, fcntl.LOCK_EX if locked else fcntl.LOCK_UN)


class SharedAccounts:
    """One worker's view of the table: a Ledger and the UserLimits of a data plane.

    Args:
        descriptor: of `make_table`; stays the caller's, and open.
        worker:     whose counts are written.
        workers:    how many there are.
    """

    def __init__(self, descriptor: int, worker: int, workers: int) -> None:
        self._descriptor = descriptor
        self._worker = worker
        self._workers = workers
        self._map = mmap.mmap(descriptor, _size(workers))
        self._salt = self._map[:_SALT_SIZE]
        view = memoryview(self._map)[_SALT_SIZE:]
        keys, rest = view[: 8 * _ENTRIES], view[8 * _ENTRIES :]
        self._keys = keys.cast("Q")
        self._left = rest[: 16 * _WAYS_OF_TRAFFIC * _ENTRIES].cast("d")
        counts = rest[16 * _WAYS_OF_TRAFFIC * _ENTRIES :].cast("I")
        self._counts, self._totals = counts[:-workers], counts[-workers:]

    def take(self, user: str, limits: Limits) -> int | None:
        """Count one more allocation for `user`: see `Ledger`."""
        with self._locked():
            entry = self._entry(user)
            if entry is None:
                return 508
            own, all_ = limits.allocations_per_user, limits.allocations
            if own is not None and sum(self._of_entry(entry)) >= own:
                return 486
            if all_ is not None and sum(self._totals) >= all_:
                return 508
            self._count(entry, 1)
            return None

    def give(self, user: str) -> None:
        """Count one less."""
        with self._locked():
            entry = self._entry(user)
            if entry is not None:
                self._count(entry, -1)

    def of(self, user: str, rate: int) -> BothWays:
        """Return the limits of a user whose allocation was counted: see `UserLimits`."""
        return BothWays(_Lease(self, user, 0, rate), _Lease(self, user, 1, rate))

    def leave(self, user: str, now: Instant) -> None:
        """Nothing: the entry is another's once it is full again and counts nothing."""

    def clear(self, worker: int) -> None:
        """Forget what a worker had that has died."""
        with self._locked():
            nothing = memoryview(bytes(4 * _ENTRIES)).cast("I")
            self._counts[worker * _ENTRIES : (worker + 1) * _ENTRIES] = nothing
            self._totals[worker] = 0

    def lease(self, user: str, way: int, wanted: float, rate: int, now: Instant) -> float:
        """Take out up to `wanted` bytes of what a user may send at `rate`; return how many."""
        with self._locked():
            left = self._filled(user, way, rate, now)
            granted = max(0.0, min(left, wanted))
            self._leave_over(user, way, left - granted, now)
        return granted

    def owe(self, user: str, way: int, size: float, rate: int, now: Instant) -> Seconds:
        """Take out `size` bytes, come what may; return how long none may follow."""
        with self._locked():
            left = self._filled(user, way, rate, now) - size
            self._leave_over(user, way, left, now)
        return max(0.0, -left / rate)

    def _filled(self, user: str, way: int, rate: int, now: Instant) -> float:
        """Return what there is for a user by now; less than nothing where it owes."""
        entry = self._entry(user)
        if entry is None:  # there is no room to keep account of it: a moment's worth
            return rate * LEASE
        place = 2 * (entry * _WAYS_OF_TRAFFIC + way)
        left, at = self._left[place], self._left[place + 1]
        return min(rate * BURST, left + max(0.0, now - at) * rate)

    def _leave_over(self, user: str, way: int, left: float, now: Instant) -> None:
        entry = self._entry(user)
        if entry is not None:
            place = 2 * (entry * _WAYS_OF_TRAFFIC + way)
            self._left[place], self._left[place + 1] = left, now

    def close(self) -> None:
        """Let go of the memory; nothing else may be called afterwards."""
        for view in (self._keys, self._left, self._counts, self._totals):
            view.release()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        _lock(self._descriptor, True)
        try:
            yield
        finally:
            _lock(self._descriptor, False)

    def _entry(self, user: str) -> int | None:
        """Return the entry of a user, which may be a new one; None: there is no room."""
        digest = hashlib.blake2b(user.encode(), key=self._salt, digest_size=16).digest()
        key = int.from_bytes(digest[:8], "big") | 1
        first = int.from_bytes(digest[8:], "big") % _SETS * _WAYS
        ways = range(first, first + _WAYS)
        for entry in ways:
            if self._keys[entry] == key:
                return entry
        unused = (entry for entry in ways if not self._keys[entry])
        free = next(unused, None)
        if free is None:
            free = next((entry for entry in ways if self._is_free(entry)), None)
        if free is not None:
            self._keys[free] = key
            for way in range(_WAYS_OF_TRAFFIC):
                place = 2 * (free * _WAYS_OF_TRAFFIC + way)
                self._left[place], self._left[place + 1] = _FULL, 0.0
        return free

    def _is_free(self, entry: int) -> bool:
        """True where nobody's allocations are counted, and what was sent is made up for."""
        last = max(self._left[4 * entry + 1], self._left[4 * entry + 3])
        return not any(self._of_entry(entry)) and time.monotonic() >= last + BURST

    def _count(self, entry: int, change: int) -> None:
        self._counts[self._worker * _ENTRIES + entry] += change
        self._totals[self._worker] += change

    def _of_entry(self, entry: int) -> Iterator[int]:
        return (self._counts[worker * _ENTRIES + entry] for worker in range(self._workers))


class _Lease:
    """What one worker has taken out of a user's rate, in one direction."""

    __slots__ = ("_accounts", "_again_at", "_left", "_rate", "_user", "_way")

    def __init__(self, accounts: SharedAccounts, user: str, way: int, rate: int) -> None:
        self._accounts = accounts
        self._user = user
        self._way = way
        self._rate = rate
        self._left = 0.0
        self._again_at: Instant = 0.0

    def take(self, size: int, now: Instant) -> bool:
        """Let `size` bytes pass; False: the user sends too much, here or elsewhere."""
        if size > self._left and now >= self._again_at:
            self._lease(size, now)
            if size > self._left:
                self._again_at = now + RETRY
        if size > self._left:
            return False
        self._left -= size
        return True

    def owe(self, size: int, now: Instant) -> Seconds:
        """Let `size` bytes of a stream pass. What all of the user's owe is waited for by each."""
        return self._accounts.owe(self._user, self._way, size, self._rate, now)

    def _lease(self, size: int, now: Instant) -> None:
        wanted = max(size - self._left, self._rate * LEASE)
        self._left += self._accounts.lease(self._user, self._way, wanted, self._rate, now)
