"""Messages between the two who know the code, signed so that nobody in between can change them.

    64 hexadecimal digits (HMAC-SHA-256) SP text

The sum covers who speaks and the how manieth message it is, so that none can be left out, repeated,
moved or sent back.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from enum import StrEnum

from natkit.errors import AuthenticationFailed


class Side(StrEnum):
    """Who speaks: the one who made the code, or the one who was told it."""

    HOST = "host"
    GUEST = "guest"

    @property
    def other(self) -> Side:
        """The other side."""
        return Side.GUEST if self is Side.HOST else Side.HOST


class Seal:
    """Signs what `side` says, and checks what the other one says.

    Args: key: 32 bytes, from the code.
    """

    def __init__(self, key: bytes, side: Side) -> None:
        self._key, self._side = key, side
        self._sent = self._opened = 0

    def close(self, text: str) -> str:
        """Return the next message of ours, signed."""
        sealed = f"{self._sum(self._side, self._sent, text)} {text}"
        self._sent += 1
        return sealed

    def open(self, message: str) -> str:
        """Return the text of the peer's next message.

        Raises: AuthenticationFailed: nobody who knows the code has sent this, here.
        """
        claimed, _, text = message.partition(" ")
        expected = self._sum(self._side.other, self._opened, text)
        if not hmac.compare_digest(claimed.encode(), expected.encode()):
            raise AuthenticationFailed(
                "a message does not come from somebody who knows the code",
                why="the rendezvous, or somebody on the way to it, has changed or made it",
                hint="Take a new code, and another rendezvous",
            )
        self._opened += 1
        return text

    def password(self, ufrag: str) -> str:
        """Return the ICE password that goes with a user fragment: it is never sent."""
        digest = hmac.digest(self._key, b"ice\0" + ufrag.encode(), hashlib.sha256)
        return base64.b64encode(digest).decode()[:32]

    def _sum(self, side: Side, number: int, text: str) -> str:
        said = f"message\0{side}\0{number}\0{text}".encode()
        return hmac.new(self._key, said, hashlib.sha256).hexdigest()
