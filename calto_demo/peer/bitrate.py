"""How many bits a second to speak with, from what the other side reports.

The loss-based part of draft-ietf-rmcat-gcc-02 §6, and a look at the round trip: a way whose queues
grow is asked to carry less, before it begins to lose.
"""

from __future__ import annotations

from dataclasses import dataclass

LEAST, FIRST, MOST = 20_000, 32_000, 64_000
"""Bits a second. Opus is good speech at 32 kb/s, mono; below 20 kb/s libopus adds no FEC."""

STEPS = (20_000, 24_000, 32_000, 40_000, 48_000, 64_000)
"""What the encoder is really set to, since each change may be heard as a click."""

LOSS_STEP = 0.05

FINE, BAD = 0.02, 0.10
"""Losses up to which more is tried, and from which there is to be less (§6)."""

QUEUE = 0.1
"""Seconds that the round trip may be above its best before a queue is to blame."""


@dataclass(frozen=True, slots=True)
class Speech:
    """How to encode.

    Attributes:
        bitrate: bits a second.
        loss:    0 .. 1, what the encoder is to expect; it spends bits on FEC accordingly.
    """

    bitrate: int = FIRST
    loss: float = 0.0


class BitrateControl:
    """Follows the receiver's reports. Give it each, and speak as it says."""

    def __init__(self) -> None:
        self.speech = Speech()
        self._bitrate, self._loss = float(FIRST), 0.0
        self._best: float | None = None

    def reported(self, *, loss: float, round_trip: float | None) -> Speech:
        """Take a report (RFC 3550 §6.4); return how to speak from now on.

        Args:
            loss:       0 .. 1, since the report before.
            round_trip: seconds; None: not known yet.
        """
        if loss > BAD:
            self._bitrate *= 1 - 0.5 * loss
        elif self._queued(round_trip):
            self._bitrate *= 0.85  # §5.5's factor for an overused path
        elif loss < FINE:
            self._bitrate *= 1.05
        self._bitrate = min(float(MOST), max(float(LEAST), self._bitrate))
        # Smoothed, so that a single report does not turn FEC on and off.
        self._loss += 0.3 * (loss - self._loss)
        step = max(step for step in STEPS if step <= self._bitrate)
        self.speech = Speech(step, LOSS_STEP * round(self._loss / LOSS_STEP))
        return self.speech

    def _queued(self, round_trip: float | None) -> bool:
        if round_trip is None:
            return False
        self._best = round_trip if self._best is None else min(self._best, round_trip)
        return round_trip > self._best + QUEUE
