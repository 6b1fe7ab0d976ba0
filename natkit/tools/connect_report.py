"""What came of a call, as a value and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from natkit.aio.connection import SelectedPair
from natkit.ice.report import Json, milliseconds
from natkit.machine import Seconds
from natkit.rendezvous.ping import Ping
from natkit.tools.path_values import PathExplanation

SCHEMA = "natkit.connect/1"


@dataclass(frozen=True, slots=True)
class Report:
    """What came of it.

    Attributes:
        pair:     the path; None: there is none.
        reason:   why there is none; else empty.
        attempts: 1 and the restarts.
        seconds:  from hearing of each other to the first path; None: there was none.
        pings:    ours.
        wanted_direct: this side has asked for a direct path.
        explanation: of the path when it was chosen, or of why there is none.
        ice:      natkit.ice/1.
    """

    pair: SelectedPair | None
    reason: str
    attempts: int
    seconds: Seconds | None
    pings: Sequence[Ping]
    wanted_direct: bool
    explanation: PathExplanation
    ice: Json

    @property
    def path(self) -> str:
        """ "direct", "relayed" or "failed"."""
        if self.pair is None:
            return "failed"
        return "relayed" if self.pair.is_relayed else "direct"

    @property
    def round_trips(self) -> list[Seconds]:
        """Those of the pings that were answered."""
        return [ping.round_trip for ping in self.pings if ping.round_trip is not None]

    @property
    def exit_code(self) -> int:
        """3: no path, or it carries nothing; 5: it is not direct, which was wanted; 0: else."""
        if self.pair is None or not self.round_trips:
            return 3
        return 5 if self.wanted_direct and self.pair.is_relayed else 0

    def to_json(self) -> Json:
        """Return it as values that JSON can carry: docs/schema/connect-1.json."""
        pair, trips = self.pair, self.round_trips
        return {
            "schema": SCHEMA,
            "path": self.path,
            "reason": self.reason or None,
            "attempts": self.attempts,
            "connect_ms": milliseconds(self.seconds),
            "selected": None
            if pair is None
            else {
                "local": str(pair.local),
                "remote": str(pair.remote),
                "round_trip_ms": milliseconds(pair.round_trip),
            },
            "ping": {
                "sent": len(self.pings),
                "received": len(trips),
                "min_ms": milliseconds(min(trips, default=None)),
                "average_ms": milliseconds(sum(trips) / len(trips) if trips else None),
                "max_ms": milliseconds(max(trips, default=None)),
                "round_trips_ms": [milliseconds(ping.round_trip) for ping in self.pings],
            },
            "explanation": self.explanation.as_json(),
            "ice": self.ice,
        }
