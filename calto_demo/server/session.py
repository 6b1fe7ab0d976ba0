"""The numbered frames of one session: what came in, and what is kept until it is acknowledged.

Rule of the file: no I/O. The same session goes on over one socket after another.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from calto_demo.server.frames import write

MOST_KEPT = 256
"""Frames. A call's set-up has about forty; who misses more begins anew."""


class Session:
    """What the server knows of a session's frames.

    Attributes:
        received: the highest number that came in.
        lost:     frames were dropped that had not arrived: it cannot be resumed.
    """

    def __init__(self) -> None:
        self.received = 0
        self.lost = False
        self._sent = 0
        self._kept: deque[tuple[int, bytes]] = deque()

    def is_new(self, seq: int) -> bool:
        """Note a frame that came in; False: it came before, and was sent again."""
        if seq <= self.received:
            return False
        self.received = seq
        return True

    def number(self, frame: dict[str, Any]) -> bytes:
        """Return a frame as it is sent, and keep it."""
        self._sent += 1
        data = write({**frame, "seq": self._sent})
        self._kept.append((self._sent, data))
        if len(self._kept) > MOST_KEPT:
            self._kept.popleft()
            self.lost = True
        return data

    def acknowledged(self, ack: int) -> None:
        """Forget what has arrived."""
        while self._kept and self._kept[0][0] <= ack:
            self._kept.popleft()

    def resume(self, ack: int) -> bool:
        """Go on with a client that has `ack`; False: it has to begin anew."""
        self.acknowledged(ack)
        first = self._kept[0][0] if self._kept else self._sent + 1
        return not self.lost and first == ack + 1

    def waiting(self) -> list[bytes]:
        """Return what has not arrived, as far as is known."""
        return [data for _, data in self._kept]
