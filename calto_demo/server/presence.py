"""Who is there: people as others see them, and telling it when that changes."""

from __future__ import annotations

from typing import Any

from calto_demo.server.hub import Hub
from calto_demo.server.ledger import Ledger
from calto_demo.server.people import NoSuchUser, People, User

EVERYBODY = 200
"""While fewer are online, everybody sees everybody; then contacts alone."""


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
    """Tells of people, and lists them."""

    def __init__(self, hub: Hub, people: People, ledger: Ledger, echo: str) -> None:
        self._hub, self._people, self._ledger, self._echo = hub, people, ledger, echo

    async def announce(self, *users: str) -> None:
        """Tell everybody concerned how it stands with somebody."""
        busy = await self._ledger.engaged(users)
        crowd = len(await self._hub.backplane.online(EVERYBODY)) >= EVERYBODY
        for user, last_seen in await self._people.some(users):
            nat = await self._hub.backplane.nat_of(user.id)
            about = person(user, nat, busy=user.id in busy, last_seen=last_seen)
            frame = {"type": "presence", "person": about}
            for one in await self._people.acquainted(user.id) if crowd else [None]:
                await self._hub.tell(one, frame)

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
        try:
            return await self._people.get(user)
        except NoSuchUser:
            return User(user, "somebody", "guest")
