"""How much one user and all together may have at once."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from natkit.machine import Instant


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what the machine keeps; beyond them a client gets 486 (its own) or 508 (all).

    Attributes:
        allocations_per_user: None: as many as there are.
        allocations:          in total; None: as many as there are relay ports.
        permissions:          on one allocation: who needs more peers than that is scanning.
        channels:             on one allocation.
        connections:          TCP connections with peers on one allocation (RFC 6062).
        unauthorized_per_second: answers over UDP to one IP that has not authenticated, with
                              bursts of as many: its source address may be forged, and then they
                              hit a victim. A hundred of 100 bytes are no flood, and enough for all
                              who share a NAT. None: no bound.
    """

    allocations_per_user: int | None = None
    allocations: int | None = None
    permissions: int = 256
    channels: int = 256
    connections: int = 64
    unauthorized_per_second: int | None = 100


class Ledger(Protocol):
    """Counts the allocations there are. Behind it may be one worker's count or that of all."""

    def take(self, user: str, limits: Limits) -> int | None:
        """Count one more for `user`. Returns: the error code, 486 or 508, where `limits` forbid
        it, and counts nothing; None: counted.
        """

    def give(self, user: str) -> None:
        """Count one less."""


class LocalLedger:
    """The count of one machine."""

    def __init__(self) -> None:
        self.users: Counter[str] = Counter()

    def take(self, user: str, limits: Limits) -> int | None:
        own, all_ = limits.allocations_per_user, limits.allocations
        if own is not None and self.users[user] >= own:
            return 486
        if all_ is not None and self.users.total() >= all_:
            return 508
        self.users[user] += 1
        return None

    def give(self, user: str) -> None:
        self.users[user] -= 1
        if not self.users[user]:
            del self.users[user]


_SLOTS = 4096
"""Counters of a Throttle: 64 kB in all, however many sources there are. Who shares one with a
victim of a flood gets fewer answers while it lasts."""


class Throttle:
    """Bounds how much a source is answered, in fixed memory: a leaky bucket a slot.

    Args:
        salt: keeps others from finding out who shares a slot.
    """

    def __init__(self, salt: bytes) -> None:
        self._salt = salt
        self._level = array("d", bytes(8 * _SLOTS))
        self._seen = array("d", bytes(8 * _SLOTS))

    def admits(self, ip: str, per_second: int | None, *, now: Instant) -> bool:
        """Count one answer to `ip`. Returns: false where it has had enough."""
        if per_second is None:
            return True
        digest = hashlib.blake2b(ip.encode(), key=self._salt, digest_size=4).digest()
        slot = int.from_bytes(digest, "big") % _SLOTS
        leaked = (now - self._seen[slot]) * per_second
        level = max(0.0, self._level[slot] - leaked)
        self._seen[slot] = now
        self._level[slot] = level
        if level + 1 > per_second:
            return False
        self._level[slot] = level + 1
        return True
