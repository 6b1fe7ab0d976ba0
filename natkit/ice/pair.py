"""A candidate pair: its state, its place in the order, and all that happened to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from natkit.ice.candidate import Local, Remote
from natkit.ice.priority import pair_priority
from natkit.machine import Instant, Seconds
from natkit.wire import TransportAddress


class PairState(Enum):
    """Where a pair stands (RFC 8445 §6.1.2.6)."""

    FROZEN = "frozen"
    WAITING = "waiting"
    IN_PROGRESS = "in-progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


FROZEN, WAITING, IN_PROGRESS, SUCCEEDED, FAILED = PairState

TRANSITIONS = {
    FROZEN: {WAITING},
    WAITING: {IN_PROGRESS},
    # Back to waiting: the peer checked it (§7.3.1.4), or there was a role conflict (§7.2.5.1).
    IN_PROGRESS: {SUCCEEDED, FAILED, WAITING},
    # A late answer counts; a check from the peer gives a failed pair another chance.
    FAILED: {WAITING, SUCCEEDED},
    # The check that was to nominate it went unanswered, or the peer fell silent there.
    SUCCEEDED: {FAILED},
}
"""Which state may follow which. A waiting pair may also succeed: by an earlier check's answer."""
TRANSITIONS[WAITING].add(SUCCEEDED)

PENDING = frozenset({FROZEN, WAITING, IN_PROGRESS})
"""Nobody knows yet whether such a pair works."""

_MOST_NOTES = 16


class Side(Enum):
    """Whose doing something was."""

    US = "us"
    PEER = "peer"


@dataclass(slots=True)
class History:
    """What happened to a pair.

    Attributes:
        changes:        (when, to which state), from the beginning.
        sent, answered: how often checks were sent (again), and how many were answered well.
        received:       how often the peer checked it.
        received_at:    when it first did; None: it has not.
        answered_at:    when the latest answer came; None: none has.
        round_trip:     seconds, from the latest check that was answered at first try.
        notes:          (when, what) for people: errors, why it was given up.
        nominated_by:   who; None: nobody.
    """

    changes: list[tuple[Instant, PairState]] = field(default_factory=list)
    sent: int = 0
    answered: int = 0
    received: int = 0
    received_at: Instant | None = None
    answered_at: Instant | None = None
    round_trip: Seconds | None = None
    notes: list[tuple[Instant, str]] = field(default_factory=list)
    nominated_by: Side | None = None

    def note(self, what: str, *, now: Instant) -> None:
        """Remember `what`, once, and no more than a person reads."""
        if len(self.notes) < _MOST_NOTES and all(what != known for _, known in self.notes):
            self.notes.append((now, what))


class Path(NamedTuple):
    """What tells one pair from another: whence, whither, and whether over TCP."""

    base: TransportAddress
    remote: TransportAddress
    tcp: bool = False


@dataclass(slots=True, eq=False)
class Pair:
    """A path that may work: from a base of ours to an address of the peer's.

    Attributes:
        number:    by which reports name it.
        local:     the candidate whose base it leaves from: host or relayed (RFC 8445 §6.1.2.4).
        seen_as:   the candidate of ours that the peer sees (§7.2.5.3.2); None until it is valid.
        nominated: it was, and the check that did it succeeded.
        wanted:    the peer has nominated it, and our own check is still to succeed (§7.3.1.5).
    """

    number: int
    local: Local
    remote: Remote
    priority: int
    state: PairState = FROZEN
    seen_as: Local | None = None
    nominated: bool = False
    wanted: bool = False
    history: History = field(default_factory=History)

    @property
    def component(self) -> int:
        """The component that it carries."""
        return self.local.candidate.component

    @property
    def path(self) -> Path:
        """What tells it from others: pairs that share it are one (RFC 8445 §6.1.2.4)."""
        return Path(self.local.base, self.remote.address, self.is_tcp)

    @property
    def is_tcp(self) -> bool:
        """True when it is a TCP connection."""
        return self.local.candidate.is_tcp

    @property
    def foundation(self) -> tuple[str, str]:
        """Pairs that share it probably share their fate (RFC 8445 §6.1.2.6)."""
        return (self.local.candidate.foundation, self.remote.candidate.foundation)

    @property
    def is_relayed(self) -> bool:
        """True when a relay of either side stands in this path."""
        return self.local.candidate.is_relayed or self.remote.relayed

    @property
    def is_second_choice(self) -> bool:
        """True when a better path is worth waiting for: a relay stands in it, or it is TCP."""
        return self.is_relayed or self.is_tcp

    @property
    def is_pending(self) -> bool:
        """True while nobody knows whether it works."""
        return self.state in PENDING

    def become(self, state: PairState, *, now: Instant) -> None:
        """Go to another state.

        Raises: ValueError: `TRANSITIONS` has no way there.
        """
        if state not in TRANSITIONS[self.state]:
            raise ValueError(f"pair {self.number} cannot go from {self.state} to {state}")
        self.state = state
        self.history.changes.append((now, state))

    def reorder(self, *, controlling: bool) -> None:
        """Compute the priority anew, after a change of roles or of the remote candidate."""
        ours, theirs = self.local.candidate.priority, self.remote.candidate.priority
        self.priority = pair_priority(ours, theirs) if controlling else pair_priority(theirs, ours)

    def __str__(self) -> str:
        return f"{self.local.candidate} → {self.remote.candidate}"
