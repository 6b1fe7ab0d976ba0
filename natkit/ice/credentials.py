"""User fragment and password of an ICE session (RFC 8445 §5.3)."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from natkit.errors import UsageError
from natkit.wire import short_term_key

_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}")
_PASSWORD = re.compile(r"[A-Za-z0-9+/]{22,256}")

_MOST_BYTES = 256


class BadCredentials(UsageError, ValueError):
    """Too short, too long, or of other characters than ICE allows."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What checks to one side are signed with.

    Attributes:
        ufrag:    4 .. 256 of A-Z, a-z, 0-9, + and /.
        password: 22 .. 256 of the same.
        key:      of the HMACs.
    Raises (on creation): BadCredentials: longer than allowed. The rest of the rule binds us, by
    `checked`; a peer's name or password may be odd, as long as both sides have the same.
    """

    ufrag: str
    password: str = field(repr=False)
    key: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if max(len(self.ufrag.encode()), len(self.password.encode())) > _MOST_BYTES:
            raise BadCredentials(f"Username and password have at most {_MOST_BYTES} bytes")
        object.__setattr__(self, "key", short_term_key(self.password))

    def checked(self) -> Credentials:
        """Return these, which are ours. Raises: BadCredentials: they are not as ICE wants them."""
        if not _UFRAG.fullmatch(self.ufrag):
            raise BadCredentials("Username must satisfy 4*256ice-char")
        if not _PASSWORD.fullmatch(self.password):
            raise BadCredentials("Password must satisfy 22*256ice-char")
        return self

    @classmethod
    def fresh(cls, randomness: Callable[[int], bytes]) -> Credentials:
        """Draw new ones: 36 bits of name, 144 of password; the RFC asks for 24 and 128.

        Args: randomness: returns that many unpredictable bytes.
        """
        letters = base64.b64encode(randomness(24)).decode()
        return cls(letters[:6], letters[8:])
