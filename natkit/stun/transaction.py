"""When to send a request again, and when to give up (RFC 8489 §6.2.1), as values.

A transaction goes: due (send now) -> waiting -> due ... -> given up. It ends early when its
owner drops it because an answer came. Rule of the file: instants are counted from the first
send, so a late tick neither drifts the schedule nor is followed by a burst.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from natkit.machine import Instant, Seconds


@dataclass(frozen=True, slots=True)
class Retransmission:
    """The schedule of one request.

    Attributes:
        rto:   seconds from the first send to the second; doubles each time (RTO).
        count: how often the request is sent at the most, >= 1 (Rc).
        final: how many times `rto` to wait after the last send (Rm).
        even:  the wait does not double.
    """

    rto: Seconds = 0.5
    count: int = 7
    final: float = 16
    even: bool = False

    def sends(self) -> tuple[Seconds, ...]:
        """Return when to send, in seconds after the first send: (0, .5, 1.5, 3.5, ...)."""
        return tuple(self.rto * (n if self.even else 2**n - 1) for n in range(self.count))

    @property
    def patience(self) -> Seconds:
        """Seconds from the first send to giving up: 39.5 by default."""
        return self.sends()[-1] + self.rto * self.final

    def within(self, patience: Seconds) -> Retransmission:
        """Return this schedule cut off, or its last wait stretched, to give up after `patience`.

        Args: patience: seconds, > 0.
        """
        sends = [at for at in self.sends() if at < patience]
        final = (patience - sends[-1]) / self.rto
        return replace(self, count=len(sends), final=final)


UNRELIABLE = Retransmission()
"""Over UDP: sent at 0, .5, 1.5, 3.5, 7.5, 15.5 and 31.5 s, given up at 39.5 s."""

RELIABLE = Retransmission(rto=39.5, count=1, final=1)
"""Over TCP and TLS a request is sent once and waited for Ti = 39.5 s (RFC 8489 §6.2.2)."""


class Step(Enum):
    """What a transaction wants at some instant."""

    WAIT = "wait"
    SEND = "send"
    GIVE_UP = "give up"


class Transaction:
    """The clockwork of one request.

    Attributes:
        sent: how often it was sent so far.
        began_at, sent_at: instants of the first and the latest send.
    """

    def __init__(self, schedule: Retransmission, *, now: Instant) -> None:
        self._due = (*(now + offset for offset in schedule.sends()), now + schedule.patience)
        self._next = 0
        self.sent = 0
        self.began_at = self.sent_at = now

    @property
    def deadline(self) -> Instant:
        """When `step` has something to do next."""
        return self._due[self._next]

    def step(self, *, now: Instant) -> Step:
        """Say what to do at `now`; SEND counts as sent."""
        if now < self.deadline:
            return Step.WAIT
        last = len(self._due) - 1
        if self._next == last:
            return Step.GIVE_UP
        while self._next < last and self._due[self._next] <= now:
            self._next += 1
        self.sent += 1
        self.sent_at = now
        return Step.SEND

    def round_trip(self, *, now: Instant) -> Seconds | None:
        """Return seconds from the send to an answer at `now`.

        None after a retransmission: nobody knows which send was answered (RFC 8489 §6.2.1,
        Karn's algorithm).
        """
        return now - self.sent_at if self.sent == 1 else None
