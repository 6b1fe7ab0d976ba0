"""Pings over a path, and the answers to the peer's: so many, one a second.

    "natk" | kind, 1 byte | number, 4 bytes | HMAC-SHA-256 of it, its first 16 bytes

PING is answered by PONG with the same number. Who has sent all of its own says DONE, again and
again, until the other one says so too: it may have more to ask. Begin with `start`; pings of the
peer's are answered before that, and after.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import IntEnum

from natkit.machine import Instant, Seconds, soonest

HEAD_START: Seconds = 0.25
"""Before the first ping: both are busy showing the path that they have just found."""

INTERVAL: Seconds = 1.0
PATIENCE: Seconds = 5.0
"""For an answer: any path is faster; a busy machine at its end may not be."""
_AGAIN: Seconds = 0.5
_SILENCE: Seconds = 6.0
"""After which a peer that has not said DONE is taken to be done: twelve of its DONEs were lost."""
_LAST_WORDS = 3

_MAGIC = b"natk"
_SUM_BYTES = 16


class _Kind(IntEnum):
    PING = 1
    PONG = 2
    DONE = 3


@dataclass(slots=True)
class Ping:
    """One ping of ours.

    Attributes: round_trip: seconds; None: not answered, or not yet.
    """

    number: int
    sent_at: Instant
    round_trip: Seconds | None = None


@dataclass(frozen=True, slots=True)
class PingAnswered:
    """An answer came."""

    number: int
    round_trip: Seconds


@dataclass(frozen=True, slots=True)
class PingLost:
    """No answer came in time; one that is late no longer counts."""

    number: int


class Pinger:
    """The machine of one side. It talks to one peer, so it names no addresses.

    Args:
        key:          what both know and nobody else does.
        ours, theirs: names of the two, so that nothing can be sent back to where it came from.
        count:        pings to send.
    """

    def __init__(self, key: bytes, ours: bytes, theirs: bytes, count: int) -> None:
        self._key, self._ours, self._theirs, self._count = key, ours, theirs, count
        self.pings: list[Ping] = []
        self._open: dict[int, Ping] = {}
        self._next_at: Instant | None = None
        self._done_at: Instant | None = None
        self._heard_at: Instant | None = None
        self.peer_started = self._peer_done = self.finished = False
        self._outgoing: list[bytes] = []
        self._events: list[PingAnswered | PingLost] = []

    def start(self, *, now: Instant) -> None:
        """Begin to ping."""
        self._next_at = now + HEAD_START
        self._heard_at = now
        self.tick(now=now)

    def receive(self, data: bytes, *, now: Instant) -> None:
        """Take what came over the path; what is not the peer's is ignored."""
        read = self._read(data)
        if read is None or self.finished:
            return
        kind, number = read
        self._heard_at = now
        self.peer_started = self.peer_started or kind is not _Kind.PONG
        match kind:
            case _Kind.PING:
                self._send(_Kind.PONG, number)
            case _Kind.PONG if (ping := self._open.pop(number, None)) is not None:
                ping.round_trip = now - ping.sent_at
                self._events.append(PingAnswered(number, ping.round_trip))
            case _Kind.DONE:
                self._peer_done = True
        self.tick(now=now)

    def tick(self, *, now: Instant) -> None:
        """Do what is due."""
        if self._next_at is None or self.finished:
            return
        self._give_up(now)
        while len(self.pings) < self._count and self._next_at <= now:
            ping = Ping(len(self.pings), now)
            self.pings.append(ping)
            self._open[ping.number] = ping
            self._send(_Kind.PING, ping.number)
            self._next_at += INTERVAL
        if len(self.pings) == self._count and not self._open:
            self._part(now)

    def deadline(self) -> Instant | None:
        """Return when `tick` has something to do."""
        if self._next_at is None or self.finished:
            return None
        due = [ping.sent_at + PATIENCE for ping in self._open.values()]
        if len(self.pings) < self._count:
            due.append(self._next_at)
        return soonest((*due, self._done_at))

    def outgoing(self) -> list[bytes]:
        """Hand over what is to be sent to the peer."""
        out, self._outgoing = self._outgoing, []
        return out

    def events(self) -> list[PingAnswered | PingLost]:
        """Hand over what has happened."""
        out, self._events = self._events, []
        return out

    def _give_up(self, now: Instant) -> None:
        for number, ping in list(self._open.items()):
            if now >= ping.sent_at + PATIENCE:
                del self._open[number]
                self._events.append(PingLost(number))

    def _part(self, now: Instant) -> None:
        """Say DONE until the peer does, or is silent; the last one several times."""
        heard_at = now if self._heard_at is None else self._heard_at
        if self._peer_done or now >= heard_at + _SILENCE:
            self.finished = True
            for _ in range(_LAST_WORDS):
                self._send(_Kind.DONE, 0)
        elif self._done_at is None or self._done_at <= now:
            self._send(_Kind.DONE, 0)
            self._done_at = now + _AGAIN

    def _send(self, kind: _Kind, number: int) -> None:
        body = _MAGIC + bytes([kind]) + number.to_bytes(4, "big")
        self._outgoing.append(body + self._sum(self._ours, body))

    def _read(self, data: bytes) -> tuple[_Kind, int] | None:
        body, claimed = data[:9], data[9:]
        if len(data) != 9 + _SUM_BYTES or body[:4] != _MAGIC:
            return None
        if not hmac.compare_digest(claimed, self._sum(self._theirs, body)):
            return None
        try:
            return _Kind(body[4]), int.from_bytes(body[5:], "big")
        except ValueError:
            return None

    def _sum(self, speaker: bytes, body: bytes) -> bytes:
        return hmac.digest(self._key, speaker + b"\0" + body, hashlib.sha256)[:_SUM_BYTES]
