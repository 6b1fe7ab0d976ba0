"""What came of the two calls, as values and as JSON (schema calto.compare/1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SCHEMA = "calto.compare/1"

Json = dict[str, Any]

GIGABYTE, HOUR = 1e9, 3600.0


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the set-up. Phases may overlap: candidates are gathered while signalling goes on.

    Attributes: start, took: seconds; `start` since the call was asked for.
    """

    name: str
    start: float
    took: float


@dataclass(frozen=True, slots=True)
class Sample:
    """How the call was doing at one moment; None: not known.

    Attributes:
        at:      seconds since audio began.
        rtt, jitter: seconds.
        loss:    0 .. 1, since the sample before.
        bitrate: bits a second that came in since then: SRTP and RTCP, without UDP and IP.
    """

    at: float
    rtt: float | None
    jitter: float | None
    loss: float | None
    bitrate: float


@dataclass(frozen=True, slots=True)
class Leg:
    """One of the two calls, as alice, who made it, has measured it.

    Attributes:
        path:     "direct", "relayed" or "failed".
        setup:    seconds until both heard something; None: failed, and so are most others.
        heard:    0 .. 1: for which part of the time they talked the other one's tone was heard, at
                  the worse end.
        pair:     the two ends of the path, alice's first.
        bitrate:  as in `Sample`, of the whole call.
        carried:  bytes of payload that the relay carried while they talked.
        drops:    where datagrams ended until audio began (`words.died`); None: nobody can tell.
    """

    path: str
    explanation: str
    phases: Sequence[Phase] = ()
    setup: float | None = None
    rtt: float | None = None
    jitter: float | None = None
    loss: float | None = None
    bitrate: float | None = None
    heard: float | None = None
    pair: tuple[str, str] | None = None
    carried: int = 0
    samples: Sequence[Sample] = ()
    drops: Sequence[Json] | None = None

    def as_json(self) -> Json:
        """Return it as the schema has it, without what the relay carried."""
        return {
            "path": self.path,
            "explanation": self.explanation,
            "setup_ms": _ms(self.setup),
            "phases": [
                {"name": it.name, "start_ms": _ms(it.start), "took_ms": _ms(it.took)}
                for it in self.phases
            ],
            "rtt_ms": _ms(self.rtt),
            "jitter_ms": _ms(self.jitter),
            "loss": _share(self.loss),
            "bitrate_bps": None if self.bitrate is None else round(self.bitrate),
            "heard": _share(self.heard),
            "local": None if self.pair is None else self.pair[0],
            "remote": None if self.pair is None else self.pair[1],
            "samples": [
                {
                    "at_ms": _ms(it.at),
                    "rtt_ms": _ms(it.rtt),
                    "jitter_ms": _ms(it.jitter),
                    "loss": _share(it.loss),
                    "bitrate_bps": round(it.bitrate),
                }
                for it in self.samples
            ],
            "drops": None if self.drops is None else list(self.drops),
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both calls.

    Attributes:
        where:   in words.
        seconds: how long they talked.
        price:   of a gigabyte that the relay carries, in any currency; None: not told.
    """

    where: str
    seconds: float
    direct: Leg
    relay: Leg
    price: float | None = None

    @property
    def hourly_bytes(self) -> float:
        """What the relay would carry in an hour of this call."""
        return self.relay.carried / self.seconds * HOUR

    @property
    def hourly_cost(self) -> float | None:
        """What that costs; None: no price was told."""
        return None if self.price is None else self.hourly_bytes / GIGABYTE * self.price

    @property
    def verdict(self) -> str:
        """What it means, in a sentence."""
        match self.direct.path, self.relay.path:
            case "direct", "relayed":
                return "Both ways work, so a call takes the direct one and costs the relay nothing."
            case "direct", _:
                return "The call works directly, and would have no relay to fall back on."
            case _, "relayed":
                return "There is no direct way: without the relay there would be no call."
        return "Neither way works."

    def as_json(self) -> Json:
        """Return the document."""
        cost = self.hourly_cost
        return {
            "schema": SCHEMA,
            "where": self.where,
            "talked_ms": _ms(self.seconds),
            "verdict": self.verdict,
            "direct": self.direct.as_json(),
            "relay": {
                **self.relay.as_json(),
                "relayed_bytes": self.relay.carried,
                "relayed_bytes_hourly": round(self.hourly_bytes),
                "price_per_gb": self.price,
                "cost_hourly": None if cost is None else round(cost, 6),
            },
        }


def _ms(seconds: float | None) -> float | None:
    # A tenth of a millisecond: less is the noise of RTCP's clock, which has 65536 ticks a second.
    return None if seconds is None else round(1000 * seconds, 1)


def _share(share: float | None) -> float | None:
    return None if share is None else round(share, 4)
