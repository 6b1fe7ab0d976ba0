"""The numbered frames of one session: what came in, and what is kept until it is acknowledged.

Rule of the file: no I/O. The same session goes on over one socket after another.
"""

from __future__ import annotations

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
        self._kept: list[bytes] = []  # a deque takes 760 bytes for nothing, in every session

    def is_new(self, seq: int) -> bool:
        """Note a frame that came in; False: it came before, and was sent again."""
        if seq <= self.received:
            return False
        self.received = seq
        return True

    def number(self, frame: bytes) -> bytes:
        """Return a frame as it is sent, and keep it.

        Args: frame: a JSON object, without its number; whoever gets the same one shares it.
        """
        self._sent += 1
        self._kept.append(frame)
        if len(self._kept) > MOST_KEPT:
            del self._kept[0]
            self.lost = True
        return _numbered(frame, self._sent)

    def acknowledged(self, ack: int) -> None:
        """Forget what has arrived."""
        del self._kept[: max(0, ack - self._first + 1)]

    @property
    def _first(self) -> int:
        """The number of the first frame that is kept, or of the next one."""
        return self._sent - len(self._kept) + 1

    def resume(self, ack: int) -> bool:
        """Go on with a client that has `ack`; False: it has to begin anew."""
        self.acknowledged(ack)
        return not self.lost and self._first == ack + 1

    def waiting(self) -> list[bytes]:
        """Return what has not arrived, as far as is known."""
        return [_numbered(frame, seq) for seq, frame in enumerate(self._kept, self._first)]


def _numbered(frame: bytes, seq: int) -> bytes:
    return b'%b,"seq":%d}' % (frame[:-1], seq)
