"""Measurements: each module here has `rows()`, which measures natkit and a peer in one run.

One that repeats itself takes `rounds`, an int, with a default that fits into a few minutes. One
that measures more than pairs has `command()` instead, which takes the words of its command line.
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One thing measured for natkit and for a peer, the lower the better where no more is said.

    Attributes:
        name:       what was measured ("parse ICE check").
        unit:       of `ours` and `peer` ("µs", "s").
        ours, peer: the measurements.
        peer_name:  the peer with its version ("aioice 0.13").
    """

    name: str
    unit: str
    ours: float
    peer: float
    peer_name: str

    @property
    def ratio(self) -> float | None:
        """What natkit takes of what the peer takes; None where the peer takes nothing."""
        return self.ours / self.peer if self.peer else None

    def as_json(self) -> dict[str, object]:
        """Return the row's JSON form."""
        ours, peer = _rounded(self.ours), _rounded(self.peer)
        ratio = None if self.ratio is None else round(self.ratio, 2)
        return {**self._asdict(), "ours": ours, "peer": peer, "ratio": ratio}


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
