"""What one relayed address carries, and how much it may."""

from __future__ import annotations

from natkit.dataplane import Counters
from natkit.dataplane.rates import Limit
from natkit.machine import Instant, Seconds
from natkit.wire import TransportAddress


class Meter:
    """Counts what goes to peers and what comes from them, and holds it against limits.

    Attributes:
        relayed:   the address.
        user:      who pays for it; "" until it has an allocation.
        active_at: when it last carried something; None: never.
        up, down:  limits on what goes to peers and to the client; None: as much as there is.
    """

    __slots__ = ("active_at", "counters", "down", "relayed", "up", "user")

    def __init__(self, relayed: TransportAddress) -> None:
        self.relayed = relayed
        self.user = ""
        self.counters = Counters()
        self.active_at: Instant | None = None
        self.up: Limit | None = None
        self.down: Limit | None = None

    def sent(self, size: int, now: Instant) -> Seconds:
        """Count bytes of a stream that go to a peer; returns how long to read no more of it."""
        self.counters.to_peers += 1
        self.counters.to_peers_bytes += size
        self.active_at = now
        return 0.0 if self.up is None else self.up.owe(size, now)

    def got(self, size: int, now: Instant) -> Seconds:
        """Count bytes of a stream that come from a peer; returns how long to read no more of it."""
        self.counters.from_peers += 1
        self.counters.from_peers_bytes += size
        self.active_at = now
        return 0.0 if self.down is None else self.down.owe(size, now)
