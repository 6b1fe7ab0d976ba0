"""The allocations that a TURN server has, as its owner's log and metrics show them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from natkit.aio.turn_report import Report, Session, SessionEnded
from natkit.dataplane import Counters
from natkit.machine import Instant
from natkit.turn.forwarding import AllocationClosed, AllocationMade, AllocationMoved, Path
from natkit.wire import TransportAddress


class Sessions:
    """Keeps account of allocations by the machine's facts.

    Args:
        report:  hears of those that begin and end.
        carried: returns what a relayed address has carried.

    Attributes:
        idle: set while there are none.
        past: what those that have ended carried.
    """

    def __init__(
        self,
        report: Callable[[Report], None],
        carried: Callable[[TransportAddress], Counters],
    ) -> None:
        self.idle = asyncio.Event()
        self.idle.set()
        self.past = Counters()
        self._report = report
        self._carried = carried
        self._sessions: dict[TransportAddress, Session] = {}
        self._on: dict[Path, int] = {}  # what a Counter does for a new key, it does in Python

    def __len__(self) -> int:
        return len(self._sessions)

    def paths(self) -> Iterable[Path]:
        """Return where the client of each is."""
        return (session.path for session in self._sessions.values())

    def carried(self) -> Counters:
        """Return what all of them have carried, those that have ended included."""
        total = Counters()
        total.add(self.past)
        for relayed in self._sessions:
            total.add(self._carried(relayed))
        return total

    def begin(self, made: AllocationMade, now: Instant) -> None:
        """Take in an allocation."""
        session = Session(made.path, made.relayed, made.user, now)
        self._sessions[made.relayed] = session
        self._on[made.path] = self._on.get(made.path, 0) + 1
        if len(self._sessions) == 1:
            self.idle.clear()
        self._report(session)

    def move(self, moved: AllocationMoved) -> bool:
        """Take that a client is elsewhere. Returns: nothing is left where it was."""
        self._sessions[moved.relayed] = self._sessions[moved.relayed]._replace(path=moved.path)
        self._on[moved.path] = self._on.get(moved.path, 0) + 1
        return self._leave(moved.old)

    def end(self, closed: AllocationClosed, now: Instant) -> bool:
        """Take that an allocation has ended. Returns: nothing is left where its client is: one that
        has IPv4 and IPv6 may give up one of them.
        """
        session = self._sessions.pop(closed.relayed)
        carried = self._carried(closed.relayed)
        self.past.add(carried)
        if not self._sessions:
            self.idle.set()
        self._report(SessionEnded(session, closed.reason, carried, now - session.began))
        return self._leave(closed.path)

    def _leave(self, path: Path) -> bool:
        self._on[path] -= 1
        if self._on[path]:
            return False
        del self._on[path]
        return True
