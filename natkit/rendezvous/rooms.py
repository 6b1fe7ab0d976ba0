"""The rooms of a rendezvous: who is in them, and what waits for whom.

    WAITING -> MET -> ENDED        when one opens, another joins, one leaves
    WAITING -> EXPIRED             nobody joined in time

Rules of the file:
1. A room is named by whoever opens it and has two seats; each is kept by a token.
2. Everything is bounded: rooms in all and for each source, bytes that wait, time.
3. A message is dropped as soon as its reader asks for the next one.
"""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from natkit.machine import Instant, Seconds


class Refusal(Enum):
    """Why something is not done: the status in HTTP, and a word for programs."""

    MALFORMED = (400, "malformed")
    UNKNOWN = (404, "unknown")
    TAKEN = (409, "taken")
    GONE = (410, "ended")
    EXPIRED = (410, "expired")
    TOO_LARGE = (413, "too-large")
    BUSY = (429, "busy")
    CROWDED = (503, "crowded")

    @property
    def status(self) -> int:
        """The status in HTTP."""
        return self.value[0]

    @property
    def word(self) -> str:
        """The word for programs."""
        return self.value[1]


class Refused(Exception):
    """Something is not done."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.word)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Limits:
    """What a rendezvous puts up with.

    Attributes:
        rooms:            at once; with all of them full of messages that nobody fetches this is
                          16 MB.
        rooms_per_source: at once, opened from one address (IPv6: one /64).
        message_bytes:    of one message; candidates of ten interfaces are a quarter of it.
        waiting_bytes:    of all messages that one seat has not fetched.
        to_join:          how long a code is good.
        lifetime:         how long a room lasts at most.
        absence:          after how long without a question a seat counts as left: one long poll,
                          and time for the next one to come.
    """

    rooms: int = 500
    rooms_per_source: int = 10
    message_bytes: int = 8192
    waiting_bytes: int = 16384
    to_join: Seconds = 600.0
    lifetime: Seconds = 1200.0
    absence: Seconds = 35.0


DEFAULTS = Limits()


class Presence(Enum):
    """Whether the other one is in the room."""

    AWAITED = "awaited"
    HERE = "here"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Heard:
    """What there is to know in a room.

    Attributes:
        peer:     whether the other one is here.
        messages: of the other one's, from the one that was asked for on.
    """

    peer: Presence
    messages: tuple[str, ...]


@dataclass(slots=True)
class _Seat:
    """One side of a room.

    Attributes:
        waiting: messages for this side that it has not fetched.
        fetched: how many it has.
    """

    token: str
    seen_at: Instant
    left: bool = False
    waiting: list[str] = field(default_factory=list)
    fetched: int = 0

    @property
    def received(self) -> int:
        """How many messages there have been for this side."""
        return self.fetched + len(self.waiting)

    def fetch(self, after: int) -> None:
        """Drop what was fetched. Raises: Refused: it asks for what was dropped, or never was."""
        if not self.fetched <= after <= self.received:
            raise Refused(Refusal.MALFORMED)
        del self.waiting[: after - self.fetched]
        self.fetched = after


@dataclass(slots=True)
class _Room:
    source: str
    opened_at: Instant
    seats: list[_Seat]

    def pair(self, token: str) -> tuple[_Seat, _Seat | None]:
        """Return the seat that `token` keeps, and the other. Raises: Refused: it keeps none."""
        for place, seat in enumerate(self.seats):
            if hmac.compare_digest(seat.token.encode(), token.encode()):
                return seat, self.seats[1 - place] if len(self.seats) > 1 else None
        raise Refused(Refusal.TAKEN)


class Rooms:
    """The machine; it answers at once, so it has nothing to send and no deadline."""

    def __init__(self, limits: Limits = DEFAULTS) -> None:
        self._limits = limits
        self._rooms: dict[str, _Room] = {}
        self._of_source: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._rooms)

    def open(self, name: str, token: str, source: str, *, now: Instant) -> None:
        """Make a room. Doing it again is harmless.

        Raises: Refused: TAKEN: it is somebody else's; CROWDED: there is no room for one more.
        """
        self._expire(now)
        room = self._rooms.get(name)
        if room is not None:
            room.pair(token)
            return
        full = len(self._rooms) >= self._limits.rooms
        if full or self._of_source[source] >= self._limits.rooms_per_source:
            raise Refused(Refusal.CROWDED)
        self._rooms[name] = _Room(source, now, [_Seat(token, now)])
        self._of_source[source] += 1

    def join(self, name: str, token: str, *, now: Instant) -> None:
        """Take the second seat. Doing it again is harmless.

        Raises: Refused: UNKNOWN, EXPIRED, TAKEN: two are in it already; GONE: they were.
        """
        room = self._room(name, now)
        host = room.seats[0]
        if len(room.seats) > 1:
            room.pair(token)
        elif host.left or self._is_absent(host, now):
            raise Refused(Refusal.GONE)
        elif now >= room.opened_at + self._limits.to_join:
            raise Refused(Refusal.EXPIRED)
        else:
            room.seats.append(_Seat(token, now))

    def say(self, name: str, token: str, number: int, message: str, *, now: Instant) -> None:
        """Leave message `number` (0, 1, ...) for the other one. Doing it again is harmless.

        Raises: Refused: also GONE: nobody is there to read it; TOO_LARGE; BUSY: too much waits.
        """
        room = self._room(name, now)
        ours, theirs = room.pair(token)
        ours.seen_at = now
        if len(message.encode()) > self._limits.message_bytes:
            raise Refused(Refusal.TOO_LARGE)
        if theirs is None or theirs.left:
            raise Refused(Refusal.GONE)
        if number != theirs.received:
            if number > theirs.received:
                raise Refused(Refusal.MALFORMED)
            return
        if _size((*theirs.waiting, message)) > self._limits.waiting_bytes:
            raise Refused(Refusal.BUSY)
        theirs.waiting.append(message)

    def hear(self, name: str, token: str, after: int, *, now: Instant) -> Heard:
        """Return what came after the first `after` messages, which are dropped.

        Raises: Refused: also EXPIRED: nobody has joined in time.
        """
        room = self._room(name, now)
        ours, theirs = room.pair(token)
        ours.seen_at = now
        ours.fetch(after)
        if theirs is None:
            if now >= room.opened_at + self._limits.to_join:
                raise Refused(Refusal.EXPIRED)
            return Heard(Presence.AWAITED, ())
        left = theirs.left or self._is_absent(theirs, now)
        return Heard(Presence.LEFT if left else Presence.HERE, tuple(ours.waiting))

    def leave(self, name: str, token: str, *, now: Instant) -> None:
        """Give a seat up; the room goes when nobody is left. Raises: Refused."""
        room = self._room(name, now)
        ours, theirs = room.pair(token)
        ours.left = True
        ours.waiting.clear()
        if theirs is None or theirs.left:
            self._remove(name)

    def _room(self, name: str, now: Instant) -> _Room:
        self._expire(now)
        room = self._rooms.get(name)
        if room is None:
            raise Refused(Refusal.UNKNOWN)
        return room

    def _is_absent(self, seat: _Seat, now: Instant) -> bool:
        return now >= seat.seen_at + self._limits.absence

    def _expire(self, now: Instant) -> None:
        """Remove the rooms whose time is over: the oldest are the first in the table."""
        while self._rooms:
            oldest = next(iter(self._rooms))
            if now < self._rooms[oldest].opened_at + self._limits.lifetime:
                return
            self._remove(oldest)

    def _remove(self, name: str) -> None:
        source = self._rooms.pop(name).source
        self._of_source[source] -= 1
        if not self._of_source[source]:
            del self._of_source[source]


def _size(messages: Iterable[str]) -> int:
    return sum(len(message.encode()) for message in messages)
