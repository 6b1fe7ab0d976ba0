"""Signalling by hand: one line to copy to the other one, one to paste from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from natkit.errors import NatkitError, UsageError
from natkit.rendezvous.description import Description


class Pasting:
    """Shows a line and reads one. It can do this once, so nothing trickles.

    Args:
        show:     shows a line to be copied.
        read:     returns a line that was pasted, "" at the end of input.
        complain: hears what is wrong with a line; another one is read then.
    """

    trickles = False

    def __init__(
        self,
        show: Callable[[str], None],
        read: Callable[[], Awaitable[str]],
        complain: Callable[[NatkitError], None],
    ) -> None:
        self._show, self._read, self._complain = show, read, complain
        self._shown = ""

    def password(self, _ufrag: str) -> str | None:
        """Return None: it is in the line."""
        return None

    async def arrival(self) -> None:
        """Return at once: whoever pastes is there."""

    async def tell(self, part: Description) -> None:
        """Show the line."""
        self._shown = part.to_line()
        self._show(self._shown)

    async def hear(self) -> Description:
        """Read the other one's line. Raises: UsageError: input has ended."""
        while line := await self._read():
            if not line.strip():
                continue
            try:
                if line.strip() == self._shown:
                    raise NatkitError("that is our own line", hint="Paste the other side's")
                return Description.from_line(line)
            except NatkitError as error:
                self._complain(error)
        hint = "Run it in a terminal, and paste there what the other side shows"
        raise UsageError("no line came from the other side", why="the input has ended", hint=hint)

    async def close(self) -> None:
        """There is nobody to say goodbye to."""
