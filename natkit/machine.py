"""The contract that every protocol machine keeps, and the few words it is written in.

A machine never touches a clock, a socket or a random generator. It is handed bytes and `now`;
it hands back bytes, events and the next deadline. A driver (natkit.aio.driver) owns one machine
on one endpoint and arms exactly one timer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

from natkit.wire import TransportAddress

Instant: TypeAlias = float
"""A point on a monotonic clock, in seconds. Only differences mean anything."""

Seconds: TypeAlias = float
"""A length of time, in seconds."""

Event = TypeVar("Event")


class Transmit(NamedTuple):
    """One datagram to send.

    Attributes:
        data:        the payload.
        destination: where to.
        ttl:         IP time to live / hop limit for this packet alone; None: the system's default.
    """

    data: bytes
    destination: TransportAddress
    ttl: int | None = None


class Machine(Protocol[Event]):
    """A sans-IO protocol machine. `now` never goes back from one call to the next."""

    def receive(self, data: bytes, source: TransportAddress, *, now: Instant) -> None:
        """Take a datagram that came in. Never raises for any bytes."""

    def tick(self, *, now: Instant) -> None:
        """Do what is due at `now`. Calling early or late is harmless."""

    def deadline(self) -> Instant | None:
        """Return when to call `tick` next; None when nothing is pending."""

    def transmits(self) -> list[Transmit]:
        """Hand over what is to be sent, once."""

    def events(self) -> list[Event]:
        """Hand over what has happened, once, as frozen facts in the past tense."""


def soonest(deadlines: Iterable[Instant | None]) -> Instant | None:
    """Return the earliest of `deadlines`, leaving out None; None when none is left."""
    return min((at for at in deadlines if at is not None), default=None)
