"""Who is there: people as others see them, and telling it when that changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Any

from calto_demo.server.hub import Hub
from calto_demo.server.ledger import Ledger
from calto_demo.server.people import People, User

EVERYBODY = 200
"""While fewer are online, everybody sees everybody; then contacts alone."""

FRAMES_A_SECOND = 2000
"""Of presence, at the most: what else a processor can send is for calls."""

MERGING = 0.05
"""Seconds in which changes come together: all of them are looked up at once."""

MOST_MERGED = 100
"""People who are looked up at once, so that a query stays short."""

_log = logging.getLogger("calto.presence")


def person(user: User, nat: str | None, *, busy: bool, last_seen: float | None) -> dict[str, Any]:
    """Return a Person of the protocol. Args: nat: None: they are offline."""
    return {
        **user._asdict(),
        "online": nat is not None,
        "busy": busy,
        "nat": nat or "unknown",
        "last_seen": last_seen,
    }


class Presence:
    """Tells of people, and lists them. Args: sleep: takes seconds."""

    def __init__(
        self,
        hub: Hub,
        people: People,
        ledger: Ledger,
        echo: str,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._hub, self._people, self._ledger, self._echo = hub, people, ledger, echo
        self._sleep = sleep
        self._changed: dict[str, None] = {}
        self._some = asyncio.Event()

    def announce(self, *users: str) -> None:
        """Let everybody concerned be told how it stands with somebody, soon."""
        self._changed.update(dict.fromkeys(users))
        self._some.set()

    async def keep_telling(self) -> None:
        """Tell it, again and again, of one after the other.

        Who changes again before their turn is told of once, and nobody waits for it: in a crowd
        that is near EVERYBODY each change is two hundred frames, and a call has four changes.
        """
        while True:
            await self._some.wait()
            await self._sleep(MERGING)
            try:
                await self.tell()
            except Exception:  # whatever it is, the next change is told again
                _log.exception("presence could not be told")

    async def tell(self) -> None:
        """Tell of those who changed, MOST_MERGED of them at the most."""
        some = list(islice(self._changed, MOST_MERGED))
        for user in some:
            del self._changed[user]
        if not self._changed:
            self._some.clear()
        await self._tell_of(some)

    async def _tell_of(self, some: list[str]) -> None:
        """Tell everybody concerned how it stands with some, as they are now.

        Whose turn comes late may have changed since: then they were announced again.
        """
        online = await self._hub.backplane.how_many()
        concerned: dict[str, set[str]] | None = None
        if online >= EVERYBODY:
            known = await self._people.acquainted(some)
            concerned = {user: those for user, those in known.items() if those}
            some = list(concerned)
        for about in await self._about(some):
            frame = {"type": "presence", "person": about}
            if concerned is None:
                await self._hub.tell(None, frame)
            else:
                online = len(concerned[about["id"]])
                await self._hub.tell_each(concerned[about["id"]], frame)
            await self._sleep(online / FRAMES_A_SECOND)

    async def _about(self, some: list[str]) -> list[dict[str, Any]]:
        """Return how it stands with some."""
        if not some:
            return []
        busy = await self._ledger.engaged(some)
        return [
            person(
                one,
                await self._hub.backplane.nat_of(one.id),
                busy=one.id in busy,
                last_seen=last_seen,
            )
            for one, last_seen in await self._people.some(some)
        ]

    async def listed(self, user: str, named: str) -> list[dict[str, Any]]:
        """Return the people that somebody sees: the echo contact first, then by name.

        Args: named: of all people those whose name has this; "": contacts and who is online.
        """
        mine = await self._people.contacts_of(user)
        online = await self._hub.backplane.online(EVERYBODY)
        if named:
            found = await self._people.search(named)
        else:
            found = await self._people.some({*mine, *online, self._echo})
        busy = await self._ledger.engaged(one.id for one, _ in found)
        listed = []
        for one, last_seen in found:
            nat = online.get(one.id) or await self._hub.backplane.nat_of(one.id)
            about = person(one, nat, busy=one.id in busy, last_seen=last_seen)
            listed.append({**about, "contact": one.id in mine})
        listed.sort(key=lambda about: about["id"] != self._echo)
        return [about for about in listed if about["id"] != user]

    async def user(self, user: str) -> User:
        """Return somebody, who may be gone by now."""
        return (await self.users(user))[user]

    async def users(self, *ids: str) -> dict[str, User]:
        """Return some, any of whom may be gone by now."""
        found = {user.id: user for user, _ in await self._people.some(ids)}
        return {one: found.get(one) or User(one, "somebody", "guest") for one in ids}
