"""The door of a TURN server: who has connected and has no allocation yet, and for how long.

Rule of the file: whoever has no allocation after SILENT_LIMIT is shown out, whatever it says
meanwhile; so is the oldest of these when too many wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Protocol

from natkit.machine import Instant, Seconds
from natkit.turn.forwarding import Path
from natkit.wire import TransportAddress

SILENT_LIMIT: Seconds = 15.0
"""How long a connection may live without an allocation: three round trips of the slowest link."""

WAITING_LIMIT = 500
"""Connections without an allocation, from everywhere: honest ones wait for a few round trips. Each
takes some 9 kB, and under a flood hundreds more are on their way in and out: 8 MB in all."""

WAITING_TLS_LIMIT = 128
"""Those of them that speak TLS. OpenSSL takes some 50 kB for each: 6 MB in all."""

WAITING_PER_IP = 64
"""Connections without an allocation from one IP: many clients may be behind one NAT."""


class Line(Protocol):
    """A client's connection or DTLS association.

    Attributes: path: None until the client has said its first.
    """

    path: Path | None
    remote: TransportAddress

    def send(self, data: bytes) -> None:
        """Send a STUN message."""

    def send_media(self, frame: bytes) -> bool:
        """Send a relayed packet; False: it was dropped."""

    def admit(self) -> None:
        """It has an allocation: it may stay."""

    def wait_again(self) -> None:
        """Its allocation has ended: it may make another one, soon."""

    def close(self) -> None:
        """End it once all is sent."""

    def abort(self) -> None:
        """End it at once."""


class StreamOwner(Protocol):
    """Whom a stream's frames go to."""

    def stream_ready(self, stream: Line) -> Callable[[bytes, Instant], None]:
        """A client has said its first; `stream.path` is known. Returns what takes ChannelData."""

    def stream_message(self, data: bytes, stream: Line, now: Instant) -> None:
        """A STUN message came in."""

    def stream_closed(self, stream: Line) -> None:
        """The connection is gone."""


class Doorkeeper:
    """Keeps count of the connections that have no allocation yet.

    Args: changed: hears that `deadline` may have become sooner.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._waiting: dict[Line, Instant] = {}  # in order of arrival
        self._waiting_tls: dict[Line, None] = {}
        self._by_ip: Counter[str] = Counter()

    @property
    def waiting(self) -> int:
        """How many have no allocation yet."""
        return len(self._waiting)

    def let_in(self, stream: Line, ip: str, now: Instant) -> bool:
        """Admit a connection; False: its IP has too many already."""
        if self._by_ip[ip] >= WAITING_PER_IP:
            return False
        if len(self._waiting) >= WAITING_LIMIT:
            next(iter(self._waiting)).abort()
        self._waiting[stream] = now + SILENT_LIMIT
        self._by_ip[ip] += 1
        self._changed()
        return True

    def speaks_tls(self, stream: Line) -> None:
        """One that waits has begun to speak TLS: the oldest such has to go where there are many."""
        if len(self._waiting_tls) >= WAITING_TLS_LIMIT:
            next(iter(self._waiting_tls)).abort()
        self._waiting_tls[stream] = None

    def waits(self, stream: Line) -> bool:
        """Tell whether the connection has no allocation yet."""
        return stream in self._waiting

    def forget(self, stream: Line) -> None:
        """It has an allocation now, or has gone."""
        self._waiting_tls.pop(stream, None)
        if self._waiting.pop(stream, None) is not None:
            self._by_ip[stream.remote.ip] -= 1
            if not self._by_ip[stream.remote.ip]:
                del self._by_ip[stream.remote.ip]

    def close(self) -> None:
        """Close all who wait."""
        for stream in list(self._waiting):
            stream.abort()

    def deadline(self) -> Instant | None:
        """Return when `sweep` has something to do; None: nobody waits."""
        return next(iter(self._waiting.values()), None)

    def sweep(self, now: Instant) -> None:
        """Close what has waited too long."""
        for stream, until in list(self._waiting.items()):
            if now < until:
                break
            stream.abort()
