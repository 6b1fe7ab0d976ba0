"""How much one user and all together may have at once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what the machine keeps; beyond them a client gets 486 (its own) or 508 (all).

    Attributes:
        allocations_per_user: None: as many as there are.
        allocations:          in total; None: as many as there are relay ports.
        permissions:          on one allocation: who needs more peers than that is scanning.
        channels:             on one allocation.
        connections:          TCP connections with peers on one allocation (RFC 6062).
        unauthorized_per_second: 401 and 438 answers to one IP over UDP and DTLS: source addresses
                              can be forged there, and what is sent may hit a victim.
    """

    allocations_per_user: int | None = None
    allocations: int | None = None
    permissions: int = 256
    channels: int = 256
    connections: int = 64
    unauthorized_per_second: int = 20


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
