"""Users whom somebody else knows: the hook for a database of one's own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from natkit.machine import Instant
from natkit.turn.events import LookUpUser
from natkit.turn.server import TurnServer

LookUp: TypeAlias = Callable[[str, str], Awaitable[str | None]]
"""Takes a user name and the realm; returns the password, or None where there is no such user. It
has ten seconds, and is asked once for each Allocate, not for what follows on an allocation."""

_log = logging.getLogger(__name__)


class UserLookUps:
    """Asks the hook for the machine.

    Args:
        server:  the machine.
        look_up: the hook.
        settle:  sends what the machine has to say.
    """

    def __init__(
        self, server: TurnServer, look_up: LookUp, settle: Callable[[Instant], None]
    ) -> None:
        self._server = server
        self._look_up = look_up
        self._settle = settle
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, command: LookUpUser) -> None:
        """Begin to ask."""
        task = self._loop.create_task(self._ask(command))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Ask no more."""
        for task in self._tasks:
            task.cancel()

    async def _ask(self, command: LookUpUser) -> None:
        try:
            password = await self._look_up(command.username, command.realm)
        except Exception:
            # Not the client's fault, but there is nothing to let it in by.
            _log.exception("the look-up of a user failed")
            password = None
        now = self._loop.time()
        self._server.user_known(command.ticket, password, now=now)
        self._settle(now)
