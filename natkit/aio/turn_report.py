"""What a running TURN server tells its owner: sessions that begin and end, and refusals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from natkit.dataplane import Counters
from natkit.machine import Instant, Seconds
from natkit.turn.events import RequestRefused
from natkit.turn.forwarding import CloseReason, Path
from natkit.wire import TransportAddress


@dataclass(slots=True)
class Session:
    """An allocation as its owner's log and metrics show it.

    Attributes:
        began: on the event loop's clock.
    """

    path: Path
    relayed: TransportAddress
    user: str
    began: Instant


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """An allocation has ended, with all that it carried."""

    session: Session
    reason: CloseReason
    carried: Counters
    lasted: Seconds


Report: TypeAlias = Session | SessionEnded | RequestRefused
"""What the server's owner may want to know."""
