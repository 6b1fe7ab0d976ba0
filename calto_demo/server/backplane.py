"""What the processes of one server tell each other: messages to users, and who is online.

Memory serves one process; `redis_backplane` serves several.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Protocol, TypeAlias

Hear: TypeAlias = Callable[[str | None, bytes], None]
"""Takes a message to a user's sessions; None: to everybody's."""


class Backplane(Protocol):
    """Between the processes. `start` it first, and `close` it when done."""

    async def start(self, hear: Hear) -> None:
        """Begin. `hear` gets messages to users who are listened for, and those to everybody."""

    async def close(self) -> None:
        """Stop; who was here is so no more."""

    async def listen(self, user: str) -> None:
        """Hear messages to somebody from now on."""

    async def unlisten(self, user: str) -> None:
        """Hear them no more."""

    async def tell(self, user: str | None, message: bytes) -> None:
        """Send to every process that listens for somebody; None: to every process."""

    async def come(self, user: str, session: str, nat: str) -> None:
        """Note that a session has a socket here; again: with another NAT."""

    async def leave(self, user: str, session: str) -> None:
        """Note that it has none any more."""

    async def nat_of(self, user: str) -> str | None:
        """Return the NAT of somebody who is online; None: they are not."""

    async def is_here(self, user: str, session: str) -> bool:
        """Tell whether a session has a socket, on any process."""

    async def online(self, most: int) -> dict[str, str]:
        """Return who is online with their NAT, `most` of them at the most."""

    async def how_many(self) -> int:
        """Return how many users are online."""

    async def lost(self) -> list[str]:
        """Return users whose process ended without a word; each is told to one process, once."""


class Memory:
    """A backplane for one process."""

    def __init__(self) -> None:
        self._hear: Hear = lambda _user, _message: None
        self._here: dict[str, dict[str, str]] = {}

    async def start(self, hear: Hear) -> None:
        """Begin."""
        self._hear = hear

    async def close(self) -> None:
        """Stop."""
        self._here.clear()

    async def listen(self, user: str) -> None:
        """Nothing is to be done: there is one process."""

    async def unlisten(self, user: str) -> None:
        """Nothing is to be done."""

    async def tell(self, user: str | None, message: bytes) -> None:
        """Send."""
        self._hear(user, message)

    async def come(self, user: str, session: str, nat: str) -> None:
        """Note that a session has a socket."""
        sessions = self._here.setdefault(user, {})
        sessions.pop(session, None)  # so that the one told last is the last one
        sessions[session] = nat

    async def leave(self, user: str, session: str) -> None:
        """Note that it has none any more."""
        sessions = self._here.get(user, {})
        sessions.pop(session, None)
        if not sessions:
            self._here.pop(user, None)

    async def nat_of(self, user: str) -> str | None:
        """Return the NAT of somebody who is online."""
        return next(reversed(self._here.get(user, {}).values()), None)

    async def is_here(self, user: str, session: str) -> bool:
        """Tell whether a session has a socket."""
        return session in self._here.get(user, {})

    async def online(self, most: int) -> dict[str, str]:
        """Return who is online with their NAT."""
        some = islice(self._here.items(), most)
        return {user: next(reversed(sessions.values())) for user, sessions in some}

    async def how_many(self) -> int:
        """Return how many users are online."""
        return len(self._here)

    async def lost(self) -> list[str]:
        """Return nobody: there is no other process."""
        return []
